//! An installation made on purpose: by answers, by a person, by one who is cut short; and found again elsewhere.

mod harness;

#[path = "init/kills.rs"]
mod kills;
#[path = "init/refusals.rs"]
mod refusals;
#[path = "init/ways.rs"]
mod ways;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use harness::program::{Ran, run};
use harness::terminal::at_terminal;
use harness::{Broker, Canaries, Setup};
use serde_json::{Value, json};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";

/// What every installation of these tests says of its place: ports that are free, and all in one folder.
fn settings(folder: &Path) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    format!(
        "settings.data_dir = {:?}\nsettings.keys_dir = {:?}\nsettings.socket = {:?}\n\
         settings.listen = [\"127.0.0.1:0\"]\nsettings.proxy.listen = \"127.0.0.1:0\"\n",
        path("data"),
        path("keys"),
        path("broker.sock"),
    )
}

/// Writes down these answers, and what every installation has.
fn answer(folder: &Path, answers: &str) {
    let text = format!("{}{answers}\n", settings(folder));
    fs::write(folder.join("answers.toml"), text).unwrap();
}

/// Runs `init` with these answers, and what every installation has.
fn init(folder: &Path, answers: &str, more: &[&str], input: Option<&str>) -> Ran {
    answer(folder, answers);
    let mut words = vec![
        "--config",
        "broker.toml",
        "init",
        "--answers",
        "answers.toml",
    ];
    words.extend(more);
    run(folder, &words, input)
}

/// What is installed in `folder`, started.
fn started(folder: Arc<TempDir>, setup: Setup) -> Broker {
    let settled = true;
    Broker::over(folder, Setup { settled, ..setup })
}

/// What is the machine's that the tests run on, and of whoever started them.
const MACHINE: [&str; 9] = [
    "swap",
    "user",
    "open_files",
    "data_space",
    "audit_space",
    "confinement",
    "egress",
    "resolver",
    "no_inherited_files",
];

/// Every check that came to more than `ok`, with what this machine has by itself left out.
fn to_mend(document: &Value) -> Vec<String> {
    fn collect(found: &Value, checks: &mut Vec<String>) {
        let parts = found["parts"].as_array();
        parts
            .into_iter()
            .flatten()
            .for_each(|part| collect(part, checks));
        let check = found["check"].as_str().unwrap();
        let leveled = matches!(found["level"].as_str(), Some("warn" | "fail"));
        if parts.is_none() && leveled && !MACHINE.contains(&check) {
            checks.push(found.to_string());
        }
    }
    let mut checks = Vec::new();
    collect(&document["data"], &mut checks);
    checks
}

#[track_caller]
fn is_well(broker: &Broker) {
    let document = broker.runs(&["doctor", "--json"], None).expect(0);
    let found = to_mend(&document);
    assert!(found.is_empty(), "{found:#?}");
}

