//! Creating, changing and losing a ring.

use std::fs;
use std::os::unix::fs::symlink;

use super::disk::beside;
use super::tests_bench::{BOTH, Bench, NOON, STORE, add, code, mode, other_words, set_mode, slot};
use super::{CustodyError, Provider, Ring, SlotKind};
use crate::crypto::{Key, SystemRandom};
use crate::id::ObjectId;
use crate::secret::Secret;

#[test]
fn a_ring_is_private_and_says_what_it_is() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let second = add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    assert_eq!(mode(&bench.dir), 0o700);
    assert_eq!(mode(&bench.ring_file()), 0o600);
    let loaded = bench.load().unwrap();
    assert_eq!(loaded.store(), STORE);
    assert_eq!(loaded.root(), root.name());
    assert_eq!(loaded.slots(), ring.slots());
    let slots = loaded.slots();
    assert_eq!(slots.len(), 2);
    assert_eq!(slots[0].kind, SlotKind::KeyFile);
    assert_eq!(slots[0].label, "first");
    assert_eq!(slots[0].created, NOON);
    assert_eq!(slots[1].kind, SlotKind::Passphrase);
    assert_eq!(slots[1].id, second);
}

#[test]
fn neither_the_root_key_nor_a_passphrase_stands_in_the_ring() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    let bytes = bench.bytes();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(!root.expose(|root| holds(root)));
    assert!(!holds(&fs::read(&bench.key_file).unwrap()));
    assert!(!bench.words.expose(holds));
    assert!(holds(b"first"), "the search finds what is there");
}

#[test]
fn a_second_ring_is_refused_and_the_first_untouched() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    let before = bench.bytes();
    for kind in BOTH {
        assert_eq!(code(bench.create(kind)), "ring_exists");
    }
    assert_eq!(bench.bytes(), before);
    // Whatever it is that bears the name.
    fs::remove_file(bench.ring_file()).unwrap();
    symlink("nowhere", bench.ring_file()).unwrap();
    assert_eq!(code(bench.create(SlotKind::KeyFile)), "ring_exists");
}

#[test]
fn a_missing_ring_is_told_apart_from_a_damaged_one() {
    let bench = Bench::new();
    assert_eq!(code(bench.load()), "ring_missing");
    fs::create_dir(&bench.dir).unwrap();
    set_mode(&bench.dir, 0o700);
    assert_eq!(code(bench.load()), "ring_missing");
    bench.forge(b"");
    set_mode(&bench.ring_file(), 0o600);
    assert_eq!(code(bench.load()), "ring_damaged");
    bench.forge(&vec![b'R'; 1 << 20]);
    assert_eq!(code(bench.load()), "ring_damaged");
}

#[test]
fn a_keys_directory_that_others_may_enter_is_refused_with_the_command_that_mends_it() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    for wide in [0o701, 0o710, 0o750, 0o755, 0o777] {
        set_mode(&bench.dir, wide);
        let refusal = bench.load().unwrap_err();
        assert_eq!(refusal.code(), "key_path_mode");
        assert!(
            refusal.hint().starts_with("run: chmod 700 "),
            "{}",
            refusal.hint()
        );
        assert_eq!(code(bench.create(SlotKind::KeyFile)), "key_path_mode");
        let new = slot(bench.provider(SlotKind::Passphrase), "x");
        assert_eq!(
            code(ring.add_slot(&root, &new, &SystemRandom)),
            "key_path_mode"
        );
    }
    set_mode(&bench.dir, 0o700);
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "opened");
}

#[test]
fn a_ring_that_others_may_read_or_that_is_a_link_is_refused() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    set_mode(&bench.ring_file(), 0o644);
    assert_eq!(code(bench.load()), "key_path_mode");
    set_mode(&bench.ring_file(), 0o600);
    let real = bench.dir.join("real");
    fs::rename(bench.ring_file(), &real).unwrap();
    symlink(&real, bench.ring_file()).unwrap();
    assert_eq!(code(bench.load()), "key_path_kind");
}

