//! Memory: what it answers is what the store says, and another organisation's changes cost nobody a read.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Bearer, Changing, Epoch, Memory};
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::directory::Recognised;
use crate::id::{ApiKeyId, OrgId, UserId};
use crate::policy::{Principal, Scopes, Via};
use crate::wire::{OrgSettings, Role};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn org(number: u8) -> OrgId {
    OrgId::from_bytes([number; 16])
}

/// The bearer of an organisation's one key, as the store says in this version.
fn bearer(number: u8, version: u64) -> Bearer {
    let via = Via::ApiKey(ApiKeyId::from_bytes([number; 16]));
    let user = UserId::from_bytes([number; 16]);
    let scopes = Arc::new(Scopes::all());
    let principal = Principal::recognised(org(number), user, Role::Member, via, scopes);
    (principal.in_term(version), None)
}

fn mark(number: u8) -> Digest {
    [number; 32]
}

fn version(recognised: &Recognised) -> u64 {
    recognised.principal().term()
}

/// Keeps what was read in `epoch` in every way.
fn keep(memory: &Memory, number: u8, epoch: Epoch, version: u64) -> Recognised {
    let found = bearer(number, version);
    memory.keep_seen(epoch, (mark(number), found.clone()), Vec::new(), NOW);
    let settings = OrgSettings {
        reveal_enabled: version.is_multiple_of(2),
        ..OrgSettings::default()
    };
    memory.keep_policy(org(number), epoch, settings);
    memory.keep_again(epoch, found)
}

/// Which version it answers with by what was shown, and again to somebody who was recognised before any
/// change; `None` where the store must be asked.
fn answers(memory: &Memory, number: u8) -> [Option<u64>; 2] {
    let long_ago = Recognised::at(Epoch(0), bearer(number, 0));
    let seen = memory.seen(&mark(number), NOW).ok();
    let again = memory.again(&long_ago, NOW).ok();
    [seen, again].map(|found| found.as_ref().map(version))
}

#[test]
fn another_organisations_change_makes_nobody_read_again() {
    let memory = Memory::default();
    // One change of each, so that nobody is in the epoch that all begin with.
    for number in [1, 2] {
        drop(memory.changing(org(number)));
        keep(&memory, number, memory.epoch(), 7);
    }
    let changing = memory.changing(org(1));
    assert_eq!(answers(&memory, 1), [None, None], "the store is asked");
    assert!(memory.policy(org(1)).is_err());
    assert_eq!(answers(&memory, 2), [Some(7), Some(7)]);
    drop(changing);
    assert_eq!(answers(&memory, 1), [None, None], "they were forgotten");
    assert!(memory.policy(org(1)).is_err());
    assert_eq!(answers(&memory, 2), [Some(7), Some(7)]);
    assert!(!memory.policy(org(2)).unwrap().reveal_enabled);
    memory.forget();
    assert_eq!(answers(&memory, 2), [None, None], "sealing forgets all");
    assert!(memory.policy(org(2)).is_err());
}

#[test]
fn what_ends_by_itself_is_not_answered_with_after_its_end() {
    let memory = Memory::default();
    drop(memory.changing(org(1)));
    let epoch = memory.epoch();
    let (principal, _) = bearer(1, 3);
    let found = (principal, Some(NOW.plus_millis(5)));
    memory.keep_seen(epoch, (mark(1), found.clone()), Vec::new(), NOW);
    let fresh = memory.keep_again(epoch, found);
    let long_ago = Recognised::at(Epoch(0), bearer(1, 0));
    for (millis, holds) in [(4, true), (5, false)] {
        let now = NOW.plus_millis(millis);
        assert_eq!(memory.seen(&mark(1), now).is_ok(), holds);
        assert_eq!(memory.again(&fresh, now).is_ok(), holds);
        assert_eq!(memory.again(&long_ago, now).is_ok(), holds);
    }
}

#[test]
fn a_change_in_the_middle_of_which_all_is_forgotten_goes_on() {
    let memory = Memory::default();
    let changing = memory.changing(org(1));
    memory.forget();
    keep(&memory, 1, memory.epoch(), 1);
    assert_eq!(answers(&memory, 1), [None, None]);
    drop(changing);
    keep(&memory, 1, memory.epoch(), 2);
    assert_eq!(answers(&memory, 1), [Some(2), Some(2)]);
}

/// One step of somebody who reads or changes an organisation.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Looks something up: what the store says now, to be kept later.
    Read(u8),
    /// Keeps what was read first of what is not kept yet.
    Keep,
    /// Begins a change.
    Begin(u8),
    /// The change is in the store.
    Commit(u8),
    /// The change is over.
    End(u8),
    /// Seals and unseals.
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let org = 1_u8..4;
    prop_oneof![
        4 => org.clone().prop_map(Step::Read),
        4 => Just(Step::Keep),
        2 => org.clone().prop_map(Step::Begin),
        2 => org.clone().prop_map(Step::Commit),
        2 => org.prop_map(Step::End),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    #[test]
    fn no_order_of_reads_and_changes_yields_an_answer_that_is_not_the_stores(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let memory = Memory::default();
        (1..4).for_each(|number| drop(memory.changing(org(number))));
        let mut stored: BTreeMap<u8, u64> = (1..4).map(|number| (number, 1)).collect();
        let mut changes: BTreeMap<u8, Vec<Changing<'_>>> = BTreeMap::new();
        // How often each was forgotten.
        let mut forgotten: BTreeMap<u8, u64> = (1..4).map(|number| (number, 0)).collect();
        let mut reads = Vec::new();
        for step in steps {
            match step {
                Step::Read(number) => {
                    reads.push((number, memory.epoch(), stored[&number], forgotten[&number]));
                }
                Step::Keep if !reads.is_empty() => {
                    let (number, epoch, version, before) = reads.remove(0);
                    let kept = keep(&memory, number, epoch, version);
                    // Who was recognised is who they were for as long as nothing changes.
                    if let Ok(still) = memory.again(&kept, NOW) {
                        prop_assert_eq!(still.principal().term(), stored[&number]);
                    }
                    // Whatever the others did meanwhile.
                    let free = changes.get(&number).is_none_or(Vec::is_empty);
                    if free && before == forgotten[&number] {
                        prop_assert_eq!(answers(&memory, number), [Some(version); 2]);
                    }
                }
                Step::Keep => {}
                Step::Begin(number) => {
                    changes.entry(number).or_default().push(memory.changing(org(number)));
                }
                // Nothing is committed but in a change.
                Step::Commit(number) => {
                    if changes.get(&number).is_some_and(|open| !open.is_empty()) {
                        *stored.entry(number).or_default() += 1;
                    }
                }
                Step::End(number) => {
                    if changes.entry(number).or_default().pop().is_some() {
                        *forgotten.entry(number).or_default() += 1;
                    }
                }
                Step::Forget => {
                    memory.forget();
                    for count in forgotten.values_mut() {
                        *count += 1;
                    }
                }
            }
            for (number, version) in &stored {
                for answer in answers(&memory, *number).into_iter().flatten() {
                    prop_assert_eq!(answer, *version);
                }
                if let Ok(policy) = memory.policy(org(*number)) {
                    prop_assert_eq!(policy.reveal_enabled, version.is_multiple_of(2));
                }
            }
        }
    }
}
