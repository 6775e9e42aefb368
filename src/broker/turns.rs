//! Whose searcher is built next, and how much memory those take together that are in use.
//!
//! First come, first served would let one organisation have all builders to itself, for as long as it keeps calls
//! coming. So organisations are served in turn, and each call within its own. Nor may one have more than half of
//! the memory: the other half is for whoever else comes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::id::OrgId;

/// How much memory searchers take together that are built or in use, in bytes, but for small ones.
const ROOM: usize = 256 << 20;
/// How much of it one organisation may have.
const SHARE: usize = ROOM / 2;

/// The turns, and who waits for one.
#[derive(Debug)]
pub(super) struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// How many may be built at this moment, besides those that are.
    builders: usize,
    /// How much memory each organisation has that has any.
    taken: BTreeMap<OrgId, usize>,
    /// Who waits, by organisation; the first of them is next.
    waiting: VecDeque<(OrgId, VecDeque<Wait>)>,
}

#[derive(Debug)]
struct Wait {
    bytes: usize,
    turn: oneshot::Sender<Turn>,
}

/// The right to build one searcher, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    room: Option<Room>,
    turns: Arc<Mutex<State>>,
}

/// Memory that a searcher takes, until this is dropped.
#[derive(Debug)]
pub(in crate::broker) struct Room {
    org: OrgId,
    bytes: usize,
    turns: Arc<Mutex<State>>,
}

impl Turns {
    pub(super) fn of(builders: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            builders,
            taken: BTreeMap::new(),
            waiting: VecDeque::new(),
        })))
    }

    /// A turn for a call of `org`, whose searcher takes at most about so many bytes.
    pub(super) async fn take(&self, org: OrgId, bytes: usize) -> Option<Turn> {
        let (turn, given) = oneshot::channel();
        // Whatever it takes, it comes to its turn.
        let bytes = bytes.min(SHARE);
        {
            let mut state = locked(&self.0);
            let wait = Wait { bytes, turn };
            match state.waiting.iter_mut().find(|(of, _)| *of == org) {
                Some((_, waiting)) => waiting.push_back(wait),
                None => state.waiting.push_back((org, VecDeque::from([wait]))),
            }
        }
        give(&self.0);
        given.await.ok()
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        locked(&self.0).builders
    }

    /// How much memory is taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        locked(&self.0).taken.values().sum()
    }
}

impl Turn {
    /// The searcher is built, and takes so many bytes: what it keeps as long as it is used.
    pub(super) fn built(mut self, bytes: usize) -> Option<Room> {
        let mut room = self.room.take()?;
        let less = room.bytes.saturating_sub(bytes);
        locked(&self.turns).release(room.org, less);
        room.bytes -= less;
        Some(room)
    }
}

impl State {
    /// Whose turn it is: the first organisation whose first call there is memory for.
    fn next(&mut self) -> Option<(OrgId, Wait)> {
        // Nobody waits behind one who has gone.
        for (_, waiting) in &mut self.waiting {
            while waiting.front().is_some_and(|wait| wait.turn.is_closed()) {
                waiting.pop_front();
            }
        }
        self.waiting.retain(|(_, waiting)| !waiting.is_empty());
        let all: usize = self.taken.values().sum();
        let fits = |(org, waiting): &(OrgId, VecDeque<Wait>)| {
            let own = self.taken.get(org).copied().unwrap_or(0);
            waiting
                .front()
                .is_some_and(|wait| own + wait.bytes <= SHARE && all + wait.bytes <= ROOM)
        };
        let at = self.waiting.iter().position(fits)?;
        let (org, mut waiting) = self.waiting.remove(at)?;
        let wait = waiting.pop_front()?;
        // Behind all others.
        if !waiting.is_empty() {
            self.waiting.push_back((org, waiting));
        }
        Some((org, wait))
    }

    fn release(&mut self, org: OrgId, bytes: usize) {
        if let Some(taken) = self.taken.get_mut(&org) {
            *taken = taken.saturating_sub(bytes);
            if *taken == 0 {
                self.taken.remove(&org);
            }
        }
    }
}

/// Gives turns, as long as there are any.
fn give(turns: &Arc<Mutex<State>>) {
    loop {
        let mut state = locked(turns);
        if state.builders == 0 {
            return;
        }
        let Some((org, Wait { bytes, turn })) = state.next() else {
            return;
        };
        state.builders -= 1;
        *state.taken.entry(org).or_default() += bytes;
        drop(state);
        let room = Room {
            org,
            bytes,
            turns: Arc::clone(turns),
        };
        let given = Turn {
            room: Some(room),
            turns: Arc::clone(turns),
        };
        // Of one who goes at this moment, it comes back as it is dropped.
        drop(turn.send(given));
    }
}

