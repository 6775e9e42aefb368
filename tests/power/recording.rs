//! A broker that works while its calls are noted, and the power cuts that the record allows.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::disk::Disk;
use crate::file::Leaves;
use crate::harness::dice::Dice;
use crate::harness::{Broker, Client, Setup};
use crate::trace::{self, Event};
use crate::writes::new_request;

/// What a broker did, and what whoever had it do that knows of it.
pub(super) struct Recorded<D> {
    pub(super) before: Disk,
    pub(super) events: Vec<Event>,
    pub(super) done: D,
}

/// A moment of a record, at which the power is cut.
pub(super) struct Moment<'r> {
    answered: &'r HashMap<&'r str, usize>,
    at: usize,
}

impl Moment<'_> {
    /// Whether a success was answered to this request by then.
    pub(super) fn heard(&self, request: &str) -> bool {
        self.answered.get(request).is_some_and(|at| *at < self.at)
    }
}

#[expect(clippy::disallowed_methods, reason = "who runs it says how long")]
pub(super) fn is_slow() -> bool {
    std::env::var_os("RUNTOOLS_SLOW").is_some()
}

/// The same client, whose next request is told from others; and the name of that request.
pub(super) fn named(client: &Client) -> (Client, String) {
    let request = new_request();
    (client.header("x-request-id", &request), request)
}

/// Prepares a broker, starts it again under strace and has it `work`. Records until the record is whole: of
/// two calls that threads make at once, a trace does not always tell which was first.
pub(super) fn record<P, D>(
    setup: &dyn Fn(&Path) -> Setup,
    prepare: &dyn Fn(&mut Broker) -> P,
    work: &dyn Fn(&Broker, P) -> D,
) -> Recorded<D> {
    (0..3)
        .find_map(|_| try_to_record(setup, prepare, work))
        .unwrap()
}

fn try_to_record<P, D>(
    setup: &dyn Fn(&Path) -> Setup,
    prepare: &dyn Fn(&mut Broker) -> P,
    work: &dyn Fn(&Broker, P) -> D,
) -> Option<Recorded<D>> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut broker = Broker::over(Arc::clone(&folder), setup(folder.path()));
    let prepared = prepare(&mut broker);
    assert_eq!(broker.stop(), Some(0));

    let before = Disk::of(folder.path());
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("trace");
    let traced = Setup {
        wrapper: trace::wrapper(&file),
        ..setup(folder.path())
    };
    let mut broker = Broker::over(Arc::clone(&folder), traced);
    let done = work(&broker, prepared);
    let children = format!("/proc/{0}/task/{0}/children", broker.pid());
    let child = std::fs::read_to_string(children).unwrap();
    let ended = Command::new("kill").args(["-TERM", child.trim()]).status();
    assert!(ended.unwrap().success());
    assert_eq!(broker.wait(Duration::from_mins(1)), Some(0));

    let events = trace::read(&std::fs::read_to_string(&file).unwrap(), folder.path());
    let mut after = before.clone();
    for event in &events {
        after.happens(event);
    }
    if let Some(path) = after.differs_at() {
        println!("the record is not whole at {}", path.display());
        return None;
    }
    Some(Recorded {
        before,
        events,
        done,
    })
}

impl<D> Recorded<D> {
    fn answered(&self) -> HashMap<&str, usize> {
        let mut answered = HashMap::new();
        for (at, event) in self.events.iter().enumerate() {
            if let Event::Answered { request } = event {
                answered.insert(request.as_str(), at);
            }
        }
        answered
    }

    /// Where the disk is about to change: before any other event, a cut leaves what it leaves at the next of
    /// these, and less was promised.
    fn moments(&self) -> Vec<usize> {
        let silent = |event: &Event| {
            matches!(
                event,
                Event::Written { .. } | Event::SyncBegun { .. } | Event::Answered { .. }
            )
        };
        let events = self.events.iter().enumerate();
        events
            .filter_map(|(at, event)| (!silent(event)).then_some(at))
            .chain([self.events.len()])
            .collect()
    }

    /// `few` cuts at any moment, half of them before a sync ends, when the most is at stake. In the slow run at
    /// every moment, and before a sync ends in every way.
    fn cuts(&self, few: usize, dice: &mut Dice) -> Vec<(usize, Leaves)> {
        let all = self.moments();
        let is_sync = |at: &usize| matches!(self.events.get(*at), Some(Event::Synced { .. }));
        if is_slow() {
            let ways = |(n, at): (usize, usize)| {
                let one = [Leaves::ALL[n % Leaves::ALL.len()]];
                let ways = if is_sync(&at) {
                    Leaves::ALL.to_vec()
                } else {
                    one.to_vec()
                };
                ways.into_iter().map(move |leaves| (at, leaves))
            };
            return all.into_iter().enumerate().flat_map(ways).collect();
        }
        let syncs: Vec<_> = all.iter().copied().filter(is_sync).collect();
        let mut moments: Vec<_> = (0..few)
            .map(|n| {
                let of = if n % 2 == 0 { &syncs } else { &all };
                of[dice.below(of.len())]
            })
            .collect();
        moments.sort_unstable();
        let ways = Leaves::ALL.into_iter().cycle();
        moments.into_iter().zip(ways).collect()
    }

    /// Cuts the power again and again, and has a look at what is left each time.
    pub(super) fn cut(&self, what: &str, few: usize, look: &dyn Fn(Arc<TempDir>, &Moment<'_>)) {
        let answered = self.answered();
        let mut dice = Dice(0x5DEE_CE66_D123);
        let cuts = self.cuts(few, &mut dice);
        let count = cuts.len();
        let (mut disk, mut at) = (self.before.clone(), 0);
        for (n, (moment, leaves)) in cuts.into_iter().enumerate() {
            for event in &self.events[at..moment] {
                disk.happens(event);
            }
            at = moment;
            let folder = Arc::new(tempfile::tempdir().unwrap());
            disk.loses_power(leaves, &mut |limit| dice.below(limit), folder.path());
            println!("{what}: cut {n} of {count}, before event {moment}, leaves {leaves}");
            let moment = Moment {
                answered: &answered,
                at: moment,
            };
            look(folder, &moment);
        }
    }

    /// Fails unless the record has an answer to this request.
    pub(super) fn was_answered(&self, request: &str) {
        let answered = self.answered();
        assert!(
            answered.contains_key(request),
            "no answer was noted: {request}"
        );
    }
}
