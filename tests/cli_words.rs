//! What the command line says and takes: examples that work, filters that find, next steps that can
//! be taken as they are written.

mod harness;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::Broker;
use harness::crm::crm_file;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The command line of somebody who is known to a broker over its socket.
struct Terminal {
    home: TempDir,
    socket: String,
}

impl Terminal {
    fn at(broker: &Broker) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            socket: broker.socket().display().to_string(),
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.home.path().join(name), text).unwrap();
    }

    /// Runs a line of a shell in which `runtools` is on the path: what was printed, when it ended with
    /// `code`.
    #[track_caller]
    fn types(&self, code: i32, line: &str, input: &str) -> (String, String) {
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_runtools"));
        let path = format!("{}:/usr/bin:/bin", binary.parent().unwrap().display());
        let mut child = Command::new("bash")
            .args(["-c", line])
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.home.path())
            .env("RUNTOOLS_SOCKET", &self.socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{line}\n{out}\n{err}");
        (out, err)
    }
}

#[test]
fn the_helps_example_for_what_is_no_line_of_text_works() {
    let broker = Broker::start();
    let terminal = Terminal::at(&broker);
    terminal.write(
        "key.pem",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n",
    );
    let (help, _) = terminal.types(0, "runtools secret set --help", "");
    let example = help.lines().find(|line| line.contains("key.pem")).unwrap();
    terminal.types(0, example.trim(), "");
    let (details, _) = terminal.types(0, "runtools secret get TLS_KEY --reveal | base64 -d", "");
    assert!(details.starts_with("-----BEGIN"), "{details}");
    // The file as it is would be refused: the help does not say otherwise.
    assert!(!help.contains("--from-file key.pem"), "{help}");
    for (code, line) in [
        (
            1,
            r"printf 'p\u00e4ssw\u00f6rd' | runtools secret set TLS_KEY",
        ),
        (2, r"printf '\xff\xfe' | runtools secret set TLS_KEY"),
    ] {
        let (_, refused) = terminal.types(code, &format!("export LC_ALL=C.UTF-8; {line}"), "");
        assert!(refused.contains("printable ASCII"), "{refused}");
    }
}

#[test]
fn who_stores_a_value_that_is_too_short_to_be_lent_is_told() {
    let broker = Broker::start();
    let terminal = Terminal::at(&broker);
    for line in ["secret set PIN", "secret rotate PIN"] {
        let line = format!("runtools {line}");
        let (_, words) = terminal.types(0, &line, "12345");
        assert!(words.contains("never lent"), "{line}: {words}");
        let (_, words) = terminal.types(0, &format!("{line} --json"), "12345");
        assert_eq!(words, "", "{line}");
        let (_, words) = terminal.types(0, &line, "123456");
        assert!(!words.contains("never lent"), "{line}: {words}");
    }
}

