//! The command line against a real broker: the newcomer's story, exit codes, JSON, hidden prompts.

mod harness;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use harness::crm::crm_file;
use harness::{Broker, Canaries, Upstream};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The CLI with a home of its own.
struct Cli {
    home: TempDir,
    socket: String,
}

impl Cli {
    fn of(broker: &Broker) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self {
            home,
            socket: broker.socket().display().to_string(),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtools"));
        command
            .args(words)
            .current_dir(self.home.path())
            .env_clear()
            .env("HOME", self.home.path())
            .env("RUNTOOLS_SOCKET", &self.socket);
        command
    }

    fn fed(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command(words);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    }

    /// Runs, expects `code`, and gives what was printed.
    #[track_caller]
    fn says(&self, code: i32, words: &[&str], input: &str) -> (String, String) {
        let output = self.fed(words, input);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{words:?}\n{out}\n{err}");
        (out, err)
    }

    #[track_caller]
    fn json(&self, code: i32, words: &[&str], input: &str) -> Value {
        let mut words = words.to_vec();
        words.push("--json");
        let (out, _) = self.says(code, &words, input);
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("not one document: {out}"))
    }
}

#[test]
fn a_newcomer_stores_a_secret_and_runs_a_tool_with_it() {
    let upstream = Upstream::echo();
    let broker = Broker::start();
    let cli = Cli::of(&broker);
    let file = cli.home.path().join("crm.toml");
    std::fs::write(file, crm_file(upstream.port())).unwrap();

    cli.says(0, &["login", "--local"], "");
    let set = [
        "secret",
        "set",
        "SHARED_CRM_KEY",
        "--category",
        "tool",
        "--org-wide",
    ];
    cli.says(0, &set, "crm_yyy\n");
    let (list, _) = cli.says(0, &["secret", "list"], "");
    assert!(
        list.contains("SHARED_CRM_KEY") && !list.contains("crm_yyy"),
        "{list}"
    );
    cli.says(0, &["tool", "create", "crm.toml"], "");
    cli.says(0, &["tool", "install", "custom-crm"], "");
    let exec = [
        "tool",
        "exec",
        "custom-crm",
        "--action",
        "lookup_customer",
        "--params",
        r#"{"email":"person@example.com"}"#,
        "--credential-override",
        "apiKey=SHARED_CRM_KEY",
    ];
    let (out, err) = cli.says(0, &exec, "");
    assert_eq!(upstream.last().header("authorization"), "Bearer crm_yyy");
    assert!(
        out.contains("Bearer *******") && !out.contains("crm_yyy"),
        "{out}"
    );
    assert!(!err.contains("crm_yyy"), "{err}");
    let (audit, _) = cli.says(0, &["audit", "list", "--secret", "SHARED_CRM_KEY"], "");
    for word in [
        "tool.execute",
        "Admin",
        "custom-crm",
        "127.0.0.1",
        "apiKey: override",
    ] {
        assert!(audit.contains(word), "{word}: {audit}");
    }
    let (verified, _) = cli.says(0, &["audit", "verify"], "");
    assert!(verified.contains("intact"), "{verified}");
}