#[test]
fn a_slot_is_added_tested_and_the_old_one_removed() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let old = ring.slots()[0].id;
    let new = add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    ring.test_slot(bench.provider(SlotKind::Passphrase), new)
        .unwrap();
    let wrong = other_words();
    assert_eq!(
        code(ring.test_slot(Provider::Passphrase(&wrong), new)),
        "wrong_passphrase"
    );
    assert_eq!(
        code(ring.test_slot(bench.provider(SlotKind::Passphrase), old)),
        "slot_not_found"
    );
    ring.remove_slot(&root, old).unwrap();
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "slot_not_found");
    assert!(bench.reopen(SlotKind::Passphrase).unwrap().same_as(&root));
    assert_eq!(
        code(ring.test_slot(bench.provider(SlotKind::KeyFile), old)),
        "slot_not_found"
    );
}

#[test]
fn testing_a_slot_does_not_try_the_others() {
    let (bench, mut ring, root) = Bench::with(SlotKind::Passphrase);
    let second = other_words();
    let id = add(&mut ring, &root, Provider::Passphrase(&second));
    let first = bench.provider(SlotKind::Passphrase);
    assert_eq!(code(ring.test_slot(first, id)), "wrong_passphrase");
}

#[test]
fn the_last_slot_cannot_be_removed() {
    for kind in BOTH {
        let (bench, mut ring, root) = Bench::with(kind);
        let before = bench.bytes();
        let last = ring.slots()[0].id;
        assert_eq!(code(ring.remove_slot(&root, last)), "last_slot");
        assert_eq!(bench.bytes(), before);
        let none = ObjectId::from_bytes([9; 16]);
        assert_eq!(code(ring.remove_slot(&root, none)), "slot_not_found");
    }
}

#[test]
fn a_ring_holds_sixteen_slots_and_no_more() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let longest = "x".repeat(64);
    for _ in 1..16 {
        let new = slot(bench.provider(SlotKind::Passphrase), &longest);
        ring.add_slot(&root, &new, &SystemRandom).unwrap();
    }
    let new = slot(bench.provider(SlotKind::KeyFile), "one more");
    assert_eq!(
        code(ring.add_slot(&root, &new, &SystemRandom)),
        "too_many_slots"
    );
    assert_eq!(bench.load().unwrap().slots().len(), 16);
    assert!(bench.reopen(SlotKind::Passphrase).unwrap().same_as(&root));
}

#[test]
fn labels_are_short_and_plain() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    for (label, good) in [
        (String::new(), false),
        ("a".into(), true),
        ("x".repeat(64), true),
        ("x".repeat(65), false),
        ("é".repeat(32), true),
        ("é".repeat(33), false),
        ("two\nlines".into(), false),
        ("\u{1b}[31mred".into(), false),
        ("nul\0".into(), false),
        ("c1 \u{9b}".into(), false),
    ] {
        let new = slot(bench.provider(SlotKind::Passphrase), &label);
        assert_eq!(
            ring.add_slot(&root, &new, &SystemRandom).is_ok(),
            good,
            "{label:?}"
        );
    }
    assert_eq!(bench.load().unwrap().slots().len(), 4);
}

#[test]
fn only_the_rings_own_root_key_may_change_it() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let id = add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    let before = bench.bytes();
    let (_, _, stranger) = Bench::with(SlotKind::KeyFile);
    let namesake = Key::generate(root.name(), &SystemRandom).unwrap();
    for (key, expected) in [(&stranger, "not_the_root_key"), (&namesake, "ring_altered")] {
        assert_eq!(code(ring.remove_slot(key, id)), expected);
        let new = slot(bench.provider(SlotKind::Passphrase), "x");
        assert_eq!(code(ring.add_slot(key, &new, &SystemRandom)), expected);
    }
    assert_eq!(bench.bytes(), before);
}

#[test]
fn a_ring_that_changed_on_disk_meanwhile_is_not_overwritten() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let mut other = bench.load().unwrap();
    let kept = add(&mut other, &root, bench.provider(SlotKind::Passphrase));
    let new = slot(bench.provider(SlotKind::Passphrase), "lost update");
    assert_eq!(
        code(ring.add_slot(&root, &new, &SystemRandom)),
        "ring_changed"
    );
    let slots = bench.load().unwrap().slots();
    assert_eq!(slots.last().unwrap().id, kept);
}