/// All files below a folder, with their modes.
fn tree(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let meta = entry.metadata().unwrap();
        found.push((entry.path().display().to_string(), meta.mode()));
        if meta.is_dir() {
            found.extend(tree(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn an_installation_by_answers_starts_and_the_doctor_finds_nothing_to_mend() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let answers = "[organization]\nname = 'Example Ltd'\nadmin = 'Ann'\nemail = 'ann@example.com'\n\
                   [slots]\nkey_file = true\npassphrase = true";
    let made = init(folder.path(), answers, &["--json"], Some(PASSPHRASE));
    let made = &made.expect(0)["data"];
    assert_eq!(made["slots"], json!(["key file", "passphrase"]), "{made}");
    assert!(!folder.path().join("data/init").exists());
    let settings = fs::read_to_string(folder.path().join("broker.toml")).unwrap();
    assert!(
        settings.contains("\nlisten = [\"127.0.0.1:0\"]\n"),
        "{settings}"
    );
    assert!(
        settings.contains("\n# Days in which a deleted secret"),
        "commented"
    );

    let document = run(
        folder.path(),
        &["--config", "broker.toml", "doctor", "--json"],
        None,
    );
    let found = to_mend(&document.expect(0));
    assert!(found.is_empty(), "before its start: {found:#?}");
    let mut broker = started(Arc::clone(&folder), Setup::default());
    is_well(&broker);
    let operator = broker.operator();
    let me = operator.get("/v1/me").expect(200)["data"].clone();
    let found = (
        &me["organizationName"],
        &me["firstName"],
        &me["email"],
        &me["role"],
    );
    assert_eq!(found.0, "Example Ltd");
    assert_eq!(
        (found.1, found.2),
        (&json!("Ann"), &json!("ann@example.com"))
    );
    assert_eq!(found.3, "admin");
    let export = operator.get("/v1/audit/export").body;
    let records = String::from_utf8(export).unwrap();
    for action in ["vault.init", "key.slot_add", "server.start"] {
        assert!(records.contains(action), "{action}: {records}");
    }
    assert!(
        !broker.log_text().contains("A new vault was made"),
        "it was there"
    );
    assert_eq!(broker.stop(), Some(0));
    is_well(&broker);
}

/// What is asked at a terminal, and what is answered.
const ANSWERED: [(&str, &str); 14] = [
    ("organisation [Default]: ", "Example Ltd"),
    ("its first admin [Admin]: ", ""),
    ("address, or nothing: ", ""),
    ("listen on [127.0.0.1:8420]: ", "8420"),
    ("listen on [127.0.0.1:8420]: ", "127.0.0.1:0"),
    ("systemd-credential, nobody) [key-file]: ", "nobody"),
    ("(passphrase, shares) [passphrase]: ", "shares"),
    ("how many shares [5]: ", "3"),
    ("how many of them unseal [3]: ", "2"),
    ("who may open backups, or nothing: ", ""),
    ("(best-effort, require) [best-effort]: ", ""),
    ("Type yes to go on: ", "yes"),
    // The first share is lost at once.
    ("press Enter. ", ""),
    ("of share 1: ", "no idea"),
];

#[test]
fn at_a_terminal_it_asks_little_shows_shares_once_and_has_them_proved() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let words = [
        Broker::binary(),
        "--config=broker.toml",
        "--data-dir=data",
        "--keys-dir=keys",
        "--socket=broker.sock",
        "--proxy-listen=127.0.0.1:0",
        "init",
    ];
    let (seen, code) = at_terminal(folder.path(), &words, &ANSWERED);
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("the installation is made"), "{seen}");
    for words in ["that is not an address", "here it is again"] {
        assert!(seen.contains(words), "{seen}");
    }
    assert_eq!(seen.matches("Share 1 of 3").count(), 2, "{seen}");

    // What is on the other screen is gone with it; the shares are nowhere else.
    let mut scrollback = String::new();
    let mut shares = Vec::new();
    for piece in seen.split("\u{1b}[?1049h") {
        let (shown, after) = piece.split_once("\u{1b}[?1049l").unwrap_or(("", piece));
        let share = shown
            .split_whitespace()
            .find(|word| word.starts_with("rtshare1-"));
        shares.extend(share.map(str::to_owned));
        scrollback.push_str(after);
    }
    shares.dedup();
    assert_eq!(shares.len(), 3, "{seen}");
    assert!(!scrollback.contains("rtshare1"), "{scrollback}");
    for share in &shares {
        let group = share.split('-').nth(3).unwrap();
        assert!(!scrollback.contains(group), "{group} in {scrollback}");
    }

    let broker = started(folder, Setup::default());
    let given = format!("{}\n{}\n", shares[2], shares[0]);
    let unsealed = broker.runs(&["unseal"], Some(&given));
    assert_eq!(unsealed.exit, 0, "{}", unsealed.stderr);
    assert_eq!(broker.operator().get("/readyz").status, 200);
    let document = broker.runs(&["doctor", "--json"], None).expect(0);
    let found = to_mend(&document);
    // Shares alone are one way, which is what was asked for.
    assert!(
        found.iter().all(|it| it.contains("\"slots\"")),
        "{found:#?}"
    );
}

#[test]
fn a_passphrase_that_is_typed_is_never_shown_and_is_asked_for_until_it_is_one() {
    let mut canaries = Canaries::new();
    let passphrase = canaries.value();
    let folder = tempfile::tempdir().unwrap();
    answer(folder.path(), "slots.passphrase = true");
    let words = [
        Broker::binary(),
        "--config=broker.toml",
        "init",
        "--answers=answers.toml",
    ];
    let command = format!("exec {} </dev/tty", words.join(" "));
    let steps = [
        ("new passphrase: ", "short"),
        ("new passphrase, again: ", "short"),
        ("new passphrase: ", passphrase.as_str()),
        ("new passphrase, again: ", "another entirely"),
        ("new passphrase: ", passphrase.as_str()),
        ("new passphrase, again: ", passphrase.as_str()),
    ];
    let (seen, code) = at_terminal(folder.path(), &["bash", "-c", &command], &steps);
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("12 ") && seen.contains("differ"), "{seen}");
    canaries.absent_from("the terminal", seen.as_bytes());
}