#[test]
fn an_export_verifies_offline_and_a_changed_one_does_not() {
    let broker = Broker::start();
    let cli = Cli::of(&broker);
    cli.says(0, &["secret", "set", "ONE"], "value-one");
    let head = cli.json(0, &["audit", "head"], "");
    let key = head["data"]["publicKey"].as_str().unwrap().to_owned();
    cli.says(0, &["audit", "export", "--output", "export.jsonl"], "");
    let verify = [
        "audit",
        "verify",
        "--file",
        "export.jsonl",
        "--public-key",
        &key,
    ];
    cli.says(0, &verify, "");
    let path = cli.home.path().join("export.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("secret.set", "secret.get")).unwrap();
    cli.says(6, &verify, "");
}

#[test]
fn a_tool_is_found_by_words_of_what_it_is_and_does_the_best_first() {
    let broker = Broker::start();
    let cli = Cli::of(&broker);
    let slugs = |found: &Value| -> Vec<String> {
        let found = found["data"].as_array().unwrap().iter();
        found
            .map(|tool| tool["slug"].as_str().unwrap().to_owned())
            .collect()
    };
    for words in [&["refund stripe"] as &[_], &["Stripe", "refund"]] {
        let found = cli.json(0, &[&["tool", "search"], words].concat(), "");
        assert_eq!(slugs(&found), ["stripe"], "{words:?}");
    }
    let found = slugs(&cli.json(0, &["tool", "search", "google drive"], ""));
    assert_eq!(found, ["google-drive"]);
    let found = slugs(&cli.json(0, &["tool", "search", "issue"], ""));
    assert!(found.len() > 2, "{found:?}");
    let asked = broker.operator().get("/v1/tools?search=issue").expect(200);
    assert_eq!(slugs(&asked), found, "as the broker ranks them");
    let (out, err) = cli.says(0, &["tool", "search", "no-such-thing"], "");
    assert!(out.is_empty() && err.contains("no tools"), "{out}{err}");
    cli.says(2, &["tool", "search"], "");

    let operator = broker.operator();
    let found = operator.get("/v1/tools?search=git&installed=false");
    assert_eq!(
        slugs(&found.expect(200))[..3],
        ["github", "github-app", "gitlab"]
    );
    let none = operator.get("/v1/tools?search=git&installed=true");
    assert!(slugs(&none.expect(200)).is_empty());
}

#[test]
fn exit_codes_tell_what_happened() {
    let broker = Broker::start();
    let cli = Cli::of(&broker);
    cli.says(2, &["secret", "frobnicate"], "");
    cli.says(9, &["secret", "get", "ABSENT"], "");
    let (_, err) = cli.says(2, &["secret", "set", "my-key"], "value-of-key");
    assert!(
        err.contains("MY_KEY") && !err.contains("value-of-key"),
        "{err}"
    );
    cli.says(0, &["secret", "set", "GONE"], "value-of-key");
    // No terminal and no --yes: nothing is deleted.
    cli.says(2, &["secret", "delete", "GONE"], "");
    cli.says(0, &["secret", "get", "GONE"], "");
    cli.says(0, &["secret", "delete", "GONE", "--yes"], "");
    cli.says(9, &["secret", "get", "GONE"], "");
    let deleted = cli.json(0, &["secret", "list", "--deleted"], "");
    let etag = deleted["data"][0]["etag"].as_str().unwrap();
    let restore = |etag| ["secret", "restore", "GONE", "--if-match", etag];
    cli.says(8, &restore("\"another\""), "");
    cli.says(2, &restore("no\netag"), "");
    cli.says(9, &["secret", "get", "GONE"], "");
    cli.says(0, &restore(etag), "");
    let (value, _) = cli.says(0, &["secret", "get", "GONE", "--reveal"], "");
    assert_eq!(value, "value-of-key");
    let failure = cli.json(9, &["secret", "get", "ABSENT"], "");
    assert_eq!(failure["error"]["code"], "not_found");

    let mut anonymous = cli.command(&["auth", "status"]);
    anonymous
        .env_remove("RUNTOOLS_SOCKET")
        .env("RUNTOOLS_API_URL", broker.origin());
    let signed_out = anonymous
        .env("RUNTOOLS_API_KEY", "rt_live_nonsense")
        .output()
        .unwrap();
    assert_eq!(signed_out.status.code(), Some(4));
    let member = broker.operator().post(
        "/v1/organizations/current/members",
        &json!({"name": "Ann", "createKey": true}),
    );
    let key = member.expect(201)["data"]["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut forbidden = cli.command(&["secret", "set", "SHARED", "--org-wide", "x-value"]);
    forbidden
        .env_remove("RUNTOOLS_SOCKET")
        .env("RUNTOOLS_API_URL", broker.origin());
    let forbidden = forbidden.env("RUNTOOLS_API_KEY", key).output().unwrap();
    assert_eq!(forbidden.status.code(), Some(5), "{forbidden:?}");
    let mut unreachable = cli.command(&["secret", "list"]);
    let unreachable = unreachable
        .env("RUNTOOLS_SOCKET", "/nonexistent.sock")
        .output()
        .unwrap();
    assert_eq!(unreachable.status.code(), Some(11));
}

#[test]
fn a_key_from_stdin_signs_in_and_the_profile_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let broker = Broker::start();
    let cli = Cli::of(&broker);
    let created = cli.json(
        0,
        &["auth", "keys", "create", "laptop", "--scope", "secret:*"],
        "",
    );
    let key = created["data"]["key"].as_str().unwrap().to_owned();
    let url = ["login", "--api-url", broker.origin()];
    let mut login = cli.command(&url);
    login
        .env_remove("RUNTOOLS_SOCKET")
        .arg("--with-key")
        .stdin(Stdio::piped());
    let mut child = login.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{key}\n").as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    let profile = cli.home.path().join(".config/runtools/profile.json");
    assert_eq!(
        std::fs::metadata(&profile).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut list = cli.command(&["secret", "list"]);
    assert!(
        list.env_remove("RUNTOOLS_SOCKET")
            .output()
            .unwrap()
            .status
            .success()
    );
    let mut audit = cli.command(&["audit", "list"]);
    let audit = audit.env_remove("RUNTOOLS_SOCKET").output().unwrap();
    assert_eq!(audit.status.code(), Some(5), "the key has no scope for it");
    let mut logout = cli.command(&["logout"]);
    assert!(
        logout
            .env_remove("RUNTOOLS_SOCKET")
            .output()
            .unwrap()
            .status
            .success()
    );
    assert!(!profile.exists());
}

/// Types at a real terminal, by way of a pseudo-terminal.
const TYPIST: &str = r"
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execvpe(sys.argv[1], sys.argv[1:-1], os.environ)
seen = b''
def until(word):
    global seen
    end = time.time() + 20
    while word not in seen:
        if time.time() > end: sys.exit('no prompt: %r' % seen)
        try: seen += os.read(fd, 4096)
        except OSError: break
until(b':'); mark = len(seen); os.write(fd, sys.argv[-1].encode() + b'\n')
time.sleep(0.3); os.write(fd, sys.argv[-1].encode() + b'\n')
try:
    while True: seen += os.read(fd, 4096)
except OSError: pass
sys.stdout.buffer.write(seen)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
";

#[test]
fn a_value_typed_at_a_terminal_is_never_shown() {
    let mut canaries = Canaries::new();
    let value = canaries.value();
    let broker = Broker::start();
    let cli = Cli::of(&broker);
    let output = Command::new("python3")
        .args([
            "-c",
            TYPIST,
            env!("CARGO_BIN_EXE_runtools"),
            "secret",
            "set",
            "TYPED",
            &value,
        ])
        .env("HOME", cli.home.path())
        .env("RUNTOOLS_SOCKET", &cli.socket)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    canaries.absent_from("the terminal", &output.stdout);
    let (revealed, _) = cli.says(0, &["secret", "get", "TYPED", "--reveal"], "");
    assert_eq!(revealed, value);
}