#[test]
fn what_a_killed_writer_left_is_ignored_by_readers_and_cleared_by_the_next_writer() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let whole = bench.bytes();
    let leftovers = [&b""[..], &whole[..50], &whole];
    for left in leftovers {
        fs::write(beside(&bench.ring_file()), left).unwrap();
        assert!(bench.reopen(SlotKind::KeyFile).unwrap().same_as(&root));
        add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
        assert!(!beside(&bench.ring_file()).exists());
        assert!(bench.reopen(SlotKind::Passphrase).unwrap().same_as(&root));
    }
}

#[test]
fn a_first_start_killed_at_any_step_is_finished_by_the_next() {
    // After the key file was half written beside, was written, was linked; and the same of the
    // ring.
    let half = |bench: &Bench| fs::write(beside(&bench.key_file), [1; 7]);
    let beside_only = |bench: &Bench| fs::write(beside(&bench.key_file), [2; 32]);
    let linked = |bench: &Bench| {
        fs::write(beside(&bench.key_file), [3; 32])?;
        set_mode(&beside(&bench.key_file), 0o600);
        fs::hard_link(beside(&bench.key_file), &bench.key_file)
    };
    let ring_half = |bench: &Bench| {
        fs::write(&bench.key_file, [4; 32])?;
        set_mode(&bench.key_file, 0o600);
        fs::write(beside(&bench.ring_file()), b"RTRG\x01")
    };
    let steps: [fn(&Bench) -> std::io::Result<()>; 4] = [half, beside_only, linked, ring_half];
    for step in steps {
        let bench = Bench::new();
        fs::create_dir(&bench.dir).unwrap();
        set_mode(&bench.dir, 0o700);
        step(&bench).unwrap();
        let (_, root) = bench.create(SlotKind::KeyFile).unwrap();
        assert!(bench.reopen(SlotKind::KeyFile).unwrap().same_as(&root));
        let mut names: Vec<_> = fs::read_dir(&bench.dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["root.key", "root.ring"]);
    }
}

#[test]
fn readers_beside_a_busy_writer_always_find_a_whole_ring() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while reads == 0 || !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert!(bench.reopen(SlotKind::KeyFile).unwrap().same_as(&root));
                reads += 1;
            }
        });
        for _ in 0..20 {
            let id = add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
            ring.remove_slot(&root, id).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn two_first_starts_at_once_make_one_ring() {
    let bench = Bench::new();
    let made: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| bench.create(SlotKind::KeyFile)))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    });
    let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for refusal in refused {
        assert!(matches!(
            refusal,
            Err(CustodyError::Busy | CustodyError::RingExists(_))
        ));
    }
    let (_, root): (Ring, Key) = made.into_iter().next().unwrap().unwrap();
    assert!(bench.reopen(SlotKind::KeyFile).unwrap().same_as(&root));
}

/// `tests/fixtures/obx1/check.py` made this ring from the description of the format alone.
#[test]
fn a_ring_that_was_made_elsewhere_opens_by_both_its_slots() {
    let vectors = include_str!("../../tests/fixtures/obx1/vectors.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let golden = &vectors["ring"];
    let hex = |field: &str| {
        let text = golden[field].as_str().unwrap();
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
    };
    let mut bench = Bench::new();
    fs::create_dir(&bench.dir).unwrap();
    set_mode(&bench.dir, 0o700);
    fs::write(&bench.key_file, hex("key_file")).unwrap();
    bench.forge(&hex("file"));
    set_mode(&bench.key_file, 0o600);
    set_mode(&bench.ring_file(), 0o600);
    bench.words = Secret::copy_of(golden["passphrase"].as_str().unwrap().as_bytes());

    for kind in BOTH {
        let root = bench.reopen(kind).unwrap();
        assert!(root.expose(|root| root.as_slice() == hex("root_key")));
        assert_eq!(root.name().version, 7);
        assert_eq!(root.name().id.bytes().as_slice(), hex("root_id"));
    }
    let mut ring = bench.load().unwrap();
    assert_eq!(ring.store().bytes().as_slice(), hex("store"));
    let labels: Vec<_> = ring.slots().into_iter().map(|slot| slot.label).collect();
    assert_eq!(labels, ["key file", "in the säfe"]);

    // Rewritten by us it is the same kind of ring still.
    let root = ring.open(bench.provider(SlotKind::Passphrase)).unwrap();
    let id = add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    ring.remove_slot(&root, id).unwrap();
    assert_eq!(bench.bytes(), hex("file"));
}
