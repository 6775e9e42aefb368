//! A ring file in the hands of someone who may write it.

use proptest::prelude::*;

use super::form;
use super::means::Means;
use super::protocol::Wrapped;
use super::slot::Slot;
use super::tests_bench::{BOTH, Bench, NOON, STORE, add, code};
use super::{CustodianName, CustodyError, NewSlot, Provider, Ring, Share, SlotKind};
use crate::crypto::{Random, SystemRandom};
use crate::damage::Harm;

/// Where things stand in a ring whose first slot is labelled "first".
const HEADER: usize = 42;
const COST: usize = HEADER + 25 + 6 + 2 + 16;
const KEY_FILE_SLOT: usize = 25 + 6 + 2 + 156;
const MAC: usize = 32;

/// What may be said of a damaged ring, and what may not: it never opens.
fn is_refusal<T>(outcome: &Result<T, CustodyError>) -> bool {
    matches!(
        outcome,
        Err(CustodyError::RingForm
            | CustodyError::RingVersion(_)
            | CustodyError::RingAltered
            | CustodyError::WrongPassphrase
            | CustodyError::WrongKeyFile)
    )
}

#[test]
fn a_ring_cut_at_any_byte_is_refused() {
    for kind in BOTH {
        let (bench, ..) = Bench::with(kind);
        let whole = bench.bytes();
        for length in 0..whole.len() {
            bench.forge(&whole[..length]);
            assert!(
                matches!(bench.load(), Err(CustodyError::RingForm)),
                "{kind} {length}"
            );
        }
        bench.forge(&[&whole[..], &[0]].concat());
        assert_eq!(code(bench.load()), "ring_damaged");
    }
}

#[test]
fn a_ring_with_any_bit_flipped_is_refused() {
    for kind in BOTH {
        let (bench, ..) = Bench::with(kind);
        let whole = bench.bytes();
        for bit in 0..whole.len() * 8 {
            // Bits that make a passphrase cost more than 4 MiB are left out for the sake of time;
            // the bounds on them have a test of their own.
            let memory = kind == SlotKind::Passphrase && (COST..COST + 2).contains(&(bit / 8));
            if memory && bit != COST * 8 {
                continue;
            }
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 0x80 >> (bit % 8);
            bench.forge(&flipped);
            assert!(is_refusal(&bench.reopen(kind)), "{kind}, bit {bit}");
        }
        bench.forge(&whole);
        assert_eq!(code(bench.reopen(kind)), "opened");
    }
}

#[test]
fn whatever_becomes_of_the_key_file_opens_nothing() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    let sound = std::fs::read(&bench.key_file).unwrap();
    assert_eq!(sound.len(), 32);
    for harm in Harm::every(sound.len()) {
        std::fs::write(&bench.key_file, harm.of(&sound)).unwrap();
        let expected = match harm {
            Harm::Flipped { .. } => "wrong_key_file",
            Harm::Cut(_) | Harm::Longer(_) | Harm::Twice => "key_file_length",
        };
        assert_eq!(code(bench.reopen(SlotKind::KeyFile)), expected, "{harm:?}");
    }
}

#[test]
fn with_two_slots_a_bit_flipped_in_either_is_noticed_through_the_other() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    let whole = bench.bytes();
    let second = HEADER + KEY_FILE_SLOT;
    for byte in second..whole.len() {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1;
        bench.forge(&flipped);
        let outcome = bench.reopen(SlotKind::KeyFile);
        assert!(
            matches!(
                outcome,
                Err(CustodyError::RingForm | CustodyError::RingAltered)
            ),
            "byte {byte}"
        );
    }
}

/// A ring with a slot of each kind, of which the key file opens the first.
fn with_every_kind() -> Bench {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    let shares = Share::deal(3, 2, &SystemRandom).unwrap();
    add(&mut ring, &root, Provider::Shares(&shares));
    let parsed = form::parse(&bench.bytes()).unwrap();
    let mut slots = parsed.slots;
    let name = |text| CustodianName::parse(text).unwrap();
    let wrapped = || Wrapped::parse(b"\0\x05key 1as they have sealed it").unwrap();
    let theirs = [
        Means::Credential(name("runtools-root-key")),
        Means::Exec(name("holder"), wrapped()),
        Means::Pkcs11(name("hsm"), wrapped()),
    ];
    let random: &dyn Random = &SystemRandom;
    for means in theirs {
        let made = NewSlot::new(bench.provider(SlotKind::Passphrase), "theirs", NOON).cheap();
        let mut slot = Slot::make(&made, STORE, &root, random).unwrap();
        slot.means = means;
        slots.push(slot);
    }
    let ring = Ring::of(&bench.dir, parsed.identity, slots, &root).unwrap();
    bench.forge(ring.bytes());
    bench
}

#[test]
fn whatever_becomes_of_a_ring_with_a_slot_of_each_kind_is_noticed_through_its_key_file() {
    let bench = with_every_kind();
    let whole = bench.bytes();
    let all = bench.load().unwrap().slots();
    assert_eq!(all.len(), 6);
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "opened");
    for harm in Harm::every(whole.len()) {
        bench.forge(&harm.of(&whole));
        let outcome = bench.reopen(SlotKind::KeyFile);
        let gone = matches!(outcome, Err(CustodyError::NoSlotOfKind(SlotKind::KeyFile)));
        assert!(gone || is_refusal(&outcome), "{harm:?}");
    }
}

