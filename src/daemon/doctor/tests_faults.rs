//! Faults, put one by one into an installation that is well: each is found, by its check, as bad as it is, and with
//! the advice that mends it; and nothing else fails.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use super::tests_case::{Case, at, copy, flip, mode};
use super::tests_rig::{commit, report, up, write_much};
use super::{Finding, Level, Running, examine};
use crate::clock::{Clock, SystemClock};
use crate::config::HardeningMode;
use crate::custody::{KEY_FILE, RING_FILE, Ring};
use crate::hardening::Control;
use Level::{Fail, Warn};

/// What is put into it.
type Seed = fn(&mut Case);
/// A fault: the check that finds it, how bad it is, a part of the advice.
type Fault = (&'static str, Level, &'static str, Seed);

const SETTINGS: &[Fault] = &[
    ("agreement", Fail, "oauth.public_url", |it| {
        it.certificate(&["a.example"], (2020, 2090), true);
        it.config.listen = vec!["0.0.0.0:0".parse().unwrap()];
    }),
    ("agreement", Fail, "oauth.providers_dir", |it| {
        it.config.oauth.providers_dir = Some(it.path("none"));
    }),
    ("settings_file", Fail, "chmod go-w '", |it| {
        let path = it.path("broker.toml");
        fs::write(&path, "").unwrap();
        mode(&path, 0o666);
        it.config.file = Some(path);
    }),
    ("program", Fail, "chmod go-w '", |it| {
        mode(&it.custodian(), 0o775);
    }),
];

const KEYS: &[Fault] = &[
    ("keys_dir", Fail, "chmod 700 '", |it| {
        mode(&it.config.keys_dir, 0o750);
    }),
    ("ring", Fail, "chmod 600", |it| {
        mode(&it.key(RING_FILE), 0o644);
    }),
    ("ring", Fail, "root.ring", |it| {
        fs::remove_file(it.key(RING_FILE)).unwrap();
    }),
    ("ring", Fail, "backup", |it| {
        fs::write(it.key(RING_FILE), "RTRG\x01").unwrap();
    }),
    // A byte of the label: the file has its form, and its MAC is wrong.
    ("key_file", Fail, "backup", |it| {
        flip(&it.key(RING_FILE), 42 + 26);
    }),
    ("key_file", Fail, "chmod 600", |it| {
        mode(&it.key(KEY_FILE), 0o640);
    }),
    ("key_file", Fail, "volume is mounted", |it| {
        fs::remove_file(it.key(KEY_FILE)).unwrap();
    }),
    ("key_file", Fail, "key file", |it| {
        fs::write(it.key(KEY_FILE), [7; 32]).unwrap();
    }),
    ("slots", Warn, "key slot add passphrase", |_| {}),
];

const DATA: &[Fault] = &[
    ("data_dir", Fail, "chmod 700 '", |it| {
        mode(&it.config.data_dir, 0o755);
    }),
    ("data_dir", Fail, "sudo -u '#", |it| it.around.uid += 1),
    ("init", Fail, "`runtools-broker init` again", |it| {
        fs::write(it.config.data_dir.join("init"), "x").unwrap();
    }),
    ("lockdown", Warn, "runtools-broker unseal", |it| {
        fs::write(
            it.config.data_dir.join("lockdown"),
            "2026-11-23T09:30:00.000Z",
        )
        .unwrap();
    }),
    ("store", Fail, "mounted", |it| {
        fs::remove_dir_all(it.config.data_dir.join("store")).unwrap();
    }),
    ("store", Fail, "store.engine", |it| {
        it.config.store.engine = crate::store::EngineKind::Redb;
    }),
    ("anchor", Fail, "anchor", |it| {
        fs::remove_file(it.config.data_dir.join("anchor")).unwrap();
    }),
    ("anchor", Fail, "external", |it| {
        it.config.store.external_anchor = Some(it.path("none"));
    }),
    ("contents", Fail, "newest", |it| {
        // One start later, the store of before is put back, and its anchor knows better.
        let (store, older) = (it.config.data_dir.join("store"), it.path("older"));
        copy(&store, &older);
        commit(&it.config);
        fs::remove_dir_all(&store).unwrap();
        copy(&older, &store);
    }),
    ("audit", Fail, "belong together", |it| {
        fs::remove_dir_all(it.config.data_dir.join("audit")).unwrap();
    }),
    ("chain", Fail, "copy", |it| {
        let audit = fs::read_dir(it.config.data_dir.join("audit")).unwrap();
        let paths = audit.map(|entry| entry.unwrap().path());
        let segments = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
        let last = segments.max().unwrap();
        flip(&last, 100);
    }),
    ("checkpoint", Warn, "signs them within a minute", |it| {
        // A broker that was killed before it signed: what it had written by then.
        let killed = it.path("killed");
        write_much(&it.config, || copy(&it.config.data_dir, &killed));
        mode(&killed, 0o700);
        it.config.data_dir = killed;
    }),
    ("data_space", Fail, "Make room", |it| {
        it.around.free_bytes = |_| Ok(1 << 20);
    }),
    ("audit_space", Warn, "Make room", |it| {
        it.around.free_bytes = |_| Ok(1 << 29);
    }),
    ("backup", Fail, "mount it", |it| {
        it.backups();
        fs::remove_dir(it.path("backups")).unwrap();
    }),
    ("backup", Fail, "user who runs the broker", |it| {
        it.backups();
        it.around.is_writable = |_| false;
    }),
    ("backup", Warn, "backup status", |it| {
        it.backups();
        let store = Ring::load(&it.config.keys_dir).unwrap().store();
        let schedule = it.config.backup_plan().schedule.unwrap();
        let old = SystemClock.now().plus_seconds(-60 * 3600);
        fs::write(schedule.file(store, old), "x").unwrap();
    }),
];

