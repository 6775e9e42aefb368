//! Where the things of a name stand, remembered.
//!
//! A name is blinded by two keyed hashes, of its owner and of itself, and a request looks at the same few names as
//! the one before it: hashing them anew was a twentieth of what a resolution costs. What is remembered goes with
//! the organisation's keys, when the vault is sealed.
//!
//! Only what is known to be a name is remembered: something of the same owner's was found under it, or of the
//! organisation's. What nothing was found under may be a value in the place of a name, and must not stay in memory.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::crypto::Owner;
use crate::store::{Class, StoreKey};

/// The most places that are remembered of an organisation, about 200 bytes each; above it all are forgotten.
const KEPT: usize = 512;

/// Places by what a thing is called, and whose it is.
#[derive(Default)]
pub(super) struct Named(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    names: HashMap<Box<str>, Known>,
    places: usize,
}

/// What is known of a name.
#[derive(Default)]
struct Known {
    /// Whether what has it is the organisation's. How fast somebody is answered may tell that to its members, and
    /// nothing of what is another member's.
    shared: bool,
    places: HashMap<(Class, Owner), StoreKey>,
}

impl Named {
    /// The place of what is called `name`, reckoned by `reckon` unless it is remembered.
    pub(super) fn place(
        &self,
        of: (Class, Owner),
        name: &str,
        reckon: impl FnOnce() -> StoreKey,
    ) -> StoreKey {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = inner.names.get(name);
        if let Some(place) = known.and_then(|known| known.places.get(&of)) {
            return place.clone();
        }
        let is_shared = known.is_some_and(|known| known.shared);
        drop(inner);
        let place = reckon();
        if is_shared {
            self.keep(of, name, &place);
        }
        place
    }

    /// Something was found at `place` under `name`.
    pub(super) fn exists(&self, of: (Class, Owner), name: &str, place: &StoreKey) {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = inner.names.get(name);
        if known.is_some_and(|known| known.places.contains_key(&of)) {
            return;
        }
        drop(inner);
        self.keep(of, name, place);
    }

    fn keep(&self, of: (Class, Owner), name: &str, place: &StoreKey) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = inner.names.entry(name.into()).or_default();
        known.shared |= of.1 == Owner::ORG_SHARED;
        if known.places.insert(of, place.clone()).is_none() {
            inner.places += 1;
        }
        if inner.places > KEPT {
            *inner = Inner::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Named};
    use crate::crypto::Owner;
    use crate::id::UserId;
    use crate::store::{Class, StoreKey};

    fn of(class: Class, user: u64) -> (Class, Owner) {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&user.to_be_bytes());
        (class, Owner::user(UserId::from_bytes(id)))
    }

    fn place_of(of: (Class, Owner), name: &str) -> StoreKey {
        StoreKey::new(of.0, &[&of.1.id, name.as_bytes()])
    }

    /// Whether the place had to be reckoned.
    fn is_reckoned(named: &Named, of: (Class, Owner), name: &str) -> bool {
        let mut is_reckoned = false;
        let place = named.place(of, name, || {
            is_reckoned = true;
            place_of(of, name)
        });
        assert_eq!(place, place_of(of, name));
        is_reckoned
    }

    fn exists(named: &Named, of: (Class, Owner), name: &str) {
        named.exists(of, name, &place_of(of, name));
    }

    const SHARED: (Class, Owner) = (Class::Secret, Owner::ORG_SHARED);

    #[test]
    fn a_place_is_that_of_one_name_of_one_owner_and_class() {
        let named = Named::default();
        exists(&named, SHARED, "A");
        exists(&named, SHARED, "B");
        let all = [
            of(Class::Secret, 1),
            of(Class::Secret, 2),
            of(Class::Tool, 1),
        ];
        for reckoned in [true, false] {
            for (of, name) in all.iter().flat_map(|of| [(*of, "A"), (*of, "B")]) {
                assert_eq!(is_reckoned(&named, of, name), reckoned, "{of:?} {name}");
            }
        }
    }

    #[test]
    fn what_nothing_was_found_under_is_not_remembered_nor_what_is_another_members() {
        let named = Named::default();
        exists(&named, of(Class::Secret, 1), "PRIVATE");
        assert!(!is_reckoned(&named, of(Class::Secret, 1), "PRIVATE"));
        for _ in 0..2 {
            assert!(is_reckoned(&named, of(Class::Secret, 2), "PRIVATE"));
            assert!(is_reckoned(&named, SHARED, "sk-a-value-in-the-wrong-place"));
        }
        assert_eq!(named.0.read().unwrap().names.len(), 1);
    }

    #[test]
    fn names_and_owners_take_no_more_room_than_there_is() {
        let named = Named::default();
        for n in 0..u64::try_from(KEPT).unwrap() * 3 {
            exists(&named, SHARED, &n.to_string());
            exists(&named, SHARED, "one");
            is_reckoned(&named, of(Class::Secret, n), "one");
            let inner = named.0.read().unwrap();
            let places = inner.names.values().map(|known| known.places.len());
            assert_eq!(places.sum::<usize>(), inner.places);
            assert!(inner.places <= KEPT && inner.names.len() <= KEPT);
        }
    }
}
