//! Signed payloads that were used: each counts once (B16).
//!
//! Nothing in a payload says which flow it is of, so whoever gets hold of one could bring it home in a flow of
//! theirs. It is remembered for as long as it would count. A restart forgets it, and with it every flow; a new
//! flow takes no payload that was signed before its browser left.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::id::OrgId;
use crate::oauth::provider::Signed;

/// The most of one organisation: what is full is full for it alone.
const MOST_OF_ORG: usize = 1_000;

/// What was used, by its signature.
#[derive(Debug, Default)]
pub(super) struct Spent(HashMap<Digest, (OrgId, Timestamp)>);

impl Spent {
    /// Notes that a payload is used. Not when it was before, in whichever organisation, or when there is no
    /// room to note it.
    pub(super) fn spend(&mut self, org: OrgId, signed: &Signed, now: Timestamp) -> bool {
        self.0.retain(|_, (_, until)| now <= *until);
        let of_org = self.0.values().filter(|(other, _)| *other == org).count();
        if of_org >= MOST_OF_ORG {
            tracing::warn!("an organisation has used more signed payloads than can be noted");
            return false;
        }
        match self.0.entry(signed.mac) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert((org, signed.until));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_OF_ORG, Spent};
    use crate::clock::Timestamp;
    use crate::id::OrgId;
    use crate::oauth::provider::Signed;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::default().plus_seconds(seconds)
    }

    fn signed(number: usize) -> Signed {
        let mut mac = [0; 32];
        mac[..8].copy_from_slice(&number.to_be_bytes());
        Signed {
            made: at(0),
            until: at(300),
            mac,
        }
    }

    #[test]
    fn b16_a_payload_is_spent_once_whoever_brings_it() {
        let (mut spent, ours, theirs) = (
            Spent::default(),
            OrgId::from_bytes([1; 16]),
            OrgId::from_bytes([2; 16]),
        );
        assert!(spent.spend(ours, &signed(1), at(0)));
        assert!(!spent.spend(ours, &signed(1), at(1)));
        assert!(!spent.spend(theirs, &signed(1), at(300)));
        assert!(spent.spend(theirs, &signed(2), at(1)));
        // It is forgotten once it would be refused for its age.
        assert!(spent.spend(theirs, &signed(3), at(301)));
        assert_eq!(spent.0.len(), 1);
    }

    #[test]
    fn one_organisation_takes_no_room_from_another() {
        let (mut spent, ours, theirs) = (
            Spent::default(),
            OrgId::from_bytes([1; 16]),
            OrgId::from_bytes([2; 16]),
        );
        for number in 0..MOST_OF_ORG {
            assert!(spent.spend(ours, &signed(number), at(0)), "{number}");
        }
        assert!(!spent.spend(ours, &signed(MOST_OF_ORG), at(0)));
        assert!(spent.spend(theirs, &signed(MOST_OF_ORG), at(0)));
        assert!(spent.spend(ours, &signed(MOST_OF_ORG + 1), at(301)));
    }
}
