//! The bytes of a ring file; the layout stands in the module's own page.

use super::CustodyError;
use super::means::Means;
use super::slot::{Identity, MAX_SLOTS, Slot, is_label, name_in};
use crate::clock::Timestamp;
use crate::crypto::{Digest, KeyRef, OVERHEAD, Sealed};
use crate::id::{ObjectId, StoreId};

const MAGIC: &[u8; 4] = b"RTRG";
const VERSION: u8 = 1;
/// A root key in its box.
const SEALED: usize = OVERHEAD + 32;
/// The MAC at the end.
const MAC: usize = 32;
/// More than sixteen of the longest slots take.
pub(super) const MAX_BYTES: u64 = 80 * 1024;

/// A ring file, taken apart.
pub(super) struct Parsed {
    pub(super) identity: Identity,
    pub(super) slots: Vec<Slot>,
    pub(super) mac: Digest,
}

/// What the MAC covers: all but itself.
pub(super) fn encode(identity: &Identity, slots: &[Slot]) -> Result<Vec<u8>, CustodyError> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.extend_from_slice(identity.store.bytes());
    out.extend_from_slice(identity.root.id.bytes());
    out.extend_from_slice(&identity.root.version.to_be_bytes());
    if slots.len() > MAX_SLOTS {
        return Err(CustodyError::TooManySlots);
    }
    out.push(u8::try_from(slots.len()).map_err(|_| CustodyError::TooManySlots)?);
    for slot in slots {
        encode_slot(slot, &mut out)?;
    }
    Ok(out)
}

fn encode_slot(slot: &Slot, out: &mut Vec<u8>) -> Result<(), CustodyError> {
    let mut params = Vec::new();
    slot.means.encode(&mut params);
    let label = u8::try_from(slot.label.len()).map_err(|_| CustodyError::Label)?;
    let length = u16::try_from(params.len()).map_err(|_| CustodyError::RingForm)?;
    out.extend_from_slice(slot.id.bytes());
    out.push(slot.kind().byte());
    out.extend_from_slice(&slot.created.millis().to_be_bytes());
    out.push(label);
    out.extend_from_slice(slot.label.as_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&params);
    out.extend_from_slice(slot.sealed.as_bytes());
    Ok(())
}

/// What the MAC of a ring file covers.
pub(super) fn covered(bytes: &[u8]) -> Option<&[u8]> {
    bytes.split_last_chunk::<MAC>().map(|(covered, _)| covered)
}

/// Takes a ring file apart, every length and bound checked before it is used.
///
/// # Errors
/// [`CustodyError::RingVersion`] for a version of another release, [`CustodyError::RingForm`] for
/// everything else that is no whole ring.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, CustodyError> {
    if let Some(version) = foreign_version(bytes) {
        return Err(CustodyError::RingVersion(version));
    }
    let mut rest = Rest(bytes);
    rest.ring().ok_or(CustodyError::RingForm)
}

fn foreign_version(bytes: &[u8]) -> Option<u8> {
    let (version, _) = bytes.strip_prefix(MAGIC)?.split_first()?;
    (*version != VERSION).then_some(*version)
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn ring(&mut self) -> Option<Parsed> {
        let head = self.chunk::<4>()? == MAGIC && *self.chunk()? == [VERSION];
        let store = StoreId::from_bytes(*self.chunk()?);
        let root = KeyRef {
            id: ObjectId::from_bytes(*self.chunk()?),
            version: u32::from_be_bytes(*self.chunk()?),
        };
        let [count] = *self.chunk()?;
        let mut slots: Vec<Slot> = Vec::new();
        for _ in 0..count {
            let slot = self.slot()?;
            if slots.iter().any(|other| other.id == slot.id) {
                return None;
            }
            slots.push(slot);
        }
        let mac = *self.chunk()?;
        let sound =
            head && root.version > 0 && (1..=MAX_SLOTS).contains(&slots.len()) && self.0.is_empty();
        sound.then_some(Parsed {
            identity: Identity { store, root },
            slots,
            mac,
        })
    }

    fn slot(&mut self) -> Option<Slot> {
        let id = ObjectId::from_bytes(*self.chunk()?);
        let [kind] = *self.chunk()?;
        let created = Timestamp::from_millis(i64::from_be_bytes(*self.chunk()?));
        let [label] = *self.chunk()?;
        let label = str::from_utf8(self.run(usize::from(label))?).ok()?;
        let params = u16::from_be_bytes(*self.chunk()?);
        let params = self.run(usize::from(params))?;
        let means = Means::parse(kind, params)?;
        let sealed = Sealed::parse(self.run(SEALED)?).ok()?;
        let sound = is_label(label) && sealed.key() == Some(name_in(id));
        sound.then(|| Slot {
            id,
            created,
            label: label.to_owned(),
            means,
            sealed,
        })
    }

    fn chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(chunk)
    }

    fn run(&mut self, length: usize) -> Option<&'a [u8]> {
        let (run, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_BYTES, SEALED, parse};

    #[test]
    fn the_largest_ring_is_within_the_bound_on_reading() {
        // Of the parameters, those of a program are the longest.
        let params = 1 + 64 + 2 + 256 + 4096;
        let slot = 16 + 1 + 8 + 1 + 64 + 2 + params + SEALED;
        let most = 42 + 16 * slot + 32;
        assert!(u64::try_from(most).unwrap() <= MAX_BYTES);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(
            head in prop::collection::vec(any::<u8>(), 36),
            count in 0..20u8,
            tail in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let whole = [b"RTRG\x01", &head[..], &[count], &tail].concat();
            prop_assert!(parse(&whole).is_err());
            prop_assert!(parse(&tail).is_err());
        }
    }
}
