//! The rules: what stands where, and who may do what.

use super::source::{Source, line_of, words};

/// A module may import what stands to its left.
const LINE: [&str; 30] = [
    // words
    "secret",
    "name",
    "id",
    "clock",
    "wire",
    "failpoint",
    "waiting",
    "damage", //
    // machines
    "crypto",
    "custody",
    "store",
    "audit",
    "egress",
    "policy", //
    // journeys
    "vault",
    "backup",
    "directory",
    "oauth",
    "tools",
    "broker", //
    // surface
    "http",
    "pages",
    "proxy",
    "client",
    "config",
    "telemetry",
    "hardening",
    "daemon",
    "fuzz", //
    "bin",
];

/// What the command line may use of the library: it is a client, and knows nothing of the inside.
/// It verifies an export and generates a value by itself, for which it needs no broker.
const CLI: [&str; 10] = [
    "secret",
    "name",
    "id",
    "clock",
    "wire",
    "audit",
    "crypto",
    "client",
    "config",
    "hardening",
];

/// Dependencies and powers, and the one place where each is used.
pub(super) const DOORS: [(&str, &[&str]); 52] = [
    ("age::", &["src/backup/"]),
    ("age_core::", &["src/backup/"]),
    ("aes_gcm::", &["src/crypto/"]),
    ("hkdf::", &["src/crypto/"]),
    ("hmac::", &["src/crypto/"]),
    ("sha2::", &["src/crypto/"]),
    ("memfd_secret::", &["src/crypto/"]),
    ("memmap2::", &["src/crypto/"]),
    ("ring::rand", &["src/crypto/"]),
    ("ring::signature", &["src/crypto/"]),
    ("ring::digest", &["src/crypto/"]),
    ("ring::hmac", &["src/crypto/"]),
    ("ring::aead", &["src/crypto/"]),
    ("argon2::", &["src/custody/"]),
    ("capctl::", &["src/hardening/"]),
    ("close_fds::", &["src/hardening/"]),
    ("cryptoki::", &["src/custody/"]),
    ("litemap::", &["src/name/"]),
    ("smol_str::", &["src/name/"]),
    ("sled::", &["src/store/"]),
    ("redb::", &["src/store/"]),
    ("TcpStream::connect", &["src/egress/"]),
    ("TcpSocket", &["src/egress/"]),
    ("UnixStream::connect", &["src/egress/"]),
    ("UdpSocket", &["src/egress/"]),
    ("lookup_host", &["src/egress/"]),
    ("ToSocketAddrs", &["src/egress/"]),
    ("ClientConfig", &["src/egress/"]),
    ("TlsConnector", &["src/egress/"]),
    ("webpki_roots::", &["src/egress/"]),
    ("hyper::client", &["src/egress/"]),
    ("oauth2::", &["src/oauth/"]),
    ("axum::", &["src/http/", "src/pages/", "src/daemon/"]),
    ("maud::", &["src/pages/"]),
    ("rcgen::", &["src/proxy/"]),
    ("clap::", &["src/bin/"]),
    ("clap_complete::", &["src/bin/"]),
    ("clap_mangen::", &["src/bin/"]),
    ("env::var", &["src/config/", "src/client/env.rs"]),
    (
        "env::var_os",
        &["src/config/", "src/client/env.rs", "src/failpoint/"],
    ),
    ("env::vars", &["src/config/"]),
    ("env::vars_os", &["src/config/", "src/client/env.rs"]),
    ("stdout()", PRINTERS),
    ("stderr()", PRINTERS),
    ("SystemTime::now", &["src/clock.rs"]),
    (
        "Command::new",
        // And whoever holds a key for the broker: asked once, with nothing of ours in hand; by the one process that
        // may start one once the broker is confined. And itself.
        &[
            "src/client/browser.rs",
            "src/client/program.rs",
            "src/custody/attendant.rs",
            "src/custody/child.rs",
            "src/hardening/afresh.rs",
        ],
    ),
    ("qrcode::", &["src/client/qr.rs"]),
    ("yasna::", &["src/client/keystore.rs"]),
    ("landlock::", &["src/hardening/"]),
    ("seccompiler::", &["src/hardening/"]),
    ("libc::", &["src/hardening/"]),
    ("sd_notify::", &["src/daemon/supervisor.rs"]),
];

