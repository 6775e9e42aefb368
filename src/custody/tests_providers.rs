//! What every provider must do alike, and what each must refuse.

use std::fs;
use std::os::unix::fs::symlink;

use super::tests_bench::{BOTH, Bench, add, code, mode, other_words, set_mode, slot};
use super::{Custodians, CustodyError, NewSlot, Provider, Ring, SlotKind, Unattended};
use crate::clock::Timestamp;
use crate::crypto::{CryptoError, Random, SystemRandom};
use crate::secret::Secret;

#[test]
fn what_was_created_opens_again_to_the_same_root_key() {
    for kind in BOTH {
        let (bench, _, root) = Bench::with(kind);
        let opened = bench.reopen(kind).unwrap();
        assert!(opened.same_as(&root), "{kind}");
        assert_eq!(opened.name(), root.name());
        assert_eq!(root.name().version, 1);
    }
}

#[test]
fn two_rings_never_share_a_root_key() {
    for kind in BOTH {
        let (_, one, first) = Bench::with(kind);
        let (_, other, second) = Bench::with(kind);
        assert!(!first.same_as(&second));
        assert_ne!(one.root(), other.root());
        assert_ne!(one.slots()[0].id, other.slots()[0].id);
    }
}

#[test]
fn the_wrong_key_is_refused() {
    let (bench, ring, _) = Bench::with(SlotKind::Passphrase);
    let other = other_words();
    assert_eq!(
        code(ring.open(Provider::Passphrase(&other))),
        "wrong_passphrase"
    );
    drop(bench);

    let (bench, ring, _) = Bench::with(SlotKind::KeyFile);
    let (stranger, ..) = Bench::with(SlotKind::KeyFile);
    assert_eq!(
        code(ring.open(stranger.provider(SlotKind::KeyFile))),
        "wrong_key_file"
    );
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "opened");
}

#[test]
fn one_provider_does_not_open_the_other_ones_slot() {
    for (kind, other) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let (bench, ring, _) = Bench::with(kind);
        assert_eq!(code(ring.open(bench.provider(other))), "slot_not_found");
    }
}

#[test]
fn with_two_slots_each_opens_alone() {
    for (kind, other) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let (bench, mut ring, root) = Bench::with(kind);
        add(&mut ring, &root, bench.provider(other));
        assert!(bench.reopen(kind).unwrap().same_as(&root));
        assert!(bench.reopen(other).unwrap().same_as(&root));
    }
}

#[test]
fn when_the_key_file_is_gone_or_broken_the_passphrase_still_opens() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    fs::write(&bench.key_file, b"broken").unwrap();
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "key_file_length");
    assert!(bench.reopen(SlotKind::Passphrase).unwrap().same_as(&root));
    fs::remove_file(&bench.key_file).unwrap();
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "key_path_missing");
    assert!(bench.reopen(SlotKind::Passphrase).unwrap().same_as(&root));
}

#[test]
fn when_the_passphrase_is_forgotten_the_key_file_still_opens() {
    let (mut bench, mut ring, root) = Bench::with(SlotKind::Passphrase);
    add(&mut ring, &root, bench.provider(SlotKind::KeyFile));
    bench.words = other_words();
    assert_eq!(code(bench.reopen(SlotKind::Passphrase)), "wrong_passphrase");
    assert!(bench.reopen(SlotKind::KeyFile).unwrap().same_as(&root));
}

#[test]
fn each_of_several_passphrases_opens() {
    let (bench, mut ring, root) = Bench::with(SlotKind::Passphrase);
    let second = other_words();
    add(&mut ring, &root, Provider::Passphrase(&second));
    let ring = bench.load().unwrap();
    assert!(
        ring.open(Provider::Passphrase(&second))
            .unwrap()
            .same_as(&root)
    );
    assert!(
        ring.open(bench.provider(SlotKind::Passphrase))
            .unwrap()
            .same_as(&root)
    );
}

