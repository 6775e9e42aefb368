//! Where clients come in: addresses, the certificate, the Unix socket.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::finding::{Finding, quoted};
use super::mend::Mend;
use super::surroundings::{Running, Surroundings};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::http::serve::{MAX_SOCKET_PATH_BYTES, TlsCertificate, TlsFiles, refuse_plain};

/// How long before its end a certificate should be renewed: 14 days.
const RENEW_MILLIS: i64 = 14 * 86_400_000;

/// The version of this program.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// What the broker on the socket says of itself.
pub(super) fn broker(running: &Running) -> Finding {
    match running {
        Running::Down => Finding::ok("broker", "not running"),
        Running::Silent => Finding::fail(
            "broker",
            "something listens on the socket and does not answer as a broker",
            "Look at what holds it: ss -xlp. If it is a broker, look at its log and restart it.",
        ),
        Running::Up { reasons, .. }
            if reasons
                .iter()
                .any(|it| it == "audit_unavailable" || it == "store_failed") =>
        {
            let text = format!("it serves nothing: {}", reasons.join(", "));
            let fix = "Look up the first failure in its log, mend the cause, then restart it.";
            Finding::fail("broker", text, fix)
        }
        Running::Up { sealed: true, .. } => {
            Finding::warn("broker", "it is sealed", "runtools-broker unseal")
        }
        Running::Up { reasons, .. } if !reasons.is_empty() => Finding::warn(
            "broker",
            format!("not ready: {}", reasons.join(", ")),
            "Wait, then look again.",
        ),
        Running::Up { version, .. } if version != OWN => Finding::warn(
            "broker",
            format!("version {version} runs, and this is version {OWN}"),
            "Restart the broker, so that the installed version serves.",
        ),
        Running::Up { version, .. } => {
            Finding::ok("broker", format!("version {version}, unsealed and ready"))
        }
    }
}

/// Each address: free when the broker is down, answered by it when it is up.
pub(super) fn listeners(config: &Config, around: &Surroundings) -> Vec<Finding> {
    let addresses = config.listen.iter();
    addresses
        .map(|addr| listener(*addr, config, &around.broker))
        .collect()
}

fn listener(addr: SocketAddr, config: &Config, broker: &Running) -> Finding {
    if config.tls_files().is_none()
        && let Err(error) = refuse_plain(addr)
    {
        return Finding::fail("listener", error, "Set both, or listen on 127.0.0.1.");
    }
    if addr.port() == 0 {
        return Finding::ok("listener", format!("{addr}: any free port"));
    }
    if let Running::Up { answers, .. } = broker {
        return if answers.contains(&addr) || config.tls_files().is_some() {
            Finding::ok("listener", format!("{addr}: the running broker's"))
        } else {
            Finding::warn(
                "listener",
                format!("{addr}: the running broker does not answer there"),
                "Restart the broker: it was started with other settings.",
            )
        };
    }
    free("listener", addr, "listen")
}