/// Who may write to a terminal. The hook for panics does, and logs look whether there is one.
const PRINTERS: &[&str] = &[
    "src/bin/runtools-broker/",
    "src/client/output.rs",
    "src/client/prompt.rs",
    "src/hardening/panics.rs",
    "src/telemetry/logs.rs",
];

/// Who may look at a secret, and how often. A new place belongs here only after somebody asked
/// whether the bytes can be lent to an old one instead.
pub(super) const EXPOSERS: &[(&str, usize)] = &[
    ("src/audit/segment.rs", 1),
    ("src/backup/key.rs", 1),
    ("src/bin/runtools/login.rs", 1),
    ("src/bin/runtools/tool_credentials.rs", 1),
    ("src/bin/runtools/tool_runs.rs", 1),
    ("src/bin/runtools/tools.rs", 1),
    ("src/broker/handle.rs", 1),
    ("src/broker/lease.rs", 1),
    ("src/broker/place.rs", 7),
    ("src/broker/scrub/patterns.rs", 2),
    ("src/broker/sign/exchange.rs", 2),
    ("src/broker/sign/jwt.rs", 2),
    ("src/broker/sign/mac.rs", 2),
    ("src/broker/sign/mod.rs", 1),
    ("src/broker/sign/sigv4.rs", 2),
    ("src/broker/splice.rs", 1),
    ("src/client/body.rs", 1),
    ("src/client/connection.rs", 1),
    ("src/client/output.rs", 1),
    ("src/client/place.rs", 1),
    ("src/client/prompt.rs", 1),
    ("src/crypto/hash.rs", 5),
    ("src/crypto/jws_jwk.rs", 3),
    ("src/crypto/jws_key.rs", 1),
    ("src/crypto/key.rs", 7),
    ("src/crypto/obx1.rs", 1),
    ("src/crypto/sign.rs", 1),
    ("src/crypto/veil.rs", 1),
    ("src/custody/passphrase.rs", 2),
    ("src/custody/pkcs11.rs", 1),
    ("src/custody/put_back.rs", 1),
    ("src/custody/protocol.rs", 2),
    ("src/custody/shares.rs", 6),
    ("src/custody/slot.rs", 3),
    ("src/directory/token.rs", 2),
    ("src/egress/endpoint.rs", 1),
    ("src/http/api_keys.rs", 1),
    ("src/http/broker.rs", 2),
    ("src/http/key_slots.rs", 1),
    ("src/http/oauth_clients.rs", 1),
    ("src/http/secrets.rs", 1),
    ("src/http/services.rs", 1),
    ("src/oauth/flow/query.rs", 1),
    ("src/oauth/discovery.rs", 2),
    ("src/oauth/provider/template_place.rs", 1),
    ("src/oauth/token/id_token.rs", 2),
    ("src/oauth/token/members.rs", 1),
    ("src/oauth/token/reply.rs", 1),
    ("src/oauth/token/request.rs", 1),
    ("src/oauth/tokens.rs", 2),
    ("src/store/state.rs", 1),
    ("src/vault/keyring.rs", 2),
    ("src/vault/metadata.rs", 2),
    ("src/vault/org_keys.rs", 3),
    ("src/vault/owner_keys.rs", 1),
    ("src/vault/rotation/rewrap.rs", 4),
    ("src/vault/rotation/root.rs", 1),
    ("src/vault/rotation/turn.rs", 1),
    ("src/vault/state.rs", 1),
    ("src/vault/system.rs", 3),
    ("src/vault/value.rs", 3),
];

pub(super) const MAX_LINES: usize = 400;

/// Words that say a thing is not done, or not right.
pub(super) const UNFINISHED: [&str; 8] = [
    "todo!",
    "unimplemented!",
    "dbg!",
    "#[ignore",
    "TODO",
    "FIXME",
    "XXX",
    "HACK",
];

pub(super) type Rule = fn(&Source) -> Vec<String>;

fn at(source: &Source, byte: usize, what: &str) -> String {
    format!("{}:{}: {what}", source.path, line_of(&source.code, byte))
}

