//! The values of one call, open; and what to search its answer for.
//!
//! Building the searcher costs more than everything else here together, so it is kept for a minute,
//! keyed by the very versions it was built for. It holds spellings of the values: the cache is
//! small, short-lived, wiped as it goes, and emptied at sealing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Digest, sha256};
use crate::name::FieldName;
use crate::secret::Secret;
use crate::tools::{BasicOther, BasicRole, Binding, Slot};

use super::BrokerError;
use super::resolve::{Filled, Filling};
use super::scrub::Patterns;

/// How long a searcher is kept, in milliseconds.
const KEPT: i64 = 60_000;
/// The most searchers that are kept.
const MOST: usize = 256;

/// The searchers of recent calls.
#[derive(Debug, Default)]
pub(super) struct Searchers(Mutex<HashMap<Digest, (Patterns, Timestamp)>>);

/// The open values of one call.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) values: BTreeMap<FieldName, Secret>,
    pub(super) patterns: Patterns,
}

impl Searchers {
    /// Forgets all of them.
    pub(super) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn get(&self, key: &Digest, now: Timestamp) -> Option<Patterns> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (_, made)| now.millis_since(*made).abs() < KEPT);
        kept.get(key).map(|(patterns, _)| patterns.clone())
    }

    fn keep(&self, key: Digest, patterns: Patterns, now: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, (patterns, now));
    }
}

/// Which version a filling is; `None` for one that came with the request.
fn identity(filling: &Filling) -> Option<Digest> {
    match filling {
        Filling::Request(_) => None,
        Filling::Secret(found) => {
            let version = found.version().to_be_bytes();
            Some(crate::crypto::sha256_parts(&[
                b"s",
                found.id().bytes(),
                &version,
            ]))
        }
        Filling::Stored(stored) => Some(stored.1),
    }
}

/// Opens the values and readies the searcher. The use is on disk in the journal.
pub(super) fn open(
    searchers: &Searchers,
    filled: BTreeMap<FieldName, Filled>,
    binding: &Binding,
    recorded: &Recorded,
    now: Timestamp,
) -> Result<Lease, BrokerError> {
    let mut identities = Vec::new();
    let mut cacheable = true;
    let mut values = BTreeMap::new();
    for (field, Filled { filling, .. }) in filled {
        match identity(&filling) {
            Some(digest) => {
                identities.extend_from_slice(&sha256(field.as_str().as_bytes()));
                identities.extend_from_slice(&digest);
            }
            None => cacheable = false,
        }
        let value = match filling {
            Filling::Request(value) => value,
            Filling::Secret(found) => found.lend(recorded)?,
            Filling::Stored(stored) => stored.0.open(recorded)?,
        };
        values.insert(field, value);
    }
    // The Basic blobs depend on the binding's literals.
    for (field, literal) in basic_literals(binding) {
        identities.extend_from_slice(&sha256(field.as_str().as_bytes()));
        identities.extend_from_slice(&sha256(literal));
    }
    let key = sha256(&identities);
    if cacheable && let Some(patterns) = searchers.get(&key, now) {
        return Ok(Lease { values, patterns });
    }
    let patterns = build(&values, binding)?;
    if cacheable {
        searchers.keep(key, patterns.clone(), now);
    }
    Ok(Lease { values, patterns })
}

fn basic_literals(binding: &Binding) -> impl Iterator<Item = (&FieldName, &[u8])> {
    let slots = binding
        .slots
        .iter()
        .flat_map(|(field, slots)| slots.iter().map(move |s| (field, s)));
    slots.filter_map(|(field, slot)| match slot {
        Slot::Basic {
            other: BasicOther::Literal(text),
            ..
        } => Some((field, text.as_bytes())),
        _ => None,
    })
}

fn build(values: &BTreeMap<FieldName, Secret>, binding: &Binding) -> Result<Patterns, BrokerError> {
    let mut basic: Vec<(Zeroizing<Vec<u8>>, &Secret)> = Vec::new();
    for (field, slots) in &binding.slots {
        let Some(value) = values.get(field) else {
            continue;
        };
        for slot in slots {
            let Slot::Basic {
                role: BasicRole::Password,
                other,
            } = slot
            else {
                continue;
            };
            let user = match other {
                BasicOther::Literal(text) => text.as_bytes().to_vec(),
                BasicOther::Field(other) => match values.get(other) {
                    Some(user) => user.expose(<[u8]>::to_vec),
                    None => continue,
                },
            };
            basic.push((Zeroizing::new(user), value));
        }
    }
    let basic = basic.iter().map(|(user, value)| (user.as_slice(), *value));
    Ok(Patterns::for_values(values.values(), basic)?)
}