#[test]
fn the_recovery_kit_opens_on_another_machine() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let kit = tempfile::tempdir().unwrap();
    let path = |name: &str| kit.path().join(name).display().to_string();
    let keygen = |words: &[&str]| {
        let made = std::process::Command::new("age-keygen")
            .args(words)
            .output()
            .unwrap();
        assert!(made.status.success());
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    keygen(&["-o", &path("backup.key")]);
    let recipient = keygen(&["-y", &path("backup.key")]);
    let answers = format!(
        "settings.backup.recipients = [{recipient:?}]\n\
         [slots]\nkey_file = true\npassphrase = true\nshares = 3\nthreshold = 2\nshares_to = {:?}",
        path("shares")
    );
    init(folder.path(), &answers, &[], Some(PASSPHRASE)).expect(0);
    let broker = started(Arc::clone(&folder), Setup::default());
    let secret = json!({"name": "KEPT", "value": "the value of kept"});
    broker.operator().post("/v1/secrets", &secret).expect(201);
    let created = broker.runs(&["backup", "create", "--to", &path("monday.age")], None);
    assert_eq!(created.exit, 0, "{}", created.stderr);
    drop(broker);
    drop(folder);

    let share = |n: u8| fs::read_to_string(kit.path().join(format!("shares/share-{n}"))).unwrap();
    let shares = format!("{}{}", share(1), share(3));
    // The backup's ring asks for the passphrase first, where it has one.
    for (by, given) in [("passphrase", PASSPHRASE), ("shares", &shares)] {
        let machine = Arc::new(tempfile::tempdir().unwrap());
        let into = machine.path().join("restored").display().to_string();
        let identity = path("backup.key");
        let words = [
            "restore",
            &path("monday.age"),
            "--into",
            &into,
            "--identity",
            &identity,
        ];
        let restored = run(machine.path(), &words, Some(given));
        assert_eq!(restored.exit, 0, "{by}: {}", restored.stderr);
        for name in ["data", "keys"] {
            fs::rename(
                machine.path().join("restored").join(name),
                machine.path().join(name),
            )
            .unwrap();
        }
        let broker = Broker::over(machine, Setup::default());
        let unsealed = broker.runs(&["unseal"], Some(given));
        assert_eq!(unsealed.exit, 0, "{by}: {}", unsealed.stderr);
        let revealed = broker
            .operator()
            .post("/v1/secrets/KEPT/reveal", &json!({}));
        assert_eq!(revealed.expect(200)["data"]["value"], "the value of kept");
    }
}

#[test]
fn root_makes_it_for_the_user_who_runs_it_and_nobody_else_for_anybody() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let made = init(folder.path(), "user = 'nobody'", &["--json"], None);
    if !rustix::process::geteuid().is_root() {
        assert_eq!(made.expect(1)["error"]["code"], "not_root");
        return;
    }
    made.expect(0);
    let nobody = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = nobody
        .lines()
        .find(|line| line.starts_with("nobody:"))
        .unwrap();
    let uid: u32 = nobody.split(':').nth(2).unwrap().parse().unwrap();
    for name in [
        "data",
        "keys",
        "data/store",
        "keys/root.ring",
        "keys/root.key",
        "data/anchor",
    ] {
        let found = fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(found.uid(), uid, "{name}");
        assert_eq!(found.mode() & 0o077, 0, "{name}");
    }
    // Who runs it may read its settings, and make its socket.
    let settings = fs::metadata(folder.path().join("broker.toml")).unwrap();
    assert_eq!(settings.mode() & 0o777, 0o644);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let wrapper = [
        "setpriv",
        "--reuid",
        &uid.to_string(),
        "--clear-groups",
        "--regid",
        "65534",
    ];
    let wrapper = wrapper.map(str::to_owned).to_vec();
    let broker = started(
        folder,
        Setup {
            wrapper,
            ..Setup::default()
        },
    );
    assert_eq!(broker.operator().get("/readyz").status, 200);
}
