//! One suite for every provider of a slot: what each does alike, and what none of them lets through.
//!
//! A provider is whoever opens a slot: a file, a person, a service. `custody/holders.rs` has one of each
//! kind, which can be made to fail in every way that its kind can fail; where a fault does not apply it
//! says why. Nothing here knows one kind from another, but where it says so.

#[path = "custody/bench.rs"]
mod bench;
#[path = "custody/devices.rs"]
mod devices;
#[path = "custody/holders.rs"]
mod holders;
#[path = "custody/plugins.rs"]
mod plugins;
#[path = "custody/sample.rs"]
mod sample;
#[path = "custody/softhsm.rs"]
mod softhsm;

use bench::{Bench, code, slots_of};
use holders::{FAULTS, Holder, Verdict, every_kind, key_file, passphrase};
use runtools_broker::custody::SlotKind;

/// Runs `story` for a holder of each kind.
fn for_each(mut story: impl FnMut(Box<dyn Holder>)) {
    for holder in every_kind() {
        story(holder);
    }
}

#[test]
fn what_each_seals_it_opens_again_and_no_other_of_its_kind_does() {
    for_each(|holder| {
        let kind = holder.kind();
        let (bench, root) = Bench::with(&*holder);
        let ring = bench.load();
        let opened = ring.open(holder.provider()).unwrap();
        assert!(opened.same_as(&root), "{kind}");
        let slot = &ring.slots()[0];
        assert_eq!(slot.kind, kind);
        ring.test_slot(holder.provider(), slot.id).unwrap();
        for other in every_kind() {
            let outcome = ring.open(other.provider());
            assert_ne!(
                code(outcome),
                "opened",
                "{kind}, by another {}",
                other.kind()
            );
        }
    });
}

#[test]
fn what_was_sealed_for_one_store_opens_in_no_other() {
    for_each(|holder| {
        let (bench, _) = Bench::with(&*holder);
        let whole = bench.bytes();
        // A bit of the store's id, of the root key's, and of its epoch.
        for at in [5, 20, 21, 36, 40] {
            let mut forged = whole.clone();
            forged[at] ^= 2;
            bench.forge(&forged);
            let outcome = bench.load().open(holder.provider());
            assert_ne!(code(outcome), "opened", "{}, byte {at}", holder.kind());
        }
        bench.forge(&whole);
        bench.load().open(holder.provider()).unwrap();
    });
}

#[test]
fn no_fault_of_a_holder_opens_a_slot_and_each_says_what_it_is_in_the_same_words() {
    let mut met = 0;
    for_each(|mut holder| {
        let kind = holder.kind();
        let (bench, root) = Bench::with(&*holder);
        for fault in FAULTS {
            let codes = match holder.inflict(fault) {
                Verdict::Refused(codes) => codes,
                Verdict::DoesNotApply(why) => {
                    assert!(!why.is_empty());
                    continue;
                }
            };
            let refused = || bench.load().open(holder.provider()).unwrap_err();
            let first = refused();
            assert!(
                codes.contains(&first.code()),
                "{kind}, {fault:?}: {first} ({})",
                first.code()
            );
            let again = refused();
            assert_eq!(first.to_string(), again.to_string(), "{kind}, {fault:?}");
            assert_eq!(first.hint(), again.hint());
            assert!(!first.hint().is_empty(), "{kind}, {fault:?}");
            let said = format!("{first} {} {first:?}", first.hint());
            for told in holder.never_told() {
                assert!(!said.contains(&told), "{kind}, {fault:?}: {said}");
            }
            holder.mend();
            let mended = bench.load().open(holder.provider()).unwrap();
            assert!(mended.same_as(&root), "{kind}, after {fault:?}");
            met += 1;
        }
    });
    assert!(met >= 7, "only {met} faults were met");
}