const WAYS_IN: &[Fault] = &[
    ("broker", Warn, "runtools-broker unseal", |it| {
        it.around.broker = up(&["sealed"], &[]);
    }),
    ("broker", Fail, "first failure", |it| {
        it.around.broker = up(&["audit_unavailable"], &[]);
    }),
    ("broker", Fail, "ss -xlp", |it| {
        it.around.broker = Running::Silent;
    }),
    ("broker", Warn, "Restart", |it| {
        it.around.broker = up(&[], &[]);
        if let Running::Up { version, .. } = &mut it.around.broker {
            *version = "0.0.9".to_owned();
        }
    }),
    ("listener", Fail, "ss -ltnp", |it| {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        it.config.listen = vec![taken.local_addr().unwrap()];
        it.held.push(Box::new(taken));
    }),
    ("listener", Fail, "listen on 127.0.0.1", |it| {
        it.config.listen = vec!["192.0.2.1:8420".parse().unwrap()];
    }),
    ("certificate", Fail, "Renew", |it| {
        it.certificate(&["a.example"], (2020, 2025), true);
    }),
    ("certificate", Fail, "look at the clock", |it| {
        it.certificate(&["a.example"], (2089, 2090), true);
    }),
    ("certificate", Warn, "Renew", |it| {
        it.certificate(&["a.example"], (2020, 2031), true);
        it.around.now = at("2030-12-24T00:00:00Z");
    }),
    ("certificate", Fail, "tls.cert and tls.key", |it| {
        it.certificate(&["a.example"], (2020, 2090), false);
    }),
    ("certificate_key", Fail, "chmod o= '", |it| {
        it.certificate(&["a.example"], (2020, 2090), true);
        mode(&it.path("key.pem"), 0o644);
    }),
    ("certificate_names", Warn, "public_hosts", |it| {
        it.certificate(&["a.example"], (2020, 2090), true);
        it.config.public_hosts = vec!["a.example".to_owned(), "b.example".to_owned()];
    }),
    ("redirect", Warn, "register it", |it| {
        it.certificate(&["a.example"], (2020, 2090), true);
        it.config.listen = vec!["0.0.0.0:0".parse().unwrap()];
        it.config.oauth.public_url = Some("http://127.0.0.1:8420".to_owned());
    }),
    ("socket", Fail, "Move it away", |it| {
        fs::write(it.path("s"), "x").unwrap();
    }),
    ("socket", Fail, "speak to that user", |it| {
        it.held
            .push(Box::new(UnixListener::bind(it.path("s")).unwrap()));
        // Root's own is trusted by everybody.
        if it.around.uid == 0 {
            std::os::unix::fs::chown(it.path("s"), Some(1), None).unwrap();
        } else {
            it.around.uid += 1;
        }
    }),
    ("socket", Fail, "chmod 600 '", |it| {
        it.held
            .push(Box::new(UnixListener::bind(it.path("s")).unwrap()));
        mode(&it.path("s"), 0o666);
        it.around.broker = up(&[], &[]);
    }),
    ("socket", Warn, "next start", |it| {
        drop(UnixListener::bind(it.path("s")).unwrap());
    }),
    ("proxy", Fail, "proxy.listen", |it| {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        it.config.proxy.listen = taken.local_addr().unwrap();
        it.held.push(Box::new(taken));
    }),
];

