//! Where the things of a name stand, remembered.
//!
//! A name is blinded by two keyed hashes, of its owner and of itself, and a request looks at the same few names as
//! the one before it: hashing them anew was a twentieth of what a resolution costs. What is remembered goes with
//! the organisation's keys, when the vault is sealed.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::crypto::Owner;
use crate::store::{Class, StoreKey};

/// The most names that are remembered of an organisation, about 200 bytes each; above it all are forgotten.
const KEPT: usize = 256;

/// Places by whose a thing is and what it is called.
#[derive(Default)]
pub(super) struct Named(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    places: HashMap<(Class, Owner), HashMap<Box<str>, StoreKey>>,
    count: usize,
}

impl Named {
    /// The place of what is called `name`, reckoned by `reckon` the first time.
    pub(super) fn place(
        &self,
        of: (Class, Owner),
        name: &str,
        reckon: impl FnOnce() -> StoreKey,
    ) -> StoreKey {
        if let Some(place) = self.known(of, name) {
            return place;
        }
        let place = reckon();
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if inner.count >= KEPT {
            *inner = Inner::default();
        }
        let names = inner.places.entry(of).or_default();
        if names.insert(name.into(), place.clone()).is_none() {
            inner.count += 1;
        }
        place
    }

    fn known(&self, of: (Class, Owner), name: &str) -> Option<StoreKey> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.places.get(&of)?.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Inner, KEPT, Named};
    use crate::crypto::Owner;
    use crate::id::UserId;
    use crate::store::{Class, StoreKey};

    fn place(named: &Named, of: (Class, Owner), name: &str) -> (StoreKey, bool) {
        let mut is_reckoned = false;
        let reckon = || {
            is_reckoned = true;
            StoreKey::new(of.0, &[&of.1.id, name.as_bytes()])
        };
        let place = named.place(of, name, reckon);
        (place, is_reckoned)
    }

    #[test]
    fn a_place_is_reckoned_once_and_is_that_of_one_name_of_one_owner_and_class() {
        let named = Named::default();
        let [anna, boris] = [1, 2].map(|n| Owner::user(UserId::from_bytes([n; 16])));
        let all = [
            ((Class::Secret, anna), "A"),
            ((Class::Secret, anna), "B"),
            ((Class::Secret, boris), "A"),
            ((Class::Tool, anna), "A"),
        ];
        for again in [false, true] {
            for (of, name) in all {
                let own = StoreKey::new(of.0, &[&of.1.id, name.as_bytes()]);
                assert_eq!(place(&named, of, name), (own, !again), "{of:?} {name}");
            }
        }
    }

    #[test]
    fn names_that_nobody_gave_take_no_more_room_than_others() {
        let named = Named::default();
        let of = (Class::Secret, Owner::ORG_SHARED);
        for n in 0..KEPT * 3 {
            assert!(place(&named, of, &n.to_string()).1);
            let Inner { places, count } = &*named.0.read().unwrap();
            assert!(*count <= KEPT && places[&of].len() == *count);
        }
    }
}
