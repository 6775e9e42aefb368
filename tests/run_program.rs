//! `runtools run` and `runtools proxy env`, before a broker that is played by a script: what a program is
//! given, what it is not, and what is left when it is over.
#![allow(
    dead_code,
    reason = "the script for brokers is that of another journey"
)]

#[path = "oauth_cli/fake.rs"]
mod fake;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use fake::{Fake, data, ended, eventually};
use serde_json::{Value, json};

const RESOLVE: &str = "POST /v1/resolve";
const RELEASE: &str = "DELETE /v1/resolutions/0190a5f0-0000-7000-8000-000000000001";
const PLACEHOLDER: &str = "ghp_rtPlaceh0lder1";
const PROXY: &str = "http://runtools:rt_hdl_abc@127.0.0.1:8421";

fn resolved() -> Value {
    let authority = rcgen::generate_simple_self_signed(vec!["x.test".into()]).unwrap();
    json!({
        "id": "0190a5f0-0000-7000-8000-000000000001", "handle": "rt_hdl_abc", "tool": "github",
        "expiresAt": "2026-11-28T23:00:00Z", "usesLeft": 1000,
        "fields": [
            {"field": "token", "source": "user_secret", "env": ["GITHUB_TOKEN", "GH_TOKEN"]},
            {"field": "session", "source": "missing", "env": ["GITHUB_SESSION"]},
        ],
        "placeholders": {"token": PLACEHOLDER},
        "constraints": [],
        "proxy": {
            "url": "http://127.0.0.1:8421", "username": "runtools",
            "certificateAuthority": authority.cert.pem(),
        },
    })
}

fn broker() -> Fake {
    let (_, answer) = data(&resolved());
    let done = data(&json!({"success": true}));
    Fake::new(&[(RESOLVE, vec![(201, answer)]), (RELEASE, vec![done])])
}

fn run<'a>(program: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["run", "--tool", "github", "--"];
    words.extend_from_slice(program);
    words
}

/// The command, its folders below the broker's.
fn command(fake: &Fake, words: &[&str]) -> Command {
    // Whoever runs the tests may ignore some.
    with_signals(fake, "--default-signal=HUP,INT,QUIT,TERM", words)
}

/// The command, started with signals as env(1) is told.
fn with_signals(fake: &Fake, signals: &str, words: &[&str]) -> Command {
    let inner = fake.command(words);
    let mut command = Command::new("env");
    command
        .args([signals.as_ref(), inner.get_program()])
        .args(inner.get_args())
        .env_clear()
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("XDG_RUNTIME_DIR", fake.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // As a supervisor starts it: not in the foreground of whoever runs the tests.
    command.process_group(0);
    command
}

#[track_caller]
fn says(fake: &Fake, exit: i32, words: &[&str]) -> (String, String) {
    ended(exit, command(fake, words).spawn().unwrap())
}

/// What is left of the files of roots.
fn left(fake: &Fake) -> usize {
    fs::read_dir(fake.path("runtools-proxy")).unwrap().count()
}

/// Sends `name` to the command alone, as `kill` and supervisors do.
fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid])
        .status();
    assert!(sent.unwrap().success());
}

/// A program that says when it is ready, and then waits.
fn start(fake: &Fake, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    started(command(fake, &run(&["sh", "-c", script])))
}

fn started(mut command: Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

#[test]
fn a_program_finds_placeholders_and_the_proxy_and_no_key_of_its_callers() {
    let fake = broker();
    let mut command = command(&fake, &run(&["env", "-0"]));
    command
        .env("RUNTOOLS_API_KEY_OLD", "rt_live_canary")
        .env("RUNTOOLS_CA_FILE", "/canary")
        .env("GITHUB_SESSION", "a-credential-of-the-callers-canary")
        .env("MINE", "kept")
        .env("JAVA_TOOL_OPTIONS", "-ea")
        .env("NO_PROXY", "corp.test");
    let (out, err) = ended(0, command.spawn().unwrap());
    assert_eq!(err, "");
    let found = |name: &str| {
        let mut lines = out.split('\0').filter_map(|line| line.split_once('='));
        lines.find(|(it, _)| *it == name).map(|(_, value)| value)
    };
    assert_eq!(found("GITHUB_TOKEN"), Some(PLACEHOLDER));
    assert_eq!(found("GH_TOKEN"), Some(PLACEHOLDER));
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
    ] {
        assert_eq!(found(name), Some(PROXY), "{name}");
    }
    assert_eq!(found("NO_PROXY"), Some("localhost,127.0.0.1,::1,corp.test"));
    assert_eq!(found("MINE"), Some("kept"));
    let java = found("JAVA_TOOL_OPTIONS").unwrap();
    assert!(
        java.starts_with("-ea -Dhttp.proxyHost=127.0.0.1 "),
        "{java}"
    );
    assert!(!java.contains("rt_hdl_"), "Java prints them: {java}");
    assert!(
        !out.contains("RUNTOOLS_") && !out.contains("canary"),
        "{out}"
    );
    let roots = found("SSL_CERT_FILE").unwrap();
    assert!(roots.starts_with(fake.path("runtools-proxy").to_str().unwrap()));
    assert!(!fs::exists(roots).unwrap(), "it goes with the program");
    let asked = fake.wait_for(RESOLVE).body;
    let wanted = json!({"tool": "github", "lane": "proxy", "maxUses": 1000, "ttlSeconds": 900});
    assert_eq!(asked, wanted);
    assert_eq!(fake.all(RELEASE).len(), 1);
}

