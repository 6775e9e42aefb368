//! How many custom tools there may be.

use crate::crypto::Owner;
use crate::vault::{OrgKeys, Unsealed, VaultError};

use super::hub::prefix;

/// The most custom tools of one member, and the most that an organisation shares.
const MAX_CUSTOM: usize = 200;

/// Makes room for one more.
///
/// # Errors
/// [`VaultError::Quota`] when there is none; when the store fails.
pub(super) async fn make_room(
    vault: &Unsealed,
    org: &OrgKeys,
    owner: Owner,
) -> Result<(), VaultError> {
    let prefix = prefix(org, owner);
    vault.make_room(prefix, "custom tools", MAX_CUSTOM).await
}
