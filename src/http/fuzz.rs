//! Bodies and paths of requests.

use serde::de::DeserializeOwned;

use super::{body, path};
use crate::wire;

/// A body, read as each of the documents that clients send: the first byte says which.
pub(crate) fn request(bytes: &[u8]) {
    let Some((&number, body)) = bytes.split_first() else {
        return;
    };
    let read = READERS.get(usize::from(number) % READERS.len());
    if let Some(read) = read {
        read(body);
    }
    if let Ok(text) = str::from_utf8(body) {
        let _checked = path::check(text);
    }
}

/// Reads a body; what is said of one that is not taken shows nothing of it that steers a terminal.
fn reads<T: DeserializeOwned>(body: &[u8]) {
    if let Err(error) = body::parse::<T>(body) {
        let shown = error.detail();
        assert!(!shown.message.contains('\u{1b}'), "{}", shown.message);
    }
}

const READERS: [fn(&[u8]); 28] = [
    reads::<wire::CreateApiKey>,
    reads::<wire::UpdateApiKey>,
    reads::<wire::RotateApiKey>,
    reads::<wire::CreateBackup>,
    reads::<wire::ResolveTool>,
    reads::<wire::ExecuteRequest>,
    reads::<wire::FinishFlow>,
    reads::<wire::StartDevice>,
    reads::<wire::SetOauthConfig>,
    reads::<wire::CreateOrganization>,
    reads::<wire::UpdateOrganization>,
    reads::<wire::AddMember>,
    reads::<wire::UpdateMember>,
    reads::<wire::RotateKeys>,
    reads::<wire::RotateRoot>,
    reads::<wire::SetSecret>,
    reads::<wire::UpdateSecret>,
    reads::<wire::RotateSecret>,
    reads::<wire::AddService>,
    reads::<wire::RotateService>,
    reads::<wire::Delegate>,
    reads::<wire::Unseal>,
    reads::<wire::AddKeySlot>,
    reads::<wire::TestKeySlot>,
    reads::<wire::StoreCredentials>,
    reads::<wire::ExecuteTool>,
    reads::<wire::ExplainTool>,
    reads::<wire::UpdateVisibility>,
];