#[test]
fn what_is_asked_for_is_what_the_flags_say() {
    let fake = broker();
    let words = [
        "run",
        "--tool",
        "github",
        "--account",
        "octocat",
        "--credential-override",
        "token=work_token",
        "--ttl",
        "5m",
        "--uses",
        "3",
        "--",
        "true",
    ];
    says(&fake, 0, &words);
    assert_eq!(
        fake.wait_for(RESOLVE).body,
        json!({
            "tool": "github", "lane": "proxy", "account": "octocat", "maxUses": 3, "ttlSeconds": 300,
            "credentialOverrides": {"token": "WORK_TOKEN"},
        })
    );
}

#[test]
fn the_roots_are_readable_to_the_program_and_to_nobody_else() {
    let fake = broker();
    let script = "stat -c %a \"$SSL_CERT_FILE\" \"$(dirname \"$SSL_CERT_FILE\")\"; \
                  grep -c BEGIN \"$NODE_EXTRA_CA_CERTS\"";
    let (out, _) = says(&fake, 0, &run(&["sh", "-c", script]));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["600", "700"]);
    assert!(lines[2].parse::<usize>().unwrap() >= 1);
}

#[test]
fn the_program_has_the_callers_streams_and_rights_and_its_own_exit_code() {
    let fake = broker();
    let script = "cat; umask; grep NoNewPrivs /proc/self/status; echo out; echo err >&2; exit 42";
    let mut child = command(&fake, &run(&["sh", "-c", script]));
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"in\n").unwrap();
    let (out, err) = ended(42, child);
    let mut mine = Command::new("sh");
    mine.args(["-c", "umask; grep NoNewPrivs /proc/self/status"]);
    let mine = String::from_utf8(mine.output().unwrap().stdout).unwrap();
    assert_eq!(out, format!("in\n{mine}out\n"));
    assert_eq!(err, "err\n");
}

#[test]
fn whatever_ends_the_program_nothing_is_left_of_it() {
    for (name, exit) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let fake = broker();
        let (child, _out) = start(&fake, "echo ready; exec sleep 60");
        assert_eq!(left(&fake), 1);
        signal(&child, name);
        ended(exit, child);
        assert_eq!(fake.all(RELEASE).len(), 1, "{name}");
        assert_eq!(left(&fake), 0, "{name}");
    }
}

#[test]
fn what_is_ignored_where_it_is_started_is_ignored_by_the_program_too() {
    let fake = broker();
    let script = "kill -HUP $$; echo ready; read -r line; echo \"$line\"; exit 5";
    let words = run(&["sh", "-c", script]);
    // As nohup(1) does.
    let mut command = with_signals(&fake, "--ignore-signal=HUP", &words);
    command.stdin(Stdio::piped());
    let (mut child, mut out) = started(command);
    signal(&child, "HUP");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"still here\n").unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert_eq!(rest, "still here\n");
    ended(5, child);
    assert_eq!(left(&fake), 0);
}

#[test]
fn a_program_may_end_in_its_own_way_when_it_is_told_to() {
    let fake = broker();
    let script = "trap 'echo tidied; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let (child, mut out) = start(&fake, script);
    signal(&child, "TERM");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert_eq!(rest, "tidied\n");
    ended(3, child);
    assert_eq!(left(&fake), 0);
}

