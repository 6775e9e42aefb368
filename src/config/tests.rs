//! The file and the struct agree; layers win in their order; mistakes are named.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::file::{defaults, keys, parse, validate};
use super::log::LogLevel;
use super::settings::RANGES;
use super::{Config, ConfigError, Env, Flags, default_socket};
use crate::client::{self, ClientEnv};
use crate::http::serve::ServeLimits;

const SHIPPED: &str = include_str!("../../config/broker.toml");

/// The shipped file with every setting in force.
fn uncommented() -> String {
    let line = |line: &'static str| match line.strip_prefix("# ") {
        Some(setting) if setting.contains(" = ") => setting,
        _ => line,
    };
    SHIPPED.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_file_is_the_defaults_with_and_without_its_comments() {
    assert_eq!(parse(SHIPPED).unwrap(), Config::default());
    assert_eq!(parse(&uncommented()).unwrap(), Config::default());
    assert_eq!(Config::default().serve_limits(), ServeLimits::default());
}

#[test]
fn the_shipped_file_lists_every_key_once_with_a_sentence_and_its_range() {
    let mut section = String::new();
    let mut listed = Vec::new();
    let mut sentence = "";
    for line in SHIPPED.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.replace(']', ".");
        } else if let Some((name, _)) = line.strip_prefix("# ").and_then(|l| l.split_once(" = ")) {
            let key = format!("{section}{name}");
            assert!(sentence.ends_with('.'), "{key}: {sentence}");
            if let Some((_, min, max)) = RANGES.iter().find(|(of, _, _)| *of == key) {
                assert!(sentence.contains(&format!("({min} to {max})")), "{key}");
            }
            listed.push(key);
        }
        sentence = line;
    }
    let mut known = keys(&defaults());
    listed.sort();
    known.sort();
    assert_eq!(listed, known);
}

#[test]
fn every_number_has_a_range_and_is_refused_outside_it() {
    let numbers = keys(&defaults()).into_iter().filter(|key| {
        let value = key.split('.').fold(defaults(), |v, name| v[name].clone());
        value.is_number()
    });
    for key in numbers {
        let (_, min, max) = RANGES.iter().find(|(of, _, _)| *of == key).expect(&key);
        for (number, fine) in [(*min, true), (*max, true), (max + 1, false)] {
            let config = parse(&format!("{key} = {number}")).unwrap();
            assert_eq!(validate(&config).is_ok(), fine, "{key} = {number}");
        }
        if let Some(below) = min.checked_sub(1) {
            let config = parse(&format!("{key} = {below}")).unwrap();
            assert!(validate(&config).is_err(), "{key} = {below}");
        }
    }
}

fn refused(text: &str) -> String {
    let parsed = parse(text).and_then(|config| validate(&config));
    parsed.unwrap_err().to_string()
}

/// What is wrong with a file, and what is said of it.
const MISTAKES: &[(&str, &str)] = &[
    (
        "dat_dir = 'x'",
        "unknown setting `dat_dir`: did you mean `data_dir`?",
    ),
    (
        "cache_mb = 1",
        "unknown setting `cache_mb`: did you mean `store.cache_mb`?",
    ),
    (
        "[limits]\nconections = 1",
        "unknown setting `limits.conections`: did you mean `limits.connections`?",
    ),
    ("bogus = 1", "unknown setting `bogus`"),
    ("[store]\nbogus = 1", "unknown setting `store.bogus`"),
    (
        "lissen = ['127.0.0.1:1']",
        "unknown setting `lissen`: did you mean `listen`?",
    ),
    (
        "store.cache_mb = 'canary'",
        "`store.cache_mb` wants a whole number",
    ),
    (
        "store.engine = 'lmdb'",
        "`store.engine` wants \"sled\" or \"redb\"",
    ),
    (
        "store.cache_mb = -1",
        "`store.cache_mb` wants a whole number",
    ),
    ("store = 'canary'", "`store` wants a section of its own"),
    ("data_dir = 7", "`data_dir` wants a text in quotes"),
    (
        "listen = 'canary'",
        "`listen` wants a list of texts, as [\"…\"]",
    ),
    (
        "listen = ['canary']",
        "`listen` wants addresses with ports, as [\"127.0.0.1:8420\"]",
    ),
    (
        "\n[log]\nlevel = 'canary'",
        "`log.level` wants \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
    ),
    (
        "audit.segment_mb = 0",
        "`audit.segment_mb` takes numbers from 1 to 4096",
    ),
    ("data_dir = 'x'\ncanary", "line 2 is not valid TOML"),
    (
        "tls.cert = 'c.pem'",
        "`tls.cert` and `tls.key` go together: set both or none",
    ),
    (
        "socket_mode = '0777'",
        "`socket_mode` wants \"0600\" or \"0660\"",
    ),
    (
        "listen = ['0.0.0.0:1']",
        "listening on 0.0.0.0:1 needs `tls.cert` and `tls.key`: plain HTTP stays on loopback",
    ),
];

#[test]
fn a_mistake_is_answered_with_the_key_and_what_it_takes_but_never_with_the_value() {
    for (text, answer) in MISTAKES {
        assert_eq!(refused(text), *answer, "{text}");
    }
}

