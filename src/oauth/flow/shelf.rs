//! What is kept in memory for a few minutes, and cannot grow without end: so many of each user, so
//! many of each organisation, so many of all.

use std::collections::{HashMap, VecDeque};

use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::id::{OrgId, UserId};

/// The most things in all.
const MOST: usize = 10_000;
/// Milliseconds between two looks for what can be forgotten.
const SWEEP_EVERY: i64 = 1_000;

/// A thing on the shelf.
pub(super) trait Kept {
    /// The most of one user that are under way, and the most that are over.
    const MOST_OF_USER: usize;
    /// The most of one organisation that are under way: others find room beside it.
    const MOST_OF_ORG: usize;
    /// Whose it is.
    fn owner(&self) -> UserId;
    /// The organisation it is of.
    fn org(&self) -> OrgId;
    /// When it is forgotten.
    fn forget_at(&self) -> Timestamp;
    /// Whether nothing more can come of it.
    fn is_over(&self, now: Timestamp) -> bool;
    /// It ends, for a newer one of the same user.
    fn give_way(&mut self, now: Timestamp);
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// For anybody.
    All,
    /// For this organisation.
    Org,
}

/// Things by the hash of what they are found by.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    things: HashMap<Digest, T>,
    /// Each user's, the oldest first.
    users: HashMap<UserId, VecDeque<Digest>>,
    swept: Timestamp,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            things: HashMap::new(),
            users: HashMap::new(),
            swept: Timestamp::default(),
        }
    }
}

impl<T: Kept> Shelf<T> {
    /// Puts a thing there. The user's oldest gives way when there are too many of theirs: which did.
    pub(super) fn put(
        &mut self,
        key: Digest,
        thing: T,
        now: Timestamp,
    ) -> Result<Vec<Digest>, Full> {
        self.sweep(now);
        if self.things.len() >= MOST {
            return Err(Full::All);
        }
        let (org, all) = (thing.org(), self.things.values());
        let of_org = all.filter(|other| other.org() == org && !other.is_over(now));
        if of_org.count() >= T::MOST_OF_ORG {
            return Err(Full::Org);
        }
        let user = thing.owner();
        self.things.insert(key, thing);
        let mine = self.users.entry(user).or_default();
        mine.push_back(key);
        let (things, mut over, mut under_way) = (&mut self.things, 0, 0);
        let (mut gone, mut gave_way) = (Vec::new(), Vec::new());
        for key in mine.iter().rev() {
            let Some(thing) = things.get_mut(key) else {
                gone.push(*key);
                continue;
            };
            if !thing.is_over(now) {
                under_way += 1;
                if under_way <= T::MOST_OF_USER {
                    continue;
                }
                thing.give_way(now);
                gave_way.push(*key);
            }
            over += 1;
            if over > T::MOST_OF_USER {
                things.remove(key);
                gone.push(*key);
            }
        }
        mine.retain(|key| !gone.contains(key));
        Ok(gave_way)
    }

    pub(super) fn get(&self, key: &Digest) -> Option<&T> {
        self.things.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &Digest) -> Option<&mut T> {
        self.things.get_mut(key)
    }

    /// Forgets what is to be forgotten, at most once a second. Whether it looked.
    pub(super) fn sweep(&mut self, now: Timestamp) -> bool {
        let since = now.millis_since(self.swept);
        if (0..SWEEP_EVERY).contains(&since) && self.things.len() < MOST {
            return false;
        }
        self.swept = now;
        self.things.retain(|_, thing| now < thing.forget_at());
        let things = &self.things;
        self.users.retain(|_, mine| {
            mine.retain(|key| things.contains_key(key));
            !mine.is_empty()
        });
        true
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.things.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Full, Kept, MOST, Shelf};
    use crate::clock::Timestamp;
    use crate::id::{OrgId, UserId};

    const MOST_OF_USER: usize = Thing::MOST_OF_USER;

    #[derive(Debug)]
    struct Thing {
        owner: UserId,
        over: bool,
        forget: Timestamp,
    }

    impl Kept for Thing {
        const MOST_OF_USER: usize = 20;
        const MOST_OF_ORG: usize = 20_000;
        fn org(&self) -> OrgId {
            OrgId::from_bytes([1; 16])
        }
        fn owner(&self) -> UserId {
            self.owner
        }
        fn forget_at(&self) -> Timestamp {
            self.forget
        }
        fn is_over(&self, _: Timestamp) -> bool {
            self.over
        }
        fn give_way(&mut self, _: Timestamp) {
            self.over = true;
        }
    }

    fn thing(owner: u8, forget: i64) -> Thing {
        Thing {
            owner: UserId::from_bytes([owner; 16]),
            over: false,
            forget: Timestamp::from_millis(forget),
        }
    }

    fn key(number: usize) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn a_user_has_so_many_under_way_and_so_many_that_are_over() {
        let mut shelf = Shelf::default();
        let now = Timestamp::from_millis(1);
        shelf.put(key(999), thing(2, 10), now).unwrap();
        for number in 0..100 {
            let gave_way = shelf.put(key(number), thing(1, 10), now).unwrap();
            let oldest = number.checked_sub(MOST_OF_USER).map(key);
            assert_eq!(gave_way, Vec::from_iter(oldest), "{number}");
        }
        let over = |number| shelf.get(&key(number)).map(|thing| thing.over);
        assert_eq!(over(99), Some(false));
        assert_eq!(over(80), Some(false));
        assert_eq!(over(79), Some(true));
        assert_eq!(over(60), Some(true));
        assert_eq!(over(59), None);
        assert_eq!(over(999), Some(false), "somebody else's is left alone");
        assert_eq!(shelf.len(), 2 * MOST_OF_USER + 1);
    }

    #[test]
    fn there_are_so_many_in_all_until_some_are_forgotten() {
        let mut shelf = Shelf::default();
        let now = Timestamp::from_millis(5_000);
        let user = |number: usize| u8::try_from(number % 251).unwrap();
        for number in 0..MOST {
            let forget = if number < 10 { 5_500 } else { 90_000 };
            let mut thing = thing(0, forget);
            thing.owner = UserId::from_bytes(key(number / 10)[..16].try_into().unwrap());
            shelf.put(key(number), thing, now).unwrap();
        }
        let full = shelf.put(key(MOST), thing(user(1), 90_000), now);
        assert_eq!(full, Err(Full::All));
        let later = Timestamp::from_millis(5_500);
        shelf.put(key(MOST), thing(9, 90_000), later).unwrap();
        assert_eq!(shelf.len(), MOST - 9);
        shelf.sweep(Timestamp::from_millis(90_000));
        assert_eq!(shelf.len(), 0);
        assert!(shelf.users.is_empty());
    }
}
