//! How many custom tools there may be.

use crate::crypto::Owner;
use crate::vault::{Counted, OrgKeys, Room, Unsealed, VaultError};

use super::hub::prefix;

/// The most custom tools of one member, and the most that an organisation shares.
const MAX_CUSTOM: usize = 200;

/// Makes room for one more, to be kept until it is stored.
///
/// # Errors
/// [`VaultError::Quota`] when there is none; when the store fails.
pub(super) async fn make_room(
    vault: &Unsealed,
    org: &OrgKeys,
    owner: Owner,
) -> Result<Room, VaultError> {
    let prefix = prefix(org, owner);
    vault.make_room(&prefix, Counted::Tools, MAX_CUSTOM).await
}