/// Runs a command at a terminal of its own, types Ctrl-C when it is ready, and shows what a person saw.
const TERMINAL: &str = r"
import os, pty, signal, sys
pid, fd = pty.fork()
if pid == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
seen = b''
try:
    while True:
        piece = os.read(fd, 4096)
        if not piece: break
        if b'ready' in piece: os.write(fd, b'\x03')
        seen += piece
except OSError: pass
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

#[test]
fn what_is_typed_at_a_terminal_comes_once_and_the_command_outlives_it() {
    let fake = broker();
    let script = "trap 'echo caught' INT; echo ready; sleep 1; sleep 1; echo over; exit 4";
    let mut command = Command::new("python3");
    command
        .args(["-c", TERMINAL, env!("CARGO_BIN_EXE_runtools")])
        .args(run(&["bash", "-c", script]))
        .env("HOME", fake.path(""))
        .env("XDG_RUNTIME_DIR", fake.path(""))
        .env("RUNTOOLS_SOCKET", fake.path("s"));
    let output = command.output().unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{seen}");
    assert_eq!(seen.matches("caught").count(), 1, "{seen}");
    assert_eq!(fake.all(RELEASE).len(), 1);
    assert_eq!(left(&fake), 0);
}

#[test]
fn a_program_that_is_none_costs_the_handle_and_says_so() {
    let fake = broker();
    let (_, err) = says(&fake, 127, &run(&["no-such-program"]));
    assert!(
        err.contains("no-such-program is no program on the PATH"),
        "{err}"
    );
    assert_eq!(fake.all(RELEASE).len(), 1);
    assert_eq!(left(&fake), 0);
}

#[test]
fn nothing_runs_without_a_handle() {
    let (status, refusal) = (
        403,
        json!({"error": {
        "code": "policy_denied", "message": "No.", "hint": "Ask an admin.", "requestId": "r"}}),
    );
    let fake = Fake::new(&[(RESOLVE, vec![(status, refusal)])]);
    let (out, err) = says(&fake, 5, &run(&["echo", "ran"]));
    assert_eq!(out, "");
    assert!(
        err.contains("error: No.") && err.contains("hint: Ask an admin."),
        "{err}"
    );
    let (_, err) = says(&fake, 2, &["run", "--tool", "github"]);
    assert!(err.contains("PROGRAM"), "{err}");
}

#[test]
fn a_shell_that_takes_in_the_lines_has_what_a_program_would_have() {
    let fake = broker();
    let (lines, err) = says(&fake, 0, &["proxy", "env", "--tool", "github"]);
    assert_eq!(err, "");
    assert!(
        lines.contains("# eval \"$(runtools proxy env --tool github)\""),
        "{lines}"
    );
    let script =
        format!("{lines}\nprintf '%s\\n' \"$GITHUB_TOKEN\" \"$https_proxy\" \"$CURL_CA_BUNDLE\"");
    let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed[..2], [PLACEHOLDER, PROXY]);
    let mode = fs::metadata(printed[2]).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(fake.all(RELEASE).is_empty(), "it is for later");
}

#[test]
fn every_format_has_the_same_variables() {
    let env = |more: &[&str]| {
        let fake = broker();
        let mut words = vec!["proxy", "env", "--tool", "github"];
        words.extend_from_slice(more);
        says(&fake, 0, &words).0
    };
    let bare: Value = serde_json::from_str(&env(&["--shell", "json"])).unwrap();
    let document: Value = serde_json::from_str(&env(&["--json"])).unwrap();
    let (fish, powershell) = (env(&["--shell", "fish"]), env(&["--shell", "powershell"]));
    assert_eq!(bare["GITHUB_TOKEN"], PLACEHOLDER);
    assert_eq!(document["data"]["expiresAt"], "2026-11-28T23:00:00.000Z");
    for name in bare.as_object().unwrap().keys() {
        assert!(document["data"]["variables"][name].is_string(), "{name}");
        assert!(fish.contains(&format!("\nset -gx {name} '")), "{name}");
        assert!(powershell.contains(&format!("\n$env:{name} = '")), "{name}");
    }
}

#[test]
fn what_nobody_was_shown_is_ended_at_once() {
    let fake = broker();
    fs::write(fake.path("runtools-proxy"), "in the way").unwrap();
    let (out, err) = says(&fake, 1, &["proxy", "env", "--tool", "github"]);
    assert_eq!(out, "");
    assert!(err.contains("runtools-proxy"), "{err}");
    eventually(|| (fake.all(RELEASE).len() == 1).then_some(()));
}