#[test]
fn an_unattended_start_uses_key_files_only() {
    let (bench, mut ring, root) = Bench::with(SlotKind::Passphrase);
    let start = |ring: &Ring| ring.open_unattended(&Custodians::of(&bench.dir));
    assert!(matches!(start(&ring), Ok(Unattended::Waits(lost)) if lost.is_empty()));
    add(&mut ring, &root, bench.provider(SlotKind::KeyFile));
    let opened = start(&ring).unwrap().opened().unwrap();
    assert!(opened.same_as(&root));
}

#[test]
fn a_lost_key_file_waits_for_a_passphrase_where_there_is_one() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let start = |ring: &Ring| match ring.open_unattended(&Custodians::of(&bench.dir)) {
        Ok(Unattended::Waits(lost)) => format!("waits: {}", lost[0].code()),
        outcome => code(outcome).to_owned(),
    };
    let key = fs::read(&bench.key_file).unwrap();
    let losses = [
        (Some(&[7; 32][..]), "wrong_key_file"),
        (Some(&key[..31]), "key_file_length"),
        (None, "key_path_missing"),
    ];
    let lose = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => fs::write(&bench.key_file, bytes).unwrap(),
        None => fs::remove_file(&bench.key_file).unwrap(),
    };
    for (bytes, why) in losses {
        lose(bytes);
        assert_eq!(start(&ring), why, "nothing else opens the ring");
    }
    fs::write(&bench.key_file, &key).unwrap();
    set_mode(&bench.key_file, 0o600);
    add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    assert_eq!(start(&ring), "opened");
    set_mode(&bench.key_file, 0o640);
    assert_eq!(start(&ring), "key_path_mode", "a danger is no loss");
    set_mode(&bench.key_file, 0o600);
    for (bytes, why) in losses {
        lose(bytes);
        assert_eq!(start(&ring), format!("waits: {why}"));
    }
}

#[test]
fn a_new_key_file_has_32_bytes_that_its_owner_alone_may_read() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    assert_eq!(mode(&bench.key_file), 0o600);
    let bytes = fs::read(&bench.key_file).unwrap();
    assert_eq!(bytes.len(), 32);
    assert_ne!(bytes, [0; 32]);
}

#[test]
fn a_key_file_that_is_there_is_kept() {
    let bench = Bench::new();
    fs::create_dir(&bench.dir).unwrap();
    set_mode(&bench.dir, 0o700);
    fs::write(&bench.key_file, [9; 32]).unwrap();
    set_mode(&bench.key_file, 0o600);
    bench.create(SlotKind::KeyFile).unwrap();
    assert_eq!(fs::read(&bench.key_file).unwrap(), [9; 32]);
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "opened");
}

#[test]
fn each_slot_has_a_key_file_of_its_own() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let before = bench.bytes();
    let new = slot(bench.provider(SlotKind::KeyFile), "again");
    let refused = ring.add_slot(&root, &new, &SystemRandom);
    assert_eq!(code(refused), "key_file_exists");
    assert_eq!(bench.bytes(), before);
    // Nor one that opens nothing: what it was made for is not known.
    let foreign = bench.dir.join("foreign.key");
    fs::write(&foreign, [9; 32]).unwrap();
    set_mode(&foreign, 0o600);
    let new = slot(Provider::KeyFile(&foreign), "foreign");
    let refused = ring.add_slot(&root, &new, &SystemRandom);
    assert_eq!(code(refused), "key_file_exists");
    let own = bench.dir.join("own.key");
    add(&mut ring, &root, Provider::KeyFile(&own));
    assert!(ring.open(Provider::KeyFile(&own)).unwrap().same_as(&root));
}

#[test]
fn a_key_file_of_another_length_is_refused() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    for length in [0, 31, 33, 64, 4096] {
        fs::write(&bench.key_file, vec![1; length]).unwrap();
        assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "key_file_length");
    }
}

#[test]
fn a_key_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    for wide in [0o604, 0o640, 0o644, 0o660, 0o700, 0o777] {
        set_mode(&bench.key_file, wide);
        let refusal = bench.reopen(SlotKind::KeyFile).unwrap_err();
        assert_eq!(refusal.code(), "key_path_mode");
        assert!(refusal.hint().contains("chmod 600 "), "{}", refusal.hint());
        assert!(refusal.hint().contains("root.key"));
    }
    set_mode(&bench.key_file, 0o400);
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "opened");
}

