//! What is not made, and what is said of it.

use std::net::TcpListener;

use super::*;

#[test]
fn a_second_init_says_what_is_there_and_touches_nothing() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    init(folder.path(), "", &[], None).expect(0);
    let before = (tree(folder.path()), contents(folder.path()));
    for more in [&["--json"][..], &["--json", "--dry-run"]] {
        let refused = init(folder.path(), "user = ''", more, None).expect(1);
        let error = &refused["error"];
        assert_eq!(error["code"], "installed_already", "{refused}");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("has anchor, audit, store in it already"),
            "{refused}"
        );
        assert!(
            error["hint"].as_str().unwrap().contains("doctor"),
            "{refused}"
        );
    }
    // At a terminal too, before a question is asked.
    let words = [Broker::binary(), "--config=broker.toml", "init"];
    let (seen, code) = at_terminal(folder.path(), &words, &[]);
    assert_eq!(code, 1, "{seen}");
    assert!(seen.contains("in it already"), "{seen}");
    fs::remove_file(folder.path().join("answers.toml")).unwrap();
    let mut now = (tree(folder.path()), contents(folder.path()));
    now.0.retain(|(path, _)| !path.ends_with("answers.toml"));
    let mut then = before;
    then.0.retain(|(path, _)| !path.ends_with("answers.toml"));
    assert_eq!(now, then);
    assert_eq!(
        started(folder, Setup::default())
            .operator()
            .get("/readyz")
            .status,
        200
    );
}

/// What is in the ring and the settings.
fn contents(folder: &Path) -> [Vec<u8>; 3] {
    ["keys/root.ring", "keys/root.key", "broker.toml"]
        .map(|name| fs::read(folder.join(name)).unwrap())
}

#[test]
fn a_dry_run_says_what_would_be_made_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let answers = "[organization]\nname = 'Example'\n[slots]\nshares = 5\nthreshold = 3\nshares_to = 'shares'";
    let plan = init(folder.path(), answers, &["--json", "--dry-run"], None).expect(0);
    let plan = &plan["data"];
    assert_eq!(plan["organization"], "Example", "{plan}");
    assert_eq!(plan["slots"], json!(["3 of 5 shares"]));
    assert_eq!(plan["settingsChange"], true);
    assert_eq!(tree(folder.path()).len(), 1, "the answers");
    let ran = init(folder.path(), answers, &["--dry-run"], None);
    assert!(ran.stdout.contains("3 of 5 shares"), "{}", ran.stdout);
    assert!(
        ran.stdout.lines().all(|line| !line.contains("null")),
        "{}",
        ran.stdout
    );
}

/// A folder of backups that is not there.
const BACKUP: &str = "settings.backup.to = '/no'\n\
    settings.backup.recipients = ['age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p']";

/// Answers, the code with which they are refused, and what is named.
const REFUSED: &[(&str, &str, &str)] = &[
    ("usr = 'x'", "answers_refused", "`user`"),
    (
        "slots.key_fil = true",
        "answers_refused",
        "`slots.key_file`",
    ),
    ("slots.threshold = 4", "answers_refused", "slots.shares"),
    ("settings.lissen = []", "settings_refused", "`listen`"),
    (
        "settings.listen = ['0.0.0.0:8420']",
        "settings_refused",
        "tls.cert",
    ),
    (
        "settings.tls.cert = 'no'\nsettings.tls.key = 'no'",
        "not_sound",
        "certificate",
    ),
    (BACKUP, "not_sound", "/no is not there"),
    (
        "settings.keys_dir = 'data/keys'",
        "folders_nested",
        "lie in each other",
    ),
    ("slots.shares = 3\nslots.threshold = 4", "share_count", ""),
    ("slots.shares = 300\nslots.threshold = 4", "share_count", ""),
    (
        "slots.shares = 3\nslots.threshold = 2",
        "input_required",
        "slots.shares_to",
    ),
    ("slots.exec = ['kms']", "custodian_unknown", "kms"),
    ("slots.exec = ['K M S']", "name_invalid", ""),
    ("slots.passphrase_file = 'none'", "file", "none"),
    (
        "slots.passphrase_file = 'answers.toml'",
        "file_exposed",
        "answers.toml",
    ),
    ("organization.name = ' x'", "name_refused", "a name has"),
    ("organization.email = 'x'", "name_refused", "e-mail"),
    (
        "organization.login = 'no such user'",
        "no_such_user",
        "no such user",
    ),
    ("user = 'no such user'", "no_such_user", "no such user"),
];