/// Whether a broker could listen at an address now. `key` is the setting that names it.
pub(super) fn free(check: &'static str, addr: SocketAddr, key: &str) -> Finding {
    match TcpListener::bind(addr).map(drop) {
        Ok(()) => Finding::ok(check, format!("{addr}: free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::fail(
            check,
            format!("{addr}: another program has it"),
            format!(
                "See which: ss -ltnp 'sport = :{}'. Stop it, or set {key} to another port.",
                addr.port()
            ),
        ),
        Err(error) => Finding::fail(
            check,
            format!("{addr}: {}", error.kind()),
            format!("Set {key} to an address of this machine, with a port from 1024 up."),
        ),
    }
}

/// The certificate, if there is to be one.
pub(super) fn certificate(files: Option<TlsFiles>, now: Timestamp) -> Finding {
    const RENEW: &str =
        "Renew it. The broker takes new files as they come; it need not be restarted.";
    let Some(files) = files else {
        return Finding::ok("certificate", "none: plain HTTP, on this machine only");
    };
    let loaded = match TlsCertificate::load(files) {
        Ok(loaded) => loaded,
        Err(error) => {
            return Finding::fail("certificate", error, "Check tls.cert and tls.key.");
        }
    };
    let Some(end) = loaded.expires_at() else {
        let text = "when it ends cannot be read from it";
        return Finding::warn(
            "certificate",
            text,
            "Check its dates: openssl x509 -enddate",
        );
    };
    if let Some(begin) = loaded.begins_at().filter(|begin| *begin > now) {
        let fix = "Wait, or put the one before it back; and look at the clock: timedatectl.";
        return Finding::fail("certificate", format!("it begins only at {begin}"), fix);
    }
    let left = end.millis_since(now);
    match left {
        ..=0 => Finding::fail("certificate", format!("it ended at {end}"), RENEW),
        1..RENEW_MILLIS => {
            let text = format!("it ends in {} days", left / 86_400_000);
            Finding::warn("certificate", text, RENEW)
        }
        _ => Finding::ok("certificate", format!("good until {end}")),
    }
}

/// The file of a Unix socket that the setting `key` names.
pub(super) fn socket_file(
    (check, key): (&'static str, &str),
    path: &Path,
    config: &Config,
    around: &Surroundings,
) -> Finding {
    let shown = path.display();
    let length = path.as_os_str().len();
    if length > MAX_SOCKET_PATH_BYTES {
        let text = format!("its path has {length} bytes; the system takes {MAX_SOCKET_PATH_BYTES}");
        return Finding::fail(check, text, format!("Choose a shorter one: {key} = …"));
    }
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::ok(check, format!("{shown}: made at the start"));
        }
        Err(error) => {
            let text = format!("{shown}: {}", error.kind());
            return Finding::fail(check, text, "Check who may enter its folder.");
        }
        Ok(found) => found,
    };
    if !found.file_type().is_socket() {
        let text = format!("{shown} is there and is no socket");
        return Finding::fail(check, text, "Move it away, or choose another path.");
    }
    let owner = found.uid();
    if owner != around.uid && owner != 0 {
        let text = format!(
            "{shown} is user {owner}'s, and this runs as user {}",
            around.uid
        );
        let fix = "See who listens there: ss -xlp. Move it away, or choose another path: clients would speak to that user.";
        return Finding::fail(check, text, fix);
    }
    if around.broker == Running::Down {
        let text = format!("{shown} was left behind by a broker that was killed");
        let fix = "Nothing to do: the next start replaces it.";
        return Finding::warn(check, text, fix);
    }
    let (mode, wanted) = (found.permissions().mode() & 0o777, config.socket_mode());
    if mode & !wanted == 0 {
        Finding::ok(check, format!("{shown} (mode {mode:04o})"))
    } else {
        let text = format!("{shown} has mode {mode:04o}, wider than {wanted:04o}");
        let fix = format!("chmod {wanted:o} {}", quoted(path));
        Finding::fail(check, text, fix).mended_by(Mend::new(path.to_owned(), wanted))
    }
}