#[test]
fn a_key_file_behind_a_link_is_refused_even_when_the_file_is_good() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    let real = bench.dir.join("real.key");
    fs::rename(&bench.key_file, &real).unwrap();
    symlink(&real, &bench.key_file).unwrap();
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "key_path_kind");

    // Nor is one made through a link that leads nowhere yet.
    let bench = Bench::new();
    fs::create_dir(&bench.dir).unwrap();
    set_mode(&bench.dir, 0o700);
    let elsewhere = bench.dir.join("elsewhere");
    symlink(&elsewhere, &bench.key_file).unwrap();
    assert_eq!(code(bench.create(SlotKind::KeyFile)), "key_path_kind");
    assert!(!elsewhere.exists());
}

#[test]
fn a_key_file_that_is_a_directory_is_refused() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    fs::remove_file(&bench.key_file).unwrap();
    fs::create_dir(&bench.key_file).unwrap();
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "key_path_kind");
}

#[test]
fn a_short_passphrase_locks_nothing_and_leaves_nothing_behind() {
    let mut bench = Bench::new();
    bench.words = Secret::copy_of(b"elevenchars");
    assert_eq!(
        code(bench.create(SlotKind::Passphrase)),
        "passphrase_length"
    );
    assert!(!bench.dir.exists());

    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let before = bench.bytes();
    let short = Secret::copy_of(b"elevenchars");
    let new = slot(Provider::Passphrase(&short), "short");
    assert_eq!(
        code(ring.add_slot(&root, &new, &SystemRandom)),
        "passphrase_length"
    );
    assert_eq!(bench.bytes(), before);
}

#[test]
fn every_wrong_passphrase_hears_the_same_words() {
    let (bench, ring, _) = Bench::with(SlotKind::Passphrase);
    let mut wrong: Vec<Vec<u8>> = (0..1000u32)
        .map(|n| format!("correct horse battery {n}").into_bytes())
        .collect();
    wrong.extend([vec![], vec![0], vec![0xFF; 40], vec![b'a'; 100_000]]);
    wrong.push(b"correct horse battery staple ".to_vec());
    wrong.push(b"Correct horse battery staple".to_vec());
    for words in wrong {
        let refusal = ring
            .open(Provider::Passphrase(&Secret::take(words)))
            .unwrap_err();
        assert_eq!(refusal.to_string(), "the passphrase does not open the ring");
        assert_eq!(refusal.code(), "wrong_passphrase");
        assert_eq!(refusal.hint(), CustodyError::WrongPassphrase.hint());
    }
    assert_eq!(code(bench.reopen(SlotKind::Passphrase)), "opened");
}

#[test]
fn a_passphrase_slot_costs_64_mib_and_three_passes_unless_told_otherwise() {
    let bench = Bench::new();
    let first = NewSlot::new(
        bench.provider(SlotKind::Passphrase),
        "x",
        Timestamp::default(),
    );
    let (_, root) =
        Ring::create(&bench.dir, super::tests_bench::STORE, &first, &SystemRandom).unwrap();
    // After the header (42), the slot's id, kind, time (25), label (2), length (2) and salt (16).
    let bytes = bench.bytes();
    assert_eq!(bytes[87..99], [0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1]);
    assert!(bench.reopen(SlotKind::Passphrase).unwrap().same_as(&root));
}

/// A generator that fails after some calls.
#[derive(Debug)]
struct Failing(std::sync::atomic::AtomicI32);

impl Random for Failing {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        if self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) > 0 {
            SystemRandom.fill(out)
        } else {
            Err(CryptoError::Random)
        }
    }
}

#[test]
fn without_randomness_no_ring_is_made() {
    for kind in BOTH {
        let mut made = false;
        for calls in 0..12 {
            let bench = Bench::new();
            let first = slot(bench.provider(kind), "first");
            let random = Failing(calls.into());
            let outcome = Ring::create(&bench.dir, super::tests_bench::STORE, &first, &random);
            made = outcome.is_ok();
            assert_eq!(bench.ring_file().exists(), made);
            if !made {
                assert_eq!(code(outcome), "sealing_failed");
            }
        }
        assert!(made, "twelve draws suffice");
    }
}
