//! Backups that a broker makes by itself, and what is seen of those that it cannot make.

use std::path::Path;

use crate::harness::{Broker, Setup, eventually};
use crate::{key, restore, set};

fn setup(to: &Path, recipient: &str, keep: usize) -> Setup {
    Setup {
        config: format!(
            "[backup]\nrecipients = [{recipient:?}]\nto = \"{}\"\nevery_hours = 1\nkeep = {keep}",
            to.display()
        ),
        ..Setup::default()
    }
}

fn backups(to: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(to).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.split('.').next_back() == Some("age"))
        .collect();
    names.sort();
    names
}

#[test]
fn one_is_made_when_it_is_due_and_the_oldest_go() {
    let outside = tempfile::tempdir().unwrap();
    let to = outside.path().join("backups");
    std::fs::create_dir(&to).unwrap();
    let (identity, recipient) = key(outside.path());
    let mut broker = Broker::with(setup(&to, &recipient, 2));
    let first = eventually(|| backups(&to).pop());
    let operator = broker.operator();
    let log = || {
        let found = operator.get("/v1/audit?action=backup.create&all=true");
        found.expect(200)["data"].as_array().unwrap().clone()
    };
    let log = eventually(|| Some(log()).filter(|log| log[0]["outcome"].is_object()));
    assert_eq!(log[0]["actor"]["type"], "system", "{log:?}");
    assert_eq!(log[0]["outcome"]["status"], "success", "{log:?}");
    let doctor = broker.runs(&["doctor"], None);
    assert!(
        doctor.stdout.contains("backup: the newest in"),
        "{}",
        doctor.stdout
    );
    let status = broker.runs(&["backup", "status"], None);
    assert!(status.stdout.contains("Every 1 hours"), "{}", status.stdout);

    // It is not due again after a restart; the settings of the broker are in it.
    set(&operator, "KEPT", "the value that is kept");
    broker.restart();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(backups(&to).as_slice(), std::slice::from_ref(&first));
    let into = tempfile::tempdir().unwrap();
    let key_file = broker.keys().join("root.key");
    let ran = restore(&to.join(&first), into.path(), &identity, &key_file);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    let settings = std::fs::read_to_string(into.path().join("broker.toml")).unwrap();
    assert!(settings.contains("every_hours = 1"), "{settings}");

    // Older ones, the newest of which is due by now: another is made, and two of all are kept.
    assert_eq!(broker.stop(), Some(0));
    let (prefix, _) = first.rsplit_once('-').unwrap();
    for day in 1..5 {
        std::fs::write(to.join(format!("{prefix}-2026010{day}T120000Z.age")), "x").unwrap();
    }
    std::fs::remove_file(to.join(&first)).unwrap();
    broker.restart();
    let kept = eventually(|| Some(backups(&to)).filter(|all| all.len() == 2));
    assert!(kept[0].contains("-20260104T"), "{kept:?}");
}

#[test]
fn one_that_cannot_be_made_is_seen_everywhere_and_the_broker_serves() {
    let outside = tempfile::tempdir().unwrap();
    let to = outside.path().join("not-mounted");
    let (_, recipient) = key(outside.path());
    let broker = Broker::with(setup(&to, &recipient, 2));
    let operator = broker.operator();
    let failing = eventually(|| {
        let shown = operator.get("/v1/status").expect(200);
        shown["backup"]["failing"].as_str().map(str::to_owned)
    });
    assert_eq!(failing, "file");
    let page = String::from_utf8(operator.get("/metrics").body).unwrap();
    assert!(page.contains("runtools_backup_failing 1"), "{page}");
    assert!(
        page.contains("op=\"backup.create\",outcome=\"failed\"} 1"),
        "{page}"
    );
    let status = broker.runs(&["backup", "status"], None);
    assert!(
        status.stdout.contains("The last try failed"),
        "{}",
        status.stdout
    );
    let doctor = broker.runs(&["doctor"], None);
    assert_eq!(doctor.exit, 1, "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("not-mounted is not there"),
        "{}",
        doctor.stdout
    );
    assert!(broker.log_text().contains("a backup was not made"));
    set(&operator, "SERVED", "it goes on");
}

#[test]
fn settings_that_ask_for_half_of_it_are_refused() {
    for (text, key) in [
        ("to = \"backups\"", "backup.to"),
        ("every_hours = 0", "backup.every_hours"),
        ("recipients = [\"age1x\"]", "backup.recipients"),
        ("keep = 0", "backup.keep"),
    ] {
        let mut broker = Broker::with(Setup {
            config: format!("[backup]\n{text}"),
            unready: true,
            ..Setup::default()
        });
        assert_eq!(broker.wait(std::time::Duration::from_secs(30)), Some(1));
        assert!(broker.log_text().contains(key), "{}", broker.log_text());
    }
}