const MACHINE: &[Fault] = &[
    ("extra_roots", Fail, "egress.extra_roots", |it| {
        it.config.egress.extra_roots = vec![it.path("none.pem")];
    }),
    ("egress", Warn, "ip route", |it| {
        it.machine("proc/net/route", "Iface Destination\n");
    }),
    ("resolver", Warn, "nameserver", |it| {
        it.machine("proc/net/route", "Iface\neth0 0\n");
        it.machine("etc/resolv.conf", "search example\n");
    }),
    ("clock", Warn, "timedatectl", |it| {
        it.around.now = it.around.now.plus_seconds(-900);
    }),
    ("clock", Fail, "timedatectl", |it| {
        it.around.now = at("2001-01-01T00:00:00Z");
    }),
    ("swap", Warn, "swapoff", |it| {
        it.machine("proc/swaps", "Filename Type\n/dev/sda2 partition\n");
    }),
    ("open_files", Warn, "LimitNOFILE", |it| {
        it.around.open_files = Some(256);
    }),
    ("core_files", Fail, "ulimit -c 0", |it| {
        it.machine(
            "proc/sys/kernel/core_pattern",
            "|/usr/lib/systemd/systemd-coredump %P",
        );
        it.around.hardening = report(Some(Control::CoreLimit));
    }),
    ("user", Warn, "useradd", |it| {
        it.around.hardening = report(Some(Control::Unprivileged));
    }),
    ("no_new_privs", Fail, "kernel", |it| {
        it.around.hardening = report(Some(Control::NoNewPrivs));
    }),
    ("confinement", Warn, "lsm=landlock", |it| {
        it.machine("sys/kernel/security/lsm", "capability,yama\n");
    }),
    ("confinement", Fail, "no broker starts", |it| {
        it.machine("sys/kernel/security/lsm", "capability,yama\n");
        it.config.hardening = HardeningMode::Require;
    }),
    ("confinement", Warn, "container must allow", |it| {
        it.around.broker = up(&[], &[]);
        if let Running::Up { unconfined, .. } = &mut it.around.broker {
            *unconfined = Some(vec!["landlock_files"]);
        }
    }),
];

/// What came to more than `ok`, groups aside.
fn faults(found: &Finding, all: &mut Vec<Finding>) {
    if found.parts.is_empty() && found.level > Level::Unexamined {
        all.push(found.clone());
    }
    found.parts.iter().for_each(|part| faults(part, all));
}

/// What is wrong in how a fault is found, if anything is.
fn wrong((check, level, advice, seed): &Fault) -> Option<String> {
    let mut case = Case::new();
    seed(&mut case);
    let mut all = Vec::new();
    faults(&examine(&case.config, &case.around), &mut all);
    let told = all.iter().any(|found| {
        let fix = found.fix.as_deref().unwrap_or_default();
        found.check == *check && found.level == *level && fix.contains(advice)
    });
    // One fault may be seen from two sides, and another's folders are three.
    let most = if *level == Fail { 3 } else { 0 };
    let failed = all.iter().filter(|found| found.level == Fail).count();
    (!told || failed > most).then(|| format!("{check}, {advice}: {all:#?}"))
}

#[track_caller]
fn each_is_found(faults: &[Fault]) {
    let wrong: Vec<String> = faults.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn faults_of_the_settings_are_found() {
    each_is_found(SETTINGS);
}

#[test]
fn faults_of_the_keys_are_found() {
    each_is_found(KEYS);
}

#[test]
fn faults_of_the_data_are_found() {
    each_is_found(DATA);
}

#[test]
fn faults_of_the_ways_in_are_found() {
    each_is_found(WAYS_IN);
}

#[test]
fn faults_of_the_machine_are_found() {
    each_is_found(MACHINE);
}

#[test]
fn what_can_be_put_right_without_a_risk_is_and_nothing_else() {
    let mended = [
        "settings_file",
        "program",
        "keys_dir",
        "ring",
        "key_file",
        "data_dir",
        "certificate_key",
        "socket",
    ];
    let mut seen = Vec::new();
    for (check, _, advice, seed) in [SETTINGS, KEYS, DATA, WAYS_IN, MACHINE].concat() {
        let mut case = Case::new();
        seed(&mut case);
        let found = examine(&case.config, &case.around);
        let mends = found.mends();
        let is_mode = advice.starts_with("chmod");
        assert_eq!(mends.len(), usize::from(is_mode), "{check}, {advice}");
        if let [mend] = mends[..] {
            assert!(mended.contains(&check), "{check}");
            let done = mend.apply(case.around.uid).unwrap();
            assert!(done.starts_with("chmod "), "{done}");
            let after = examine(&case.config, &case.around);
            assert_eq!(after.find(check).unwrap().level, Level::Ok, "{check}");
            assert!(after.mends().is_empty());
            seen.push(check);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), mended.len(), "{seen:?}");
}