#[test]
fn answers_that_cannot_be_followed_are_refused_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("settings.listen = ['{}']", taken.local_addr().unwrap());
    let taken = (listen.as_str(), "not_sound", "another program has it");
    for (answers, code, words) in REFUSED.iter().copied().chain([taken]) {
        let folder = tempfile::tempdir().unwrap();
        let mut text = format!("{answers}\nsettings.data_dir = 'data'\nsettings.socket = 's'\n");
        for (key, value) in [("keys_dir", "'keys'"), ("listen", "['127.0.0.1:0']")] {
            if !answers.contains(key) {
                text.extend([format!("settings.{key} = {value}\n")]);
            }
        }
        fs::write(folder.path().join("answers.toml"), text).unwrap();
        let command = [
            "--config=broker.toml",
            "--proxy-listen=127.0.0.1:0",
            "--json",
            "--no-input",
            "init",
        ];
        let command = [&command[..], &["--answers=answers.toml"]].concat();
        let refused = run(folder.path(), &command, None);
        assert_ne!(refused.exit, 0, "{answers}");
        let document: Value = serde_json::from_str(&refused.stdout).unwrap();
        let error = &document["error"];
        assert_eq!(error["code"], code, "{answers}: {document}");
        assert!(error.to_string().contains(words), "{answers}: {document}");
        assert!(
            error["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
            "{document}"
        );
        assert_eq!(
            tree(folder.path()).len(),
            1,
            "{answers}: {:?}",
            tree(folder.path())
        );
    }
}

#[test]
fn what_the_settings_file_says_already_stays_and_its_text_is_kept() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let stood = "# by hand\nlog.level = \"warn\"\nkeys_dir = \"elsewhere\"\n";
    fs::write(folder.path().join("broker.toml"), stood).unwrap();
    init(folder.path(), "", &[], None).expect(0);
    let settings = fs::read_to_string(folder.path().join("broker.toml")).unwrap();
    assert!(settings.contains("\nlevel = \"warn\"\n"), "{settings}");
    // The answers count more.
    assert!(
        settings.contains("/keys\"\n") && !settings.contains("elsewhere\"\n"),
        "{settings}"
    );
    let kept = fs::read_to_string(folder.path().join("broker.toml.before-init")).unwrap();
    assert_eq!(kept, stood);

    // A file that says it all is left alone.
    let other = tempfile::tempdir().unwrap();
    let text = settings.replace(
        &folder.path().display().to_string(),
        &other.path().display().to_string(),
    );
    fs::write(other.path().join("broker.toml"), &text).unwrap();
    fs::write(other.path().join("answers.toml"), "").unwrap();
    let words = [
        "--config=broker.toml",
        "--json",
        "init",
        "--answers=answers.toml",
    ];
    let made = run(other.path(), &words, None).expect(0);
    assert_eq!(made["data"]["settingsChange"], false, "{made}");
    assert_eq!(
        fs::read_to_string(other.path().join("broker.toml")).unwrap(),
        text
    );
    assert!(!other.path().join("broker.toml.before-init").exists());

    // And the one that lists every setting is no installation's.
    let sources = tempfile::tempdir().unwrap();
    fs::create_dir(sources.path().join("config")).unwrap();
    let shipped = include_str!("../../config/broker.toml");
    fs::write(sources.path().join("config/broker.toml"), shipped).unwrap();
    fs::write(sources.path().join("answers.toml"), "").unwrap();
    let refused = run(
        sources.path(),
        &["--json", "init", "--answers=answers.toml"],
        None,
    )
    .expect(1);
    assert_eq!(
        refused["error"]["code"], "settings_of_the_sources",
        "{refused}"
    );
}