#[test]
fn the_journal_is_asked_by_what_other_tables_show() {
    let broker = Broker::start();
    let terminal = Terminal::at(&broker);
    let ann = json!({"name": "Ann Example", "email": "ann@example.com", "createKey": true});
    let made = broker
        .operator()
        .post("/v1/organizations/current/members", &ann)
        .expect(201);
    let client = broker
        .anonymous()
        .key(made["data"]["key"].as_str().unwrap());
    let secret = json!({"name": "ANNS_KEY", "value": "a-value-of-no-use"});
    client.post("/v1/secrets", &secret).expect(201);
    let (table, _) = terminal.types(0, "runtools member list", "");
    let row = table.lines().find(|line| line.contains("Ann Example"));
    let membership = row.unwrap().split_whitespace().last().unwrap();
    let user = made["data"]["userId"]
        .as_str()
        .unwrap_or_else(|| made["data"]["member"]["userId"].as_str().unwrap());
    let today = "--since 1h";
    for who in [membership, user, "'ann example'", "ANN@example.com"] {
        let line = format!("runtools audit list --actor {who} {today}");
        let (found, _) = terminal.types(0, &line, "");
        assert!(found.contains("ANNS_KEY"), "{who}: {found}");
    }
    let (_, refused) = terminal.types(1, "runtools audit list --actor Nobody", "");
    assert!(refused.contains("no member has this one"), "{refused}");
    // The operator is known by their user id of the machine.
    let (members, _) = terminal.types(0, "runtools member list --json", "");
    let members: Value = serde_json::from_str(&members).unwrap();
    let mut uids = members["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m["uid"].as_u64());
    let line = format!("runtools audit list --actor {}", uids.next().unwrap());
    let (found, _) = terminal.types(0, &line, "");
    assert!(
        !found.contains("ANNS_KEY") && found.contains("member.add"),
        "{found}"
    );

    for (times, there) in [
        ("--since 2026-01-01", true),
        ("--since 7d", true),
        ("--since 2999-01-01", false),
        ("--until 1d", false),
        ("--until 2999-01-01T00:00:00Z", true),
    ] {
        let (found, _) = terminal.types(0, &format!("runtools audit list {times}"), "");
        assert_eq!(found.contains("ANNS_KEY"), there, "{times}: {found}");
    }
    let (_, refused) = terminal.types(1, "runtools audit list --since yesterday", "");
    assert!(refused.contains("7d"), "{refused}");
    terminal.types(2, "runtools audit list --limit 0", "");
}

#[test]
fn the_operator_sees_the_vaults_own_records() {
    let broker = Broker::start();
    let terminal = Terminal::at(&broker);
    let (_, nothing) = terminal.types(0, "runtools audit list --action vault.init", "");
    assert!(nothing.contains("no records"), "{nothing}");
    let (found, _) = terminal.types(0, "runtools audit list --whole --action vault.init", "");
    assert!(found.contains("vault.init"), "{found}");
}

#[test]
fn a_next_step_can_be_taken_as_it_is_written() {
    let broker = Broker::start();
    let terminal = Terminal::at(&broker);
    let (_, words) = terminal.types(9, "runtools secret get ABSENT", "");
    assert!(words.contains("--org-wide"), "{words}");
    terminal.write("crm.yaml", "slug: custom-crm\n");
    let (_, words) = terminal.types(2, "runtools tool create crm.yaml", "");
    assert!(words.contains("TOML or JSON"), "{words}");
    // Whatever a file is called, and on standard input, both are read.
    let tool = crm_file(1);
    terminal.write("crm", &tool);
    terminal.types(0, "runtools tool create crm", "");
    terminal.types(0, "runtools tool create -", &tool);
    terminal.types(0, "runtools tool install custom-crm", "");
    for (call, what) in [
        ("--action nothing", "The tool has no such action."),
        ("--action lookup_customer", "/email: missing."),
        (
            "--action lookup_customer --params '{\"email\":1}'",
            "/email: ",
        ),
    ] {
        let line = format!("runtools tool exec custom-crm {call}");
        let (_, words) = terminal.types(1, &line, "");
        assert!(words.contains(what), "{words}");
        assert!(!words.contains(" /: "), "{words}");
        assert!(words.contains("`runtools tool get custom-crm`"), "{words}");
    }
    terminal.types(0, "runtools tool get custom-crm", "");
}

#[test]
fn who_runs_the_broker_from_where_it_was_built_is_told_where_the_command_line_is() {
    const COMMAND: &str = "cargo install --path . --locked";
    const README: &str = include_str!("../README.md");
    let broker = Broker::start();
    // What comes after the first line may still be on its way.
    let end = Instant::now() + Duration::from_secs(20);
    while !broker.log_text().contains(COMMAND) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = broker.log_text();
    assert!(said.contains("runtools login --local"), "{said}");
    assert!(said.contains(COMMAND), "{said}");
    let (start, _) = README.split_once("## The first brokered call").unwrap();
    assert!(
        start.contains(COMMAND) && start.contains("C compiler"),
        "{start}"
    );
}
