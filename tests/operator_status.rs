//! The status, on one screen: the operator sees what there is to look after, and everybody else that it answers.

mod harness;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use harness::program::Ran;
use harness::{Broker, Setup};
use serde_json::{Value, json};

fn command(broker: &Broker, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtools"));
    command
        .args(words)
        .current_dir(broker.folder().path())
        .env_clear()
        .env("HOME", broker.folder().path())
        .env("RUNTOOLS_SOCKET", broker.socket())
        .stdin(Stdio::null());
    command
}

fn status(broker: &Broker, words: &[&str]) -> Ran {
    let output = command(broker, &[&["status"], words].concat())
        .output()
        .unwrap();
    Ran {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The line of this name.
fn line<'s>(screen: &'s str, name: &str) -> Option<&'s str> {
    let mut lines = screen.lines().filter_map(|line| line.strip_prefix(name));
    lines.next().map(str::trim)
}

#[test]
fn the_operator_sees_one_narrow_screen_and_exit_codes_tell_the_rest() {
    let mut broker = Broker::start();
    let shown = status(&broker, &[]);
    assert_eq!(shown.exit, 0, "{}", shown.stderr);
    assert_eq!(line(&shown.stdout, "vault"), Some("unsealed"));
    let keys = line(&shown.stdout, "root key").unwrap();
    assert!(keys.starts_with("generation 1, 1 slot, since 20"), "{keys}");
    let head = broker.operator().get("/v1/audit/head").expect(200)["data"].clone();
    let told = line(&shown.stdout, "audit head").unwrap();
    let (seq, hash) = told.split_once(' ').unwrap();
    // Looking at the head is no use of anything, and writes no record.
    assert_eq!(seq, head["seq"].to_string());
    assert!(head["hash"].as_str().unwrap().starts_with(hash) && hash.len() == 16);
    assert_eq!(line(&shown.stdout, "certificate"), Some("none"));
    assert_eq!(line(&shown.stdout, "accounts"), Some("0"));
    assert!(line(&shown.stdout, "hardening").is_some());
    // A path is as long as it is.
    let own = shown.stdout.lines().filter(|line| !line.contains('/'));
    assert!(own.clone().count() > 6, "{}", shown.stdout);
    for line in own.filter(|line| !line.starts_with("hardening")) {
        assert!(line.chars().count() <= 60, "{line}");
    }

    broker
        .runs(
            &["key", "slot", "add", "key-file", "--path", "keys/spare.key"],
            None,
        )
        .expect(0);
    let document = status(&broker, &["--json"]).expect(0);
    let installation = &document["data"]["installation"];
    assert_eq!(installation["slots"], 2, "{document}");
    assert_eq!(
        installation["accounts"],
        json!({"connected": 0, "failing": 0})
    );

    broker.runs(&["seal", "--yes"], None).expect(0);
    let sealed = status(&broker, &[]);
    assert_eq!(sealed.exit, 10);
    assert_eq!(line(&sealed.stdout, "vault"), Some("sealed"));
    assert_eq!(line(&sealed.stdout, "audit head"), None);
    assert_eq!(line(&sealed.stdout, "accounts"), None);
    assert!(
        line(&sealed.stdout, "root key")
            .unwrap()
            .contains("2 slots")
    );
    assert_eq!(broker.stop(), Some(0));
    assert_eq!(status(&broker, &[]).exit, 11);
}

#[test]
fn nobody_but_the_operator_is_told_of_the_installation() {
    let broker = Broker::start();
    for client in [broker.anonymous(), broker.admin(&[]), broker.member("Ann")] {
        let told = client.get("/v1/status").expect(200);
        assert_eq!(told["status"], "ok", "{told}");
        assert!(told["installation"].is_null(), "{told}");
    }
    let told = broker.operator().get("/v1/status").expect(200);
    assert!(told["installation"]["rootKey"].is_u64(), "{told}");
}

#[test]
fn watching_looks_again_and_sees_what_changed() {
    let mut broker = Broker::with(Setup::default());
    let mut child = command(&broker, &["status", "--watch", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["data"]["sealed"], false);
    broker.runs(&["seal", "--yes"], None).expect(0);
    while next()["data"]["sealed"] == false {}
    broker.kill();
    // One that is away for a while is waited for.
    let away = next();
    assert_eq!(away["error"]["code"], "unreachable", "{away}");
    broker.restart();
    while next()["data"]["sealed"] != false {}
    child.kill().unwrap();
    child.wait().unwrap();
}
