//! What is sent as a key.

use super::Token;
use crate::crypto::{Key, KeyRef, MacKey};
use crate::id::ObjectId;

/// No text is a user's key and a service's.
pub(crate) fn token(bytes: &[u8]) {
    let id = ObjectId::from_bytes([1; 16]);
    let key = Key::from_bytes(KeyRef { id, version: 1 }, &mut [1; 32]);
    let Ok(index) = key.and_then(|key| MacKey::new(&key)) else {
        return;
    };
    let user = Token::hash_of(bytes, &index);
    let service = Token::hash_of_service(bytes, &index);
    assert!(user.is_none() || service.is_none());
    assert!(service.is_none() || Token::is_of_service(bytes));
}
