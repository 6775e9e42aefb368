//! Where a list goes on.

use data_encoding::BASE64URL_NOPAD;

use crate::crypto::Owner;
use crate::store::{Class, StoreKey};

use super::pointer::owner_prefix;
use super::{OrgKeys, VaultError};

/// Opaque and authenticated: turn, the order of names that the place was found in, place, and a keyed hash of all.
pub(super) fn write(org: &OrgKeys, turn: usize, after: Option<&StoreKey>) -> String {
    let turn = u16::try_from(turn).unwrap_or(u16::MAX).to_be_bytes();
    let order = after.and_then(StoreKey::order).unwrap_or_default();
    let order = order.to_be_bytes();
    let after = after.map(StoreKey::as_bytes).unwrap_or_default();
    let tag = org.index().hash(&[b"cursor", &turn, &order, after]);
    let mut bytes = turn.to_vec();
    bytes.extend_from_slice(tag.first_chunk::<16>().map_or(&[][..], |tag| tag));
    bytes.extend_from_slice(&order);
    bytes.extend_from_slice(after);
    BASE64URL_NOPAD.encode(&bytes)
}

/// What is said of a cursor that leads nowhere: one of another list, or of a time when names stood in another order.
pub(super) const RULE: VaultError =
    VaultError::Rule("the cursor is not one that this list gave: begin without one");

/// What [`write`] wrote, for the same list.
///
/// # Errors
/// [`VaultError::Rule`] for anything else.
pub(super) fn read(
    org: &OrgKeys,
    owners: &[Owner],
    text: &str,
) -> Result<(usize, Option<StoreKey>), VaultError> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| RULE)?;
    let (turn, rest) = bytes.split_first_chunk::<2>().ok_or(RULE)?;
    let (_, rest) = rest.split_first_chunk::<16>().ok_or(RULE)?;
    let (order, after) = rest.split_first_chunk::<4>().ok_or(RULE)?;
    let turn = usize::from(u16::from_be_bytes(*turn));
    let owner = owners.get(turn).ok_or(RULE)?;
    let key = match after.split_at_checked(17) {
        Some((_, hash)) => {
            let prefix = owner_prefix(org, *owner);
            let parts = [prefix.as_bytes().get(1..).unwrap_or_default(), hash];
            let key = StoreKey::new(Class::Secret, &parts);
            Some(key.found_in(u32::from_be_bytes(*order)))
        }
        None => None,
    };
    // Made again from its parts: any difference, the tag included, is a forgery.
    if write(org, turn, key.as_ref()) == text {
        Ok((turn, key))
    } else {
        Err(RULE)
    }
}
