//! The specs that handles keep in memory.
//!
//! What a spec takes its author decides, and a handle keeps the one that it was made for: so there are bounds
//! in bytes beside those in number. A spec counts once for a user, an organisation and all, however many
//! handles of it there are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::{OrgId, UserId};
use crate::tools::{Tool, ToolSpec};

use super::handle::Owner;

/// How much the specs take that one user's handles keep, in bytes, roughly.
const OF_USER: usize = 32 << 20;
/// Those of one organisation's handles.
const OF_ORG: usize = 128 << 20;
/// Those of all.
const OF_ALL: usize = 512 << 20;

/// What is kept.
#[derive(Clone, Default)]
pub(crate) struct Pinned(Arc<Mutex<Piles>>);

#[derive(Default)]
struct Piles {
    all: Pile,
    orgs: HashMap<OrgId, Pile>,
    users: HashMap<(OrgId, UserId), Pile>,
}

/// Specs, by where they are in memory: how often each is kept, and what it takes.
#[derive(Default)]
struct Pile {
    specs: HashMap<usize, (usize, usize)>,
    bytes: usize,
}

/// One spec that is kept for as long as this is.
pub(crate) struct Pin {
    pinned: Pinned,
    of: (OrgId, UserId),
    /// Here too, so that no other one can be in its place while it is counted.
    spec: Arc<ToolSpec>,
}

impl Pinned {
    /// Keeps the spec of `tool` for a handle of `owner`'s; `None` when there is no room for it.
    pub(crate) fn pin(&self, owner: &Owner, tool: &Tool) -> Option<Pin> {
        let (of, spec) = ((owner.org, owner.user), Arc::clone(&tool.spec));
        let fits = self.lock().add(of, at(&spec), tool.size());
        let pinned = self.clone();
        fits.then_some(Pin { pinned, of, spec })
    }

    fn lock(&self) -> MutexGuard<'_, Piles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Piles {
    /// Counts a spec that is at `spec`, if there is room for it.
    fn add(&mut self, of: (OrgId, UserId), spec: usize, bytes: usize) -> bool {
        let org = self.orgs.entry(of.0).or_default();
        let user = self.users.entry(of).or_default();
        let piles = [(&mut self.all, OF_ALL), (org, OF_ORG), (user, OF_USER)];
        let fits = piles
            .iter()
            .all(|(pile, most)| pile.fits(spec, bytes, *most));
        if fits {
            for (pile, _) in piles {
                pile.add(spec, bytes);
            }
        }
        self.forget_empty(of);
        fits
    }

    fn take(&mut self, of: (OrgId, UserId), spec: usize) {
        self.all.take(spec);
        if let Some(org) = self.orgs.get_mut(&of.0) {
            org.take(spec);
        }
        if let Some(user) = self.users.get_mut(&of) {
            user.take(spec);
        }
        self.forget_empty(of);
    }

    fn forget_empty(&mut self, of: (OrgId, UserId)) {
        if self.orgs.get(&of.0).is_some_and(|org| org.specs.is_empty()) {
            self.orgs.remove(&of.0);
        }
        if self
            .users
            .get(&of)
            .is_some_and(|user| user.specs.is_empty())
        {
            self.users.remove(&of);
        }
    }
}

impl Pile {
    fn fits(&self, spec: usize, bytes: usize, most: usize) -> bool {
        self.specs.contains_key(&spec) || self.bytes + bytes <= most
    }

    fn add(&mut self, spec: usize, bytes: usize) {
        let (count, _) = self.specs.entry(spec).or_insert((0, bytes));
        if *count == 0 {
            self.bytes += bytes;
        }
        *count += 1;
    }

    fn take(&mut self, spec: usize) {
        let Entry::Occupied(mut there) = self.specs.entry(spec) else {
            return;
        };
        let (count, bytes) = there.get_mut();
        *count -= 1;
        if *count == 0 {
            self.bytes -= *bytes;
            there.remove();
        }
    }
}

/// Where it is in memory.
fn at(spec: &Arc<ToolSpec>) -> usize {
    Arc::as_ptr(spec).addr()
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pinned.lock().take(self.of, at(&self.spec));
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

#[cfg(test)]
mod tests {
    use super::{OF_ALL, OF_ORG, OF_USER, Piles};
    use crate::id::{OrgId, UserId};

    fn of(org: u8, user: u8) -> (OrgId, UserId) {
        (OrgId::from_bytes([org; 16]), UserId::from_bytes([user; 16]))
    }

    #[test]
    fn a_spec_counts_once_and_no_user_or_organisation_takes_the_room_of_others() {
        let mut piles = Piles::default();
        let half = OF_USER / 2;
        for _ in 0..3 {
            assert!(piles.add(of(1, 1), 1, half));
            assert!(piles.add(of(1, 1), 2, half));
        }
        assert!(!piles.add(of(1, 1), 3, 1));
        // A shared tool counts for each.
        assert!(piles.add(of(1, 2), 1, half));
        assert_eq!(piles.all.bytes, OF_USER);
        let users = u8::try_from(OF_ORG / OF_USER).unwrap();
        for user in 2..=users {
            let spec = usize::from(user) * 10;
            assert!(piles.add(of(1, user), spec, half));
            assert!(user == 2 || piles.add(of(1, user), spec + 1, half));
        }
        assert!(
            piles.add(of(1, 100), 100, half),
            "all but what user 2 shares"
        );
        assert!(!piles.add(of(1, 101), 101, 1));
        let orgs = u8::try_from(OF_ALL / OF_ORG).unwrap();
        assert!((2..=orgs).all(|org| piles.add(of(org, 1), 1_000 * usize::from(org), OF_USER)));
    }

    #[test]
    fn what_nobody_keeps_takes_no_room() {
        let mut piles = Piles::default();
        for _ in 0..2 {
            assert!(piles.add(of(1, 1), 1, OF_USER));
        }
        piles.take(of(1, 1), 1);
        assert!(!piles.add(of(1, 1), 2, 1));
        piles.take(of(1, 1), 1);
        assert!(piles.add(of(1, 1), 2, OF_USER));
        piles.take(of(1, 1), 2);
        assert!(!piles.add(of(2, 2), 3, OF_USER + 1));
        assert!(piles.users.is_empty() && piles.orgs.is_empty());
        assert_eq!((piles.all.bytes, piles.all.specs.len()), (0, 0));
    }
}
