//! Inits that are killed: no broker starts with the half of one, and the next init makes the whole.

use std::process::Command;

use super::*;

const ANSWERS: &str = "[slots]\nkey_file = true\npassphrase = true\n";

/// Where an init can be killed.
const PLACES: [&str; 11] = [
    "init.begun",
    "start.marked",
    "keys.make.named",
    "init.ring",
    "start.journal",
    "start.ends",
    "init.store",
    "init.founded",
    "init.slot",
    "init.settings",
    "init.owned",
];

/// Runs `init`, which kills itself at this place.
fn killed_at(folder: &Path, place: &str) {
    answer(folder, &format!("{ANSWERS}passphrase_file = 'words'"));
    fs::write(folder.join("words"), PASSPHRASE).unwrap();
    fs::set_permissions(folder.join("words"), fs::Permissions::from_mode(0o600)).unwrap();
    let ended = Command::new(Broker::binary())
        .args([
            "--config",
            "broker.toml",
            "init",
            "--answers",
            "answers.toml",
        ])
        .current_dir(folder)
        .env("RUNTOOLS_FAILPOINT", place)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), None, "{place}: {ended:?}");
}

/// Neither a start nor the doctor takes it for an installation, and both say the way out.
#[track_caller]
fn nobody_starts_it(folder: &Path) {
    let before = tree(folder);
    let words = ["--data-dir=data", "--keys-dir=keys", "--listen=127.0.0.1:0"];
    let refused = run(folder, &words, None);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    for words in ["an init was cut short", "`runtools-broker init` again"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(tree(folder), before);
    let doctor = run(folder, &[&words[..], &["doctor", "--json"]].concat(), None);
    let document = doctor.expect(1).to_string();
    assert!(
        document.contains("`runtools-broker init` again"),
        "{document}"
    );
}

#[test]
fn killed_at_any_place_it_is_nobodys_and_the_next_one_makes_it() {
    for place in PLACES {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let at = |name: &str| folder.path().join(name);
        killed_at(folder.path(), place);
        assert!(at("data/init").exists(), "{place}");
        nobody_starts_it(folder.path());

        // Another passphrase: what the first one made is gone.
        let more = ["--json"];
        let made = init(folder.path(), ANSWERS, &more, Some("another passphrase"));
        made.expect(0);
        assert!(!at("data/init").exists(), "{place}");
        assert!(!at("broker.toml.new").exists(), "{place}");
        let broker = started(Arc::clone(&folder), Setup::default());
        is_well(&broker);
        let test = |words| {
            broker
                .runs(&["key", "slot", "test", "passphrase"], Some(words))
                .exit
        };
        assert_eq!(test("another passphrase"), 0, "{place}");
        assert_ne!(test(PASSPHRASE), 0, "{place}");
    }
}

#[test]
fn what_fails_on_its_way_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // The sample of a custodian that answers nonsense: found out when its slot is made, after the ring.
    let program = folder.path().join("custodian");
    fs::write(&program, "#!/bin/sh\necho nonsense\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let custodian = format!("settings.custody.exec.odd.program = {program:?}");
    answer(
        folder.path(),
        &format!("{custodian}\n[slots]\nkey_file = true\nexec = ['odd']"),
    );
    let before = tree(folder.path());
    let words = [
        "--config",
        "broker.toml",
        "--json",
        "init",
        "--answers",
        "answers.toml",
    ];
    let refused = run(folder.path(), &words, None).expect(1);
    assert!(refused["error"]["hint"].is_string(), "{refused}");
    assert_eq!(tree(folder.path()), before, "{refused}");
}
