//! The command line as its users see it: every help text, and what is said when nothing can be done.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs a binary in an empty place, without a broker, a terminal or settings.
fn run(binary: &str, arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    run_at(home.path(), binary, arguments)
}

fn run_at(home: &Path, binary: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .current_dir(home)
        .env_clear()
        .env("HOME", home);
    command.stdin(Stdio::null()).output().unwrap()
}

fn runtools(arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_runtools"), arguments)
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The help of a verb and of all below it. What every verb repeats is shown with the first only.
fn tree(binary: &str, path: &[&str], text: &mut String) {
    let mut arguments = path.to_vec();
    arguments.push("--help");
    let output = run(binary, &arguments);
    assert!(output.status.success(), "{path:?}");
    let mut everywhere = false;
    text.extend(["# ", &path.join(" "), "\n\n"]);
    let mut verbs = Vec::new();
    let mut in_verbs = false;
    for line in stdout(&output).lines() {
        if !line.is_empty() && !line.starts_with(' ') {
            in_verbs = line == "Commands:";
            everywhere = line == "Everywhere:" && !path.is_empty();
        } else if in_verbs && line.starts_with("  ") && !line.starts_with("   ") {
            verbs.extend(line.split_whitespace().next());
        }
        if !everywhere {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text.push('\n');
    for verb in verbs {
        let deeper: Vec<&str> = path.iter().copied().chain([verb]).collect();
        tree(binary, &deeper, text);
    }
}

#[test]
fn the_whole_tree_of_either_program_is_reviewed_when_it_changes() {
    for (name, binary) in [
        ("runtools", env!("CARGO_BIN_EXE_runtools")),
        ("runtools_broker", env!("CARGO_BIN_EXE_runtools-broker")),
    ] {
        let mut text = String::new();
        tree(binary, &[], &mut text);
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn with_json_every_failure_is_one_document_and_standard_error_is_silent() {
    for (arguments, exit, code) in [
        (&["--json", "status"][..], 11, "unreachable"),
        (&["secret", "list", "--json"], 11, "unreachable"),
        (&["--json", "secret", "lsit"], 2, "usage"),
        (&["--json", "secret", "set", "A=b"], 2, "usage"),
        (&["--json", "secret", "update", "A"], 2, "usage"),
        (
            &[
                "--json",
                "secret",
                "list",
                "--api-url",
                "http://127.0.0.1:1",
            ],
            4,
            "not_signed_in",
        ),
        (
            &["--json", "status", "--api-url", "http://broker.example"],
            2,
            "cleartext_refused",
        ),
        (&["--json", "login", "--no-input"], 2, "input_required"),
        (
            &[
                "--json",
                "audit",
                "verify",
                "--file",
                "none",
                "--public-key",
                "00",
            ],
            2,
            "usage",
        ),
    ] {
        let output = runtools(arguments);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["error"]["code"], code, "{arguments:?}");
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}");
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn without_a_terminal_nothing_hangs_and_the_way_out_is_named() {
    for (arguments, named) in [
        (
            &["secret", "delete", "A", "--no-input", "--socket", "s"][..],
            "--yes",
        ),
        (&["secret", "set", "A", "--socket", "s"], "--from-file"),
        (&["login", "--no-input"], "--with-key"),
        (&["auth", "set-key"], "empty"),
    ] {
        let output = runtools(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?} {}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "");
        let words = stderr(&output);
        assert!(
            words.starts_with("error: ") && words.contains(named),
            "{words}"
        );
    }
}

#[test]
fn a_value_beside_a_name_is_not_repeated() {
    for arguments in [
        &["secret", "set", "TOKEN=canary"][..],
        &[
            "tool",
            "exec",
            "t",
            "--action",
            "a",
            "--credential",
            "key=canary",
            "--socket",
            "s",
        ],
        &[
            "tool",
            "exec",
            "t",
            "--action",
            "a",
            "--credential-override",
            "k=can-canary",
        ],
        &[
            "tool",
            "credentials",
            "set",
            "t",
            "key=canary",
            "--socket",
            "s",
        ],
    ] {
        let output = runtools(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!stderr(&output).contains("canary"), "{}", stderr(&output));
    }
}

#[test]
fn colour_follows_the_flag_and_meaning_does_not_follow_colour() {
    let plain = runtools(&["status"]);
    assert!(!stderr(&plain).contains('\u{1b}'));
    assert!(stderr(&plain).contains("error: no broker listens"));
    assert!(
        stderr(&runtools(&["status", "--color=always"])).contains("\u{1b}[1;31merror:\u{1b}[0m")
    );
    assert!(stderr(&runtools(&["lsit", "--color", "always"])).contains('\u{1b}'));
    assert!(!stderr(&runtools(&["lsit", "--color", "never"])).contains('\u{1b}'));
}

#[test]
fn misspelt_verbs_and_flags_are_guessed() {
    assert!(stderr(&runtools(&["secret", "lst"])).contains("'list'"));
    assert!(stderr(&runtools(&["secret", "list", "--all-orgs"])).contains("'--all-org'"));
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definition() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = runtools(&["completions", shell]);
        assert!(
            output.status.success() && stdout(&output).contains("rollback"),
            "{shell}"
        );
    }
    let home = tempfile::tempdir().unwrap();
    let output = run_at(
        home.path(),
        env!("CARGO_BIN_EXE_runtools"),
        &["man", "pages"],
    );
    assert!(output.status.success());
    let page = std::fs::read_to_string(home.path().join("pages/runtools-secret-set.1")).unwrap();
    assert!(page.contains("generate") && page.contains(".TH"));
}

#[test]
fn signing_out_twice_is_fine() {
    let output = runtools(&["logout", "--json"]);
    assert_eq!(
        stdout(&output).split_whitespace().collect::<String>(),
        r#"{"data":{"signedOut":false}}"#
    );
}
