//! The watch looks at each organisation by itself, and whoever fails cuts what nobody looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{ALL_THE_SAME, Due, OnPanic, Open, Seen, Watched};
use crate::broker::handles::tests::{handle, owner, terms, tool};
use crate::clock::Timestamp;
use crate::directory::Recognised;
use crate::policy::{Principal, Scopes};
use crate::wire::Role;

/// One exchange of a user of `org`, by right of a handle that nobody has looked at.
fn open(all: &mut Open, org: u8, user: u8) {
    let (owner, scopes) = (owner(org, user, 1), Arc::new(Scopes::all()));
    let (_, handle) = handle(&tool(), owner, terms(60, 1), Instant::now());
    let principal = Principal::recognised(owner.org, owner.user, Role::Member, owner.via, scopes);
    let watched = Watched {
        handle: Arc::clone(&handle),
        seen: Recognised::long_ago(principal),
        exchanges: 1,
        due: Due::Now,
    };
    all.handles.insert(handle.id, watched);
}

/// Which organisations are looked at, with how many handles, and whether these are all.
fn rounds(all: &mut Open, generation: u64) -> Vec<(u8, usize, bool)> {
    let rounds = all.rounds(generation, Timestamp::default());
    let shown = rounds.iter().map(|round| {
        let all = round.all_at == Some(generation);
        (round.org.bytes()[0], round.handles.len(), all)
    });
    let mut shown: Vec<_> = shown.collect();
    shown.sort_unstable();
    shown
}

/// An organisation's round is done; `judged` when all of its handles could be judged after that commit.
fn done(all: &mut Open, org: u8, judged: Option<u64>) {
    for watched in all.handles.values_mut() {
        if watched.handle.purpose.owner.org.bytes()[0] == org {
            watched.due = Due::At(None);
        }
    }
    let seen = all.orgs.get_mut(&owner(org, 1, 1).org).unwrap();
    seen.busy = false;
    seen.last = judged.map(|at| (at, Instant::now())).or(seen.last);
}

#[test]
fn no_organisation_waits_until_another_one_was_looked_at() {
    let mut all = Open::default();
    open(&mut all, 1, 1);
    open(&mut all, 1, 2);
    open(&mut all, 2, 1);
    assert_eq!(rounds(&mut all, 7), [(1, 2, true), (2, 1, true)]);
    assert_eq!(rounds(&mut all, 7), [], "somebody is at both");
    done(&mut all, 2, Some(7));
    assert_eq!(rounds(&mut all, 7), []);
    // The first one takes its time.
    assert_eq!(rounds(&mut all, 8), [(2, 1, true)]);
    done(&mut all, 2, Some(8));
    done(&mut all, 1, Some(7));
    assert_eq!(
        rounds(&mut all, 8),
        [(1, 2, true)],
        "nor was its change missed"
    );
}

#[test]
fn what_could_not_be_judged_is_asked_for_again_and_what_is_new_alone() {
    let mut all = Open::default();
    open(&mut all, 1, 1);
    assert_eq!(rounds(&mut all, 7), [(1, 1, true)]);
    done(&mut all, 1, None);
    assert_eq!(rounds(&mut all, 7), [(1, 1, true)]);
    done(&mut all, 1, Some(7));
    assert_eq!(rounds(&mut all, 7), []);
    open(&mut all, 1, 2);
    assert_eq!(rounds(&mut all, 7), [(1, 1, false)]);
    done(&mut all, 1, None);
    assert_eq!(rounds(&mut all, 7), []);
    // In the end everything is, whatever the reason would be.
    let long_ago = Instant::now().checked_sub(ALL_THE_SAME).unwrap();
    let last = Some((7, long_ago));
    let org = owner(1, 1, 1).org;
    all.orgs.insert(org, Seen { busy: false, last });
    assert_eq!(rounds(&mut all, 7), [(1, 2, true)]);
    done(&mut all, 1, Some(7));
    all.handles.clear();
    assert_eq!(rounds(&mut all, 7), []);
    assert!(all.orgs.is_empty());
}

#[tokio::test]
async fn a_task_that_panics_does_its_last_duty_and_one_that_ends_has_none() {
    let duties = Arc::new(AtomicUsize::new(0));
    for (panics, done) in [(false, 0), (true, 1)] {
        let count = Arc::clone(&duties);
        let task = tokio::spawn(async move {
            let _duty = OnPanic(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            tokio::task::yield_now().await;
            assert!(!panics, "as it should");
        });
        assert_eq!(task.await.is_err(), panics);
        assert_eq!(duties.load(Ordering::SeqCst), done);
    }
}