#[test]
fn a_slot_removed_by_hand_is_noticed() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    let mut bytes = bench.bytes();
    let end = bytes.len() - MAC;
    bytes.drain(HEADER + KEY_FILE_SLOT..end);
    bytes[HEADER - 1] = 1;
    bench.forge(&bytes);
    assert_eq!(bench.load().unwrap().slots().len(), 1);
    assert_eq!(code(bench.reopen(SlotKind::KeyFile)), "ring_altered");
}

#[test]
fn a_slot_added_by_hand_is_noticed() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    let (stranger, ..) = Bench::with(SlotKind::Passphrase);
    let (ours, theirs) = (bench.bytes(), stranger.bytes());
    let (body, mac) = ours.split_at(ours.len() - MAC);
    let slot = &theirs[HEADER..theirs.len() - MAC];
    let mut forged = [body, slot, mac].concat();
    forged[HEADER - 1] = 2;
    bench.forge(&forged);
    assert_eq!(bench.load().unwrap().slots().len(), 2);
    // Theirs opens, to a root key of their own, which is not the one that the MAC is of.
    for kind in BOTH {
        assert_eq!(code(bench.reopen(kind)), "ring_altered");
    }
}

#[test]
fn slots_that_changed_places_are_noticed() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    add(&mut ring, &root, bench.provider(SlotKind::Passphrase));
    let bytes = bench.bytes();
    let (head, rest) = bytes.split_at(HEADER);
    let (first, rest) = rest.split_at(KEY_FILE_SLOT);
    let (second, mac) = rest.split_at(rest.len() - MAC);
    bench.forge(&[head, second, first, mac].concat());
    for kind in BOTH {
        assert_eq!(code(bench.reopen(kind)), "ring_altered");
    }
}

#[test]
fn a_box_moved_between_slots_opens_in_neither() {
    let (bench, mut ring, root) = Bench::with(SlotKind::KeyFile);
    let other = bench.dir.join("other.key");
    add(&mut ring, &root, Provider::KeyFile(&other));
    let bytes = bench.bytes();
    let first = HEADER + KEY_FILE_SLOT - 156..HEADER + KEY_FILE_SLOT;
    let second = bytes.len() - MAC - 156..bytes.len() - MAC;
    let mut swapped = bytes.clone();
    swapped[first.clone()].copy_from_slice(&bytes[second.clone()]);
    swapped[second].copy_from_slice(&bytes[first]);
    bench.forge(&swapped);
    assert_eq!(code(bench.load()), "ring_damaged");
}

#[test]
fn a_slot_repeated_is_refused() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    let bytes = bench.bytes();
    let (body, mac) = bytes.split_at(bytes.len() - MAC);
    let mut forged = [body, &body[HEADER..], mac].concat();
    forged[HEADER - 1] = 2;
    bench.forge(&forged);
    assert_eq!(code(bench.load()), "ring_damaged");
}

#[test]
fn a_label_that_would_steer_a_terminal_is_refused_before_it_can_be_shown() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    let label = HEADER + 26..HEADER + 31;
    assert_eq!(&bench.bytes()[label.clone()], b"first");
    for hostile in [b"\x1b[31m", b"a\nb\nc", b"\xff\xfe\xfd\xfc\xfb"] {
        let mut forged = bench.bytes();
        forged[label.clone()].copy_from_slice(hostile);
        bench.forge(&forged);
        assert_eq!(code(bench.load()), "ring_damaged");
    }
}

#[test]
fn an_unknown_version_is_told_as_such() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    let mut bytes = bench.bytes();
    bytes[4] = 2;
    bench.forge(&bytes);
    assert!(matches!(bench.load(), Err(CustodyError::RingVersion(2))));
}

#[test]
fn a_passphrase_that_would_cost_more_than_the_bounds_is_refused_before_it_is_tried() {
    let (bench, ..) = Bench::with(SlotKind::Passphrase);
    let whole = bench.bytes();
    assert_eq!(whole[COST..COST + 12], [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1]);
    for (at, number) in [
        (COST, u32::MAX),
        (COST, 1024 * 1024 + 1),
        (COST + 4, u32::MAX),
        (COST + 4, 11),
        (COST + 8, 5),
        (COST + 8, 0),
    ] {
        let mut forged = whole.clone();
        forged[at..at + 4].copy_from_slice(&number.to_be_bytes());
        bench.forge(&forged);
        assert_eq!(code(bench.load()), "ring_damaged", "{number}");
    }
}

#[test]
fn a_ring_of_another_store_or_epoch_does_not_open() {
    let (bench, ..) = Bench::with(SlotKind::KeyFile);
    let whole = bench.bytes();
    for (at, expected) in [
        (5, "wrong_key_file"),
        (21, "ring_altered"),
        (40, "wrong_key_file"),
    ] {
        let mut forged = whole.clone();
        forged[at] ^= 2;
        bench.forge(&forged);
        assert_eq!(code(bench.reopen(SlotKind::KeyFile)), expected);
    }
}

proptest! {
    #[test]
    fn splices_of_a_ring_never_panic_and_never_parse_as_another(
        cut in 0..400usize,
        end in 0..400usize,
        noise in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let (bench, ..) = Bench::with(SlotKind::Passphrase);
        let whole = bench.bytes();
        let (cut, end) = (cut.min(whole.len()), end.min(whole.len()));
        let spliced = [&whole[..cut], &noise, &whole[end.max(cut)..]].concat();
        // Where the splice happens to have the form of a ring it is written out as it was read.
        if let Ok(parsed) = form::parse(&spliced) {
            let mut again = form::encode(&parsed.identity, &parsed.slots).unwrap();
            again.extend_from_slice(&parsed.mac);
            prop_assert_eq!(again, spliced);
        }
    }
}
