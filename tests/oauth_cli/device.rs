//! The device flow: a code that is typed at the provider.

use std::process::Command;

use serde_json::{Value, json};

use super::fake::{Fake, ID, connection, data, ended, list, refusal};
use super::{CONNECTIONS, START, press_ctrl_c};

/// A device flow that is waited for once.
fn device(end: &Value) -> Fake {
    let looked_at = vec![
        list(&json!([])),
        list(&json!([connection(ID, "octocat", &[])])),
    ];
    device_and(end, looked_at)
}

/// The same, with what is answered to whoever looks at the connections.
fn device_and(end: &Value, looked_at: Vec<(u16, Value)>) -> Fake {
    let status = |more: &Value| {
        let mut status = json!({
            "provider": "github", "displayName": "GitHub", "interval": 1,
            "expiresAt": "2026-11-23T09:45:00Z",
        });
        status
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        data(&status)
    };
    let page = "https://github.example/login/device";
    let begun = json!({
        "provider": "github", "authType": "device_code", "attemptToken": "canary-attempt",
        "verificationUri": page, "verificationUriComplete": format!("{page}?user_code=WDJB-MJHT"),
        "userCode": "WDJB-MJHT", "interval": 1, "expiresAt": "2026-11-23T09:45:00Z",
    });
    Fake::github(&[
        ("POST /v1/oauth/device/start/github", vec![data(&begun)]),
        (
            "POST /v1/oauth/device/status/github",
            vec![status(&json!({"status": "pending"})), status(end)],
        ),
        (CONNECTIONS, looked_at),
    ])
}

#[test]
fn n2_without_a_display_the_device_flow_is_chosen_by_itself() {
    let fake = device(&json!({"status": "connected", "connectionId": ID, "account": "octocat"}));
    let (out, err) = fake.says(0, &["oauth", "connect", "github", "--scopes", "repo"]);
    assert_eq!(out, "connected github as octocat\n");
    assert!(
        err.contains("https://github.example/login/device\n"),
        "{err}"
    );
    assert!(
        err.contains("  WDJB-MJHT\n") && !err.contains('\u{2588}'),
        "{err}"
    );
    assert!(!err.contains("canary-attempt"), "{err}");
    let started = fake.wait_for("POST /v1/oauth/device/start/github");
    assert_eq!(started.body, json!({"scopes": ["repo"]}));
    let asked = fake.all("POST /v1/oauth/device/status/github");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body, json!({"attemptToken": "canary-attempt"}));
    assert!(fake.all(START).is_empty());
}

#[test]
fn d2_a_device_flow_ends_with_what_the_provider_said() {
    for (end, exit, words) in [
        (json!({"status": "denied"}), 3, "declined at github"),
        (json!({"status": "expired"}), 1, "nobody agreed in time"),
        (
            json!({"status": "failed", "error": "device_not_enabled"}),
            1,
            "has not switched connecting with a code on",
        ),
    ] {
        let (out, err) = device(&end).says(exit, &["oauth", "connect", "github", "--device"]);
        assert!(out.is_empty() && err.contains(words), "{err}");
    }
}

#[test]
fn ctrl_c_ends_the_attempt_so_that_the_code_connects_nothing() {
    const CANCEL: &str = "POST /v1/oauth/device/cancel/github";
    let fake = device(&json!({"status": "pending"}));
    let child = fake.start(&["oauth", "connect", "github", "--device"], &[]);
    fake.wait_for("POST /v1/oauth/device/status/github");
    press_ctrl_c(&child);
    let (out, err) = ended(3, child);
    assert_eq!((out.as_str(), err.contains("error: cancelled")), ("", true));
    assert_eq!(fake.all(CANCEL).len(), 1);
    let told = fake.wait_for(CANCEL).body;
    assert_eq!(told, json!({"attemptToken": "canary-attempt"}));
    assert!(!err.contains("canary-attempt"), "{err}");
}

#[test]
fn what_was_not_allowed_is_said_to_a_key_that_may_only_connect_too() {
    let end = json!({
        "status": "connected", "connectionId": ID, "account": "octocat", "missingScopes": ["gist"],
    });
    let fake = device_and(&end, vec![refusal(403, "missing_scope", "no")]);
    let (out, err) = fake.says(0, &["oauth", "connect", "github", "--device"]);
    assert_eq!(out, "connected github as octocat\n");
    assert!(err.contains("warning: not allowed: gist"), "{err}");
    assert!(err.contains(&format!("--reconnect {ID}")), "{err}");
}

#[test]
fn with_json_there_is_a_line_at_once_and_a_line_at_the_end() {
    let fake = device(&json!({"status": "connected", "connectionId": ID}));
    let (out, err) = fake.says(0, &["oauth", "connect", "github", "--json"]);
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [waiting, document] = &lines[..] else {
        panic!("{out}");
    };
    let page = "https://github.example/login/device";
    let shown = json!({
        "provider": "github", "verificationUri": page,
        "verificationUriComplete": format!("{page}?user_code=WDJB-MJHT"),
        "userCode": "WDJB-MJHT", "expiresAt": "2026-11-23T09:45:00.000Z",
    });
    assert_eq!(
        waiting["waiting"], shown,
        "what it is asked about with stays here"
    );
    let connected = json!({
        "provider": "github", "connectionId": ID, "account": "octocat", "renewed": false,
        "missingScopes": [],
    });
    assert_eq!(document["data"], connected);
    assert!(
        err.contains("WDJB-MJHT") && !err.contains("good until"),
        "{err}"
    );
}

#[test]
fn on_a_wide_terminal_the_address_is_a_picture_too() {
    const TERMINAL: &str = r"
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[2], sys.argv[2:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 50, int(sys.argv[1]), 0, 0))
seen = b''
try:
    while piece := os.read(fd, 4096): seen += piece
except OSError: pass
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    for (columns, drawn) in [("80", true), ("30", false)] {
        let fake = device(&json!({"status": "connected", "connectionId": ID}));
        let output = Command::new("python3")
            .args(["-c", TERMINAL, columns, env!("CARGO_BIN_EXE_runtools")])
            .args(["oauth", "connect", "github"])
            .env_clear()
            .env("NO_COLOR", "1")
            .env("HOME", fake.path(""))
            .env("RUNTOOLS_SOCKET", fake.path("s"))
            .output()
            .unwrap();
        let seen = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{seen}");
        assert_eq!(
            seen.contains("\u{2588}\u{2588}\u{2588}\u{2588}"),
            drawn,
            "{seen}"
        );
        assert!(!seen.contains('\u{1b}'), "{seen}");
    }
}