#[test]
fn who_holds_keys_has_a_name_and_a_program_that_is_named_in_full() {
    let good =
        "[custody.exec.my-kms]\nprogram = \"/usr/lib/kms\"\narguments = [\"--region\", \"x\"]\n";
    let config = parse(good).unwrap();
    validate(&config).unwrap();
    let program = &config.custody.exec["my-kms"];
    assert_eq!(program.program, Path::new("/usr/lib/kms"));
    assert_eq!(program.arguments, ["--region", "x"]);
    for (written, instead) in [
        ("my-kms", "my_kms"),
        ("my-kms", "\"../kms\""),
        ("/usr/lib/kms", "kms"),
        ("program", "programme"),
        ("[\"--region\", \"x\"]", "\"--region x\""),
    ] {
        let bad = good.replace(written, instead);
        let refused = parse(&bad)
            .and_then(|config| validate(&config))
            .unwrap_err();
        let said = refused.to_string();
        assert!(
            said.starts_with("`custody.exec` wants a section"),
            "{bad}: {said}"
        );
    }
}

#[test]
fn a_device_has_a_library_and_a_pin_file_that_are_named_in_full() {
    let good = "[custody.pkcs11.hsm]\nlibrary = \"/usr/lib/hsm.so\"\ntoken = \"t\"\nkey = \"k\"\n\
                pin_file = \"/etc/pin\"\nenvironment = { HSM = \"1\" }\n";
    let config = parse(good).unwrap();
    validate(&config).unwrap();
    assert_eq!(config.custody.pkcs11["hsm"].environment["HSM"], "1");
    for (written, instead) in [
        ("/usr/lib/hsm.so", "hsm.so"),
        ("/etc/pin", "pin"),
        ("pin_file = \"/etc/pin\"\n", ""),
        ("pin_file", "pin"),
        ("pkcs11.hsm", "pkcs11.HSM"),
    ] {
        let bad = good.replace(written, instead);
        let refused = parse(&bad)
            .and_then(|config| validate(&config))
            .unwrap_err();
        let said = refused.to_string();
        assert!(
            said.starts_with("`custody.pkcs11` wants a section"),
            "{bad}: {said}"
        );
    }
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.toml");
    std::fs::write(
        &file,
        "data_dir = 'd'\nkeys_dir = '/k'\nsocket = 's'\nlog.level = 'debug'\negress.extra_roots = ['ca.pem']\n",
    )
    .unwrap();
    let env = Env::of([
        ("RUNTOOLS_BROKER_CONFIG", file.to_str().unwrap()),
        ("RUNTOOLS_BROKER_KEYS_DIR", "from-env"),
        ("RUNTOOLS_BROKER_SOCKET", "from-env"),
    ]);
    let flags = Flags {
        socket: Some(PathBuf::from("from-flag")),
        listen: vec!["127.0.0.1:9".parse().unwrap()],
        ..Flags::default()
    };
    let config = Config::load(&flags, &env).unwrap();
    assert_eq!(config.data_dir, folder.path().join("d"));
    assert_eq!(config.keys_dir, Path::new("from-env"));
    assert_eq!(config.socket.as_deref(), Some(Path::new("from-flag")));
    assert_eq!(config.egress.extra_roots, [folder.path().join("ca.pem")]);
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.listen, flags.listen);
    assert_eq!(config.store.cache_mb, 64);
    let missing = Flags {
        config: Some(folder.path().join("none.toml")),
        ..Flags::default()
    };
    let error = Config::load(&missing, &Env::default()).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
}

#[test]
fn requests_may_be_made_for_this_machine_the_listen_addresses_and_the_public_names() {
    let config = Config {
        listen: vec![
            "192.0.2.1:1".parse().unwrap(),
            "[2001:db8::1]:1".parse().unwrap(),
        ],
        public_hosts: vec!["Vault.Example.COM".to_owned()],
        ..Config::default()
    };
    let hosts = config.allowed_hosts();
    let expected = [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "192.0.2.1",
        "[2001:db8::1]",
        "vault.example.com",
    ];
    assert_eq!(hosts, expected);
}

#[test]
fn a_key_in_the_environment_is_refused_and_not_shown() {
    let env = Env::of([("RUNTOOLS_BROKER_ROOT_KEY", "canary")]);
    let error = Config::load(&Flags::default(), &env).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("RUNTOOLS_BROKER_ROOT_KEY is not read")
    );
    assert!(!format!("{error}{env:?}").contains("canary"));
}

#[test]
fn broker_and_cli_look_for_the_socket_in_the_same_place() {
    let folder = tempfile::tempdir().unwrap();
    for dir in [Some(folder.path()), None] {
        let flags = Flags {
            config: Some(PathBuf::from("/dev/null")),
            ..Flags::default()
        };
        let env = Env::of(dir.map(|dir| ("XDG_RUNTIME_DIR", dir)));
        let cli = ClientEnv {
            runtime_dir: dir.map(PathBuf::from),
            ..ClientEnv::default()
        };
        let config = Config::load(&flags, &env).unwrap();
        assert_eq!(
            config.socket.unwrap(),
            client::default_socket(&cli).unwrap()
        );
    }
}

#[test]
fn a_runtime_folder_that_is_relative_or_not_there_is_passed_over() {
    for folder in ["relative", "/no/such/folder"] {
        let env = Env::of([("XDG_RUNTIME_DIR", folder)]);
        assert_eq!(
            default_socket(&env, Path::new("d")),
            Path::new("d/broker.sock")
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "([a-z_.\\[\\]]{0,12} ?= ?[a-z0-9'\"\\[\\]{}]{0,8}\n){0,4}") {
        drop(parse(&text));
    }
}