/// The certificate authorities trusted besides the public ones.
pub(super) fn roots(config: &Config) -> Finding {
    let listed = &config.egress.extra_roots;
    let bad = listed.iter().find(|path| {
        let read = crate::daemon::start::roots(path);
        read.is_err()
    });
    match bad {
        Some(path) => Finding::fail(
            "extra_roots",
            format!("{} holds no readable PEM certificate", path.display()),
            "Correct egress.extra_roots, or the file.",
        ),
        None if listed.is_empty() => Finding::ok("extra_roots", "none"),
        None => Finding::ok("extra_roots", format!("{} read", listed.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use rcgen::{CertificateParams, KeyPair};

    use super::super::tests_rig::{around, config, up};
    use super::super::{Level, Running, Surroundings};
    use super::{broker, certificate, listeners, roots, socket_file};
    use crate::clock::{Clock, SystemClock};
    use crate::config::Config;
    use crate::http::serve::TlsFiles;

    #[test]
    fn an_address_that_another_program_has_fails_and_the_brokers_own_does_not() {
        let (_dir, mut config) = config();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        config.listen = vec![addr];
        assert_eq!(listeners(&config, &around())[0].level, Level::Fail);
        let with = |broker| Surroundings { broker, ..around() };
        assert_eq!(
            listeners(&config, &with(up(&[], &[addr])))[0].level,
            Level::Ok
        );
        assert_eq!(
            listeners(&config, &with(up(&[], &[])))[0].level,
            Level::Warn
        );
        drop(taken);
        assert_eq!(listeners(&config, &around())[0].level, Level::Ok);
    }

    #[test]
    fn plain_http_for_the_network_fails() {
        let (_dir, mut config) = config();
        config.listen = vec!["0.0.0.0:8420".parse().unwrap()];
        assert_eq!(listeners(&config, &around())[0].level, Level::Fail);
    }

    #[test]
    fn a_certificate_warns_before_its_end_and_fails_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        let files = TlsFiles {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        };
        fs::write(&files.cert, pem).unwrap();
        let level = |at: &str| {
            let now = crate::clock::Timestamp::parse(at).unwrap();
            certificate(Some(files.clone()), now).level
        };
        assert_eq!(
            level("2029-01-01T00:00:00Z"),
            Level::Fail,
            "the key is missing"
        );
        fs::write(&files.key, key.serialize_pem()).unwrap();
        assert_eq!(level("2029-12-17T00:00:00Z"), Level::Ok);
        assert_eq!(level("2029-12-19T00:00:00Z"), Level::Warn);
        assert_eq!(level("2030-01-02T00:00:00Z"), Level::Fail);
        assert_eq!(certificate(None, SystemClock.now()).level, Level::Ok);
    }

    #[test]
    fn a_socket_file_is_judged_by_length_kind_mode_and_who_answers() {
        let (dir, mut config) = config();
        let path = dir.path().join("broker.sock");
        config.socket = Some(path.clone());
        let level = |broker: &Running, config: &Config| {
            let keys = ("socket", "socket");
            let broker = broker.clone();
            let around = Surroundings { broker, ..around() };
            socket_file(keys, &config.api_socket(), config, &around).level
        };
        assert_eq!(level(&Running::Down, &config), Level::Ok);
        let listening = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(level(&up(&[], &[]), &config), Level::Ok);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(level(&up(&[], &[]), &config), Level::Fail);
        drop(listening);
        assert_eq!(level(&Running::Down, &config), Level::Warn, "left behind");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "x").unwrap();
        assert_eq!(level(&Running::Down, &config), Level::Fail, "no socket");
        config.socket = Some(dir.path().join("x".repeat(120)));
        assert_eq!(level(&Running::Down, &config), Level::Fail, "too long");
    }

    #[test]
    fn a_broker_that_is_sealed_warns_and_one_that_cannot_serve_fails() {
        assert_eq!(broker(&Running::Down).level, Level::Ok);
        assert_eq!(broker(&Running::Silent).level, Level::Fail);
        assert_eq!(broker(&up(&[], &[])).level, Level::Ok);
        assert_eq!(broker(&up(&["sealed"], &[])).level, Level::Warn);
        assert_eq!(broker(&up(&["audit_unavailable"], &[])).level, Level::Fail);
        assert_eq!(broker(&up(&["store_failed"], &[])).level, Level::Fail);
        assert_eq!(broker(&up(&["draining"], &[])).level, Level::Warn);
    }

    #[test]
    fn an_extra_root_that_is_no_certificate_fails() {
        let (dir, mut config) = config();
        assert_eq!(roots(&config).level, Level::Ok);
        let path = dir.path().join("root.pem");
        fs::write(&path, "no certificate").unwrap();
        config.egress.extra_roots = vec![path];
        assert_eq!(roots(&config).level, Level::Fail);
    }
}