fn place(module: &str) -> Option<usize> {
    LINE.iter().position(|name| *name == module)
}

/// The names that follow `root` in `code`, with where: `crate::a::b` and `crate::{a::b, c}`.
fn imports<'a>(code: &'a str, root: &'a str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for start in words(code, root) {
        let rest = &code[start + root.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push((start, ident(rest)));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (index, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                letter if begins && !letter.is_whitespace() => {
                    found.push((start, ident(&group[index..])));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn ident(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

pub(super) fn imports_go_left(source: &Source) -> Vec<String> {
    let Some(module) = source.module().filter(|module| *module != "manual") else {
        return Vec::new();
    };
    let Some(here) = place(module) else {
        return vec![format!("{}: not on the import line", source.path)];
    };
    let cli = source.path.starts_with("src/bin/runtools/");
    let used = imports(&source.code, "crate::")
        .into_iter()
        .filter(|_| module != "bin")
        .chain(imports(&source.code, "runtools_broker::"));
    used.filter(|(_, used)| {
        let right = place(used).is_some_and(|there| there > here);
        right || (cli && !CLI.contains(used))
    })
    .map(|(byte, used)| at(source, byte, &format!("{module} may not import {used}")))
    .collect()
}

pub(super) fn doors_are_kept(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (what, homes) in DOORS {
        if homes.iter().any(|home| source.path.starts_with(home)) {
            continue;
        }
        for byte in words(source.shipped(), what) {
            found.push(at(source, byte, &format!("`{what}` belongs to {homes:?}")));
        }
    }
    found
}

pub(super) fn nothing_prints(source: &Source) -> Vec<String> {
    let macros = ["println!", "print!", "eprintln!", "eprint!"];
    let found = macros.iter().flat_map(|what| {
        words(source.shipped(), what).map(|byte| at(source, byte, "prints by itself"))
    });
    found.collect()
}

fn exposures(source: &Source) -> usize {
    let code = source.shipped();
    let reads = |word| {
        let named = words(code, word);
        named.filter(|at| matches!(code.as_bytes()[at.saturating_sub(1)], b'.' | b':'))
    };
    reads("expose").count()
}

pub(super) fn exposers_are_listed(source: &Source) -> Vec<String> {
    let counted = exposures(source);
    let listed = EXPOSERS.iter().find(|(path, _)| *path == source.path);
    let listed = listed.map_or(0, |(_, count)| *count);
    if counted == listed {
        return Vec::new();
    }
    vec![format!(
        "(\"{}\", {counted}), // exposes secrets; {listed} times are listed",
        source.path
    )]
}

pub(super) fn files_are_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let long = lines > MAX_LINES;
    long.then(|| format!("{}: {lines} lines", source.path))
        .into_iter()
        .collect()
}

pub(super) fn nothing_is_unfinished(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for what in UNFINISHED {
        // Notes to oneself stand in comments; macros and attributes stand in code.
        let code = what.ends_with('!') || what.starts_with('#');
        let text = if code { &source.code } else { &source.text };
        for byte in words(text, what) {
            found.push(at(source, byte, &format!("`{what}`")));
        }
    }
    found
}

pub(super) fn lints_are_expected_with_reasons(source: &Source) -> Vec<String> {
    let shipped = source.path.starts_with("src/");
    let mut found = Vec::new();
    for word in ["allow", "expect"] {
        for byte in words(&source.code, word) {
            let before = source.code[..byte].trim_end();
            if !(before.ends_with("#[") || before.ends_with("#![")) {
                continue;
            }
            let rest = &source.code[byte..];
            let attribute = &rest[..rest.find(']').unwrap_or(rest.len())];
            if !attribute.contains("reason =") {
                found.push(at(source, byte, "a lint is silenced without a reason"));
            }
            if word == "allow" && shipped {
                found.push(at(source, byte, "`allow` outlives its cause: use `expect`"));
            }
        }
    }
    found
}

pub(super) fn nothing_is_unsafe(source: &Source) -> Vec<String> {
    let found = words(&source.code, "unsafe");
    found.map(|byte| at(source, byte, "`unsafe`")).collect()
}
