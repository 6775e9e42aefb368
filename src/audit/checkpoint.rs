//! Checkpoints: a signed statement of where the chain stood, in the form of a C2SP signed note.
//!
//! ```text
//! runtools-audit/<store id>
//! <sequence number of the last record covered>
//! <its chain hash, base64>
//! time <RFC 3339>
//!
//! — runtools-audit/<store id> <base64 of 4 bytes of key id ‖ 64 bytes of Ed25519 signature>
//! ```
//!
//! The signature is over the text up to the empty line. A checkpoint kept on another machine is
//! what catches somebody who holds this one and its keys.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Head;
use super::line::time_text;
use crate::clock::Timestamp;
use crate::crypto::{PublicKey, SigningKey, sha256_parts};
use crate::id::StoreId;

const ORIGIN: &str = "runtools-audit/";

/// A statement, signed by the journal, of where its chain stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The store whose journal it is.
    pub store: StoreId,
    /// The last record that is covered, and the chain's hash there.
    pub head: Head,
    /// When it was signed.
    pub time: Timestamp,
}

/// A note that is no checkpoint of this journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It has not the form of one.
    #[error("not a checkpoint")]
    Form,
    /// The signature is not the journal's.
    #[error("the checkpoint is not signed by this journal's key")]
    Signature,
}

impl Checkpoint {
    /// The signed note.
    pub(super) fn sign(&self, key: &SigningKey) -> String {
        let name = format!("{ORIGIN}{}", self.store);
        let hash = BASE64_STANDARD.encode(self.head.hash);
        let time = time_text(self.time);
        let text = format!("{name}\n{}\n{hash}\ntime {time}\n", self.head.seq);
        let mut signed = key_id(&name, &key.public()).to_vec();
        signed.extend_from_slice(&key.sign(text.as_bytes()));
        format!(
            "{text}\n\u{2014} {name} {}\n",
            BASE64_STANDARD.encode(signed)
        )
    }

    /// Reads a note and checks its signature; a note in any other spelling than ours is refused.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse(note: &str, public: &PublicKey) -> Result<Self, CheckpointError> {
        let (text, signature) = note.split_once("\n\n").ok_or(CheckpointError::Form)?;
        let checkpoint = Self::read(text).ok_or(CheckpointError::Form)?;
        let name = text.lines().next().unwrap_or_default();
        let signed = read_signature(signature, name).ok_or(CheckpointError::Form)?;
        let (id, signature) = signed
            .split_first_chunk::<4>()
            .ok_or(CheckpointError::Form)?;
        let signature = signature.try_into().map_err(|_| CheckpointError::Form)?;
        let message = note.get(..=text.len()).ok_or(CheckpointError::Form)?;
        if *id == key_id(name, public) && public.verifies(message.as_bytes(), &signature) {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Signature)
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let store = StoreId::parse(lines.next()?.strip_prefix(ORIGIN)?).ok()?;
        let number = lines.next()?;
        let seq: u64 = number.parse().ok()?;
        let hash = BASE64_STANDARD
            .decode(lines.next()?)
            .ok()?
            .try_into()
            .ok()?;
        let time = Timestamp::parse(lines.next()?.strip_prefix("time ")?).ok()?;
        let sound = lines.next().is_none() && seq.to_string() == number;
        sound.then_some(Self {
            store,
            head: Head { seq, hash },
            time,
        })
    }
}

fn read_signature(line: &str, name: &str) -> Option<Vec<u8>> {
    let rest = line.strip_prefix("\u{2014} ")?.strip_prefix(name)?;
    let encoded = rest.strip_prefix(' ')?.strip_suffix('\n')?;
    BASE64_STANDARD.decode(encoded).ok()
}

/// The key's id in a signed note: 4 bytes of SHA-256(name ‖ line break ‖ 1 for Ed25519 ‖ key).
fn key_id(name: &str, public: &PublicKey) -> [u8; 4] {
    let hash = sha256_parts(&[name.as_bytes(), b"\n\x01", &public.0]);
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Checkpoint, CheckpointError};
    use crate::audit::Head;
    use crate::clock::Timestamp;
    use crate::crypto::{Key, KeyRef, SigningKey};
    use crate::damage::Harm;
    use crate::id::{ObjectId, StoreId};

    fn key(byte: u8) -> SigningKey {
        let name = KeyRef {
            id: ObjectId::from_bytes([9; 16]),
            version: 1,
        };
        SigningKey::from_seed(&Key::from_bytes(name, &mut [byte; 32]).unwrap()).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            store: StoreId::from_random([1; 16]),
            head: Head {
                seq: 12,
                hash: [7; 32],
            },
            time: Timestamp::from_millis(1_700_000_000_000),
        }
    }

    #[test]
    fn a_note_is_read_back_and_belongs_to_one_key() {
        let note = checkpoint().sign(&key(1));
        assert_eq!(Checkpoint::parse(&note, &key(1).public()), Ok(checkpoint()));
        let other = Checkpoint::parse(&note, &key(2).public());
        assert_eq!(other, Err(CheckpointError::Signature));
    }

    #[test]
    fn whatever_becomes_of_a_note_is_noticed() {
        let note = checkpoint().sign(&key(1)).into_bytes();
        for harm in Harm::every(note.len()) {
            let read = String::from_utf8(harm.of(&note)).ok();
            let read = read.and_then(|note| Checkpoint::parse(&note, &key(1).public()).ok());
            assert_eq!(read, None, "{harm:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*\n\n\\PC*") {
            prop_assert!(Checkpoint::parse(&text, &key(1).public()).is_err());
        }
    }
}
