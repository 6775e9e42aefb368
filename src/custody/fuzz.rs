//! The ring's file, a share as people write it, and what a custodian answers.

use super::protocol::Wrapped;
use super::shares::Share;
use super::{form, protocol};
use crate::secret::Secret;

/// A ring is written in one way.
pub(crate) fn ring(bytes: &[u8]) {
    let Ok(parsed) = form::parse(bytes) else {
        return;
    };
    let Ok(mut again) = form::encode(&parsed.identity, &parsed.slots) else {
        unreachable!("what was read can be written")
    };
    again.extend_from_slice(&parsed.mac);
    assert_eq!(again, bytes);
}

/// A share is read again as the same.
pub(crate) fn share(bytes: &[u8]) {
    let text = Secret::copy_of(bytes);
    let _likely = Share::is_like(&text);
    if let Ok(share) = Share::parse(&text) {
        let written = share.text();
        let again = Share::parse(&written).map(|again| again.text().same_as(&written));
        assert!(again.is_ok_and(|same| same));
    }
}

/// What a custodian made is written in one way; what it says of a failure is shown.
pub(crate) fn custodian(bytes: &[u8]) {
    protocol::refusal_in(bytes);
    if let Some(wrapped) = Wrapped::parse(bytes) {
        let mut again = Vec::new();
        wrapped.encode(&mut again);
        assert_eq!(again, bytes);
    }
}