fn locked(turns: &Mutex<State>) -> MutexGuard<'_, State> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.room = None;
        locked(&self.turns).builders += 1;
        give(&self.turns);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        locked(&self.turns).release(self.org, self.bytes);
        give(&self.turns);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::{ROOM, SHARE, Turn, Turns};
    use crate::id::OrgId;

    const ONE: OrgId = OrgId::from_bytes([1; 16]);
    const TWO: OrgId = OrgId::from_bytes([2; 16]);
    const THREE: OrgId = OrgId::from_bytes([3; 16]);

    type Taking<'a> = Pin<Box<dyn Future<Output = Option<Turn>> + 'a>>;

    /// Those who have come to their turn by now, by name; each has it until it is taken out.
    fn come(waiting: &mut Vec<(&'static str, Taking<'_>)>) -> Vec<(&'static str, Turn)> {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut here = Vec::new();
        waiting.retain_mut(|(name, taking)| match taking.as_mut().poll(cx) {
            Poll::Ready(turn) => {
                here.push((*name, turn.unwrap()));
                false
            }
            Poll::Pending => true,
        });
        here
    }

    fn asks<'a>(
        turns: &'a Turns,
        who: &[(&'static str, OrgId, usize)],
    ) -> Vec<(&'static str, Taking<'a>)> {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        for (name, org, bytes) in who.iter().copied() {
            let mut taking: Taking<'a> = Box::pin(turns.take(org, bytes));
            // It queues as it is looked at first, and nobody is asked for a turn that they were given.
            if let Poll::Ready(turn) = taking.as_mut().poll(cx) {
                taking = Box::pin(async move { turn });
            }
            all.push((name, taking));
        }
        all
    }

    #[test]
    fn organisations_are_served_in_turn_however_many_calls_one_of_them_makes() {
        let turns = Turns::of(1);
        let mut waiting = asks(
            &turns,
            &[
                ("a1", ONE, 1),
                ("a2", ONE, 1),
                ("a3", ONE, 1),
                ("a4", ONE, 1),
                ("b1", TWO, 1),
                ("b2", TWO, 1),
                ("c1", THREE, 1),
            ],
        );
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let here = come(&mut waiting);
            assert_eq!(here.len(), 1, "there is one builder");
            order.extend(here.iter().map(|(name, _)| *name));
        }
        assert_eq!(order, ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]);
        assert_eq!(turns.free(), 1);
    }

    #[test]
    fn whoever_goes_away_keeps_nobody_from_their_turn() {
        let turns = Turns::of(1);
        let mut waiting = asks(&turns, &[("a1", ONE, 1), ("a2", ONE, 1), ("b1", TWO, 1)]);
        let first = come(&mut waiting);
        drop(waiting.remove(0));
        drop(first);
        assert_eq!(come(&mut waiting)[0].0, "b1");
        assert_eq!(turns.free(), 1);
    }

    #[test]
    fn what_is_in_use_has_its_bounds_together_and_by_organisation() {
        let turns = Turns::of(8);
        let half = SHARE / 2;
        let mut waiting = asks(
            &turns,
            &[
                ("a1", ONE, half),
                ("a2", ONE, half),
                ("a3", ONE, half),
                ("b1", TWO, half),
                ("c1", THREE, half),
                ("c2", THREE, 1),
            ],
        );
        let mut in_use = Vec::new();
        for (name, turn) in come(&mut waiting) {
            in_use.push((name, turn.built(half).unwrap()));
        }
        let names: Vec<_> = in_use.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            ["a1", "a2", "b1", "c1"],
            "two halves of a share, and all of the room"
        );
        assert_eq!(turns.free(), 8, "what is built needs no builder");
        // What turns out smaller than was thought leaves room for others, but for none beyond their share.
        in_use.retain(|(name, _)| *name != "b1");
        let here = come(&mut waiting);
        assert_eq!(
            here.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["c2"]
        );
        drop(here);
        in_use.retain(|(name, _)| *name != "a1");
        let here = come(&mut waiting).pop().unwrap();
        assert_eq!(here.0, "a3");
        let small = here.1.built(7).unwrap();
        assert_eq!(turns.taken(), 2 * half + 7);
        drop((small, in_use));
        assert_eq!(turns.taken(), 0);
        // Whoever needs more than a share may have all of it, alone.
        let mut large = pin!(turns.take(ONE, ROOM));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(large.as_mut().poll(cx).is_ready());
    }
}