#[test]
fn of_two_slots_one_broken_the_other_opens() {
    for_each(|mut holder| {
        let kind = holder.kind();
        let (bench, root) = Bench::with(&*holder);
        let mut spare = key_file();
        bench.add(&root, &*spare);
        for fault in FAULTS {
            if let Verdict::Refused(_) = holder.inflict(fault) {
                let ring = bench.load();
                assert_ne!(
                    code(ring.test_slot(holder.provider(), ring.slots()[0].id)),
                    "opened"
                );
                let opened = ring.open(spare.provider()).unwrap();
                assert!(opened.same_as(&root), "{kind}, {fault:?}");
                holder.mend();
            }
            if let Verdict::Refused(_) = spare.inflict(fault) {
                let ring = bench.load();
                let slot = ring.slots()[0].id;
                ring.test_slot(holder.provider(), slot).unwrap();
                spare.mend();
            }
        }
    });
}

#[test]
fn a_slot_taken_out_of_the_file_by_hand_is_noticed_by_whoever_is_left() {
    for_each(|holder| {
        let kind = holder.kind();
        let (bench, root) = Bench::with(&*holder);
        let spare = key_file();
        bench.add(&root, &*spare);
        let whole = bench.bytes();
        let slots = slots_of(&whole);
        assert_eq!(slots.len(), 2);
        for (taken, left) in [(0, &spare), (1, &holder)] {
            let mut forged = whole.clone();
            forged.drain(slots[taken].clone());
            forged[41] = 1;
            bench.forge(&forged);
            let ring = bench.load();
            assert_eq!(ring.slots().len(), 1);
            let outcome = ring.open(left.provider());
            assert_eq!(code(outcome), "ring_altered", "{kind}, slot {taken}");
        }
    });
}

#[test]
fn a_slot_changed_anywhere_is_refused() {
    for_each(|holder| {
        let kind = holder.kind();
        let (bench, _) = Bench::with(&*holder);
        let whole = bench.bytes();
        let slot = slots_of(&whole).remove(0);
        // What a passphrase costs to try stands in its slot; more of it only takes longer to refuse.
        let cost = slot.start + 25 + "first".len() + 1 + 2 + 16;
        let costly = |at: usize| kind == SlotKind::Passphrase && (cost..cost + 12).contains(&at);
        for at in slot.step_by(7).filter(|at| !costly(*at)) {
            let mut forged = whole.clone();
            forged[at] ^= 1;
            bench.forge(&forged);
            let outcome = bench
                .try_load()
                .and_then(|ring| ring.open(holder.provider()));
            assert_ne!(code(outcome), "opened", "{kind}, byte {at}");
        }
    });
}

#[test]
fn a_ring_moves_from_a_key_file_to_each_kind_and_back() {
    for_each(|holder| {
        let kind = holder.kind();
        let old = key_file();
        let (bench, root) = Bench::with(&*old);
        let first = bench.load().slots()[0].id;
        let added = bench.add(&root, &*holder);
        bench.load().test_slot(holder.provider(), added).unwrap();
        bench.load().remove_slot(&root, first).unwrap();
        assert_ne!(code(bench.load().open(old.provider())), "opened", "{kind}");
        let opened = bench.load().open(holder.provider()).unwrap();
        assert!(opened.same_as(&root), "{kind}");

        let last = bench.load().remove_slot(&root, added);
        assert_eq!(code(last), "last_slot");
        let new = key_file();
        let back = bench.add(&root, &*new);
        bench.load().test_slot(new.provider(), back).unwrap();
        bench.load().remove_slot(&root, added).unwrap();
        assert_ne!(
            code(bench.load().open(holder.provider())),
            "opened",
            "{kind}"
        );
        assert!(bench.load().open(new.provider()).unwrap().same_as(&root));
    });
}

#[test]
fn a_slot_is_tested_by_itself() {
    for_each(|holder| {
        let (bench, root) = Bench::with(&*holder);
        let spare = passphrase();
        let second = bench.add(&root, &*spare);
        let ring = bench.load();
        let first = ring.slots()[0].id;
        ring.test_slot(spare.provider(), second).unwrap();
        ring.test_slot(holder.provider(), first).unwrap();
        for (provider, slot) in [(holder.provider(), second), (spare.provider(), first)] {
            assert_ne!(code(ring.test_slot(provider, slot)), "opened");
        }
    });
}
