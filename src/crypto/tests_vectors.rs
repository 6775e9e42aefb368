//! Boxes and hashes that were computed elsewhere: `tests/fixtures/obx1/check.py` makes and checks
//! them with another language's library. They pin the format: what was sealed once must open for
//! ever.

use std::sync::Mutex;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer};

use super::obx1::{open, open_padded, seal, seal_padded};
use super::{Context, CryptoError, Key, KeyRef, MacKey, Owner, OwnerKind, Purpose, Random, Sealed};
use crate::clock::Timestamp;
use crate::crypto::Commitment;
use crate::id::{ObjectId, OrgId, StoreId};

pub(super) const PURPOSES: [Purpose; 9] = [
    Purpose::OrgKey,
    Purpose::OwnerKey,
    Purpose::DataKey,
    Purpose::Metadata,
    Purpose::Value,
    Purpose::IndexKey,
    Purpose::AuditKey,
    Purpose::State,
    Purpose::Backup,
];

/// Bytes, written in hex.
#[derive(Clone)]
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes());
        bytes.map(Self).map_err(serde::de::Error::custom)
    }
}

impl Hex {
    fn array<const N: usize>(&self) -> [u8; N] {
        self.0.as_slice().try_into().unwrap()
    }
}

#[derive(Deserialize)]
struct Vectors {
    boxes: Vec<BoxVector>,
    commitments: Vec<CommitmentVector>,
    keyed_hashes: Vec<HashVector>,
}

#[derive(Deserialize)]
struct BoxVector {
    name: String,
    purpose: u8,
    key: Hex,
    key_id: Hex,
    key_version: u32,
    store: Hex,
    org: Hex,
    owner_kind: u8,
    owner_id: Hex,
    object: Hex,
    object_version: u64,
    data_key: Hex,
    metadata: Hex,
    created_ms: i64,
    salt: Hex,
    nonce: Hex,
    plaintext: Hex,
    padded: bool,
    context: Hex,
    #[serde(rename = "box")]
    sealed: Hex,
}

#[derive(Deserialize)]
struct CommitmentVector {
    key: Hex,
    commitment: Hex,
}

#[derive(Deserialize)]
struct HashVector {
    key: Hex,
    parts: Vec<Hex>,
    hash: Hex,
}

impl BoxVector {
    fn key(&self) -> Key {
        let name = KeyRef {
            id: ObjectId::from_bytes(self.key_id.array()),
            version: self.key_version,
        };
        Key::from_bytes(name, &mut self.key.0.clone()).unwrap()
    }

    fn purpose(&self) -> Purpose {
        let mut purposes = PURPOSES.into_iter();
        purposes.find(|it| it.byte() == self.purpose).unwrap()
    }

    fn context(&self) -> Context {
        let kinds = [OwnerKind::System, OwnerKind::OrgShared, OwnerKind::User];
        Context {
            store: StoreId::from_bytes(self.store.array()),
            org: OrgId::from_bytes(self.org.array()),
            owner: Owner {
                kind: kinds[usize::from(self.owner_kind)],
                id: self.owner_id.array(),
            },
            object: ObjectId::from_bytes(self.object.array()),
            version: self.object_version,
            data_key: Commitment::from_bytes(self.data_key.array()),
            metadata: self.metadata.array(),
            created: Timestamp::from_millis(self.created_ms),
        }
    }

    fn random(&self) -> Script {
        Script(Mutex::new([&self.salt.0[..], &self.nonce.0].concat()))
    }
}

/// "Random" bytes that were written down before; it fails when they are used up.
#[derive(Debug)]
pub(super) struct Script(pub(super) Mutex<Vec<u8>>);

impl Random for Script {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        let mut left = self.0.lock().unwrap();
        if left.len() < out.len() {
            return Err(CryptoError::Random);
        }
        let rest = left.split_off(out.len());
        out.copy_from_slice(&left);
        *left = rest;
        Ok(())
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/fixtures/obx1/vectors.json")).unwrap()
}

#[test]
fn sealing_makes_the_boxes_that_were_computed_elsewhere() {
    for vector in vectors().boxes {
        let (key, purpose, context) = (vector.key(), vector.purpose(), vector.context());
        let random = vector.random();
        let sealing = if vector.padded { seal_padded } else { seal };
        let sealed = sealing(&key, purpose, &context, &vector.plaintext.0, &random).unwrap();
        assert_eq!(sealed.as_bytes(), vector.sealed.0, "{}", vector.name);
        assert_eq!(sealed.key(), Some(key.name()));
        assert!(
            random.0.lock().unwrap().is_empty(),
            "salt and nonce, nothing more"
        );
    }
}

#[test]
fn boxes_that_were_computed_elsewhere_open() {
    for vector in vectors().boxes {
        let sealed = Sealed::parse(&vector.sealed.0).unwrap();
        let opening = if vector.padded { open_padded } else { open };
        let opened = opening(&vector.key(), vector.purpose(), &vector.context(), &sealed).unwrap();
        assert!(
            opened.expose(|bytes| bytes == vector.plaintext.0),
            "{}",
            vector.name
        );
    }
}

#[test]
fn the_context_is_179_bytes_in_the_order_that_is_written_down() {
    for vector in vectors().boxes {
        let header = *vector.sealed.0.first_chunk().unwrap();
        let context = vector.context().encode(&header, vector.purpose());
        assert_eq!(context.as_slice(), vector.context.0, "{}", vector.name);
    }
}

#[test]
fn the_vectors_cover_every_purpose_and_owner_padded_and_plain() {
    let boxes = vectors().boxes;
    for padded in [false, true] {
        for purpose in PURPOSES {
            let wanted = |it: &BoxVector| it.padded == padded && it.purpose == purpose.byte();
            assert!(boxes.iter().any(wanted), "{purpose:?}");
        }
        for kind in 0..3 {
            assert!(
                boxes
                    .iter()
                    .any(|it| it.padded == padded && it.owner_kind == kind)
            );
        }
    }
}

#[test]
fn key_commitments_are_hkdf_of_the_key() {
    let name = KeyRef {
        id: ObjectId::from_bytes([0; 16]),
        version: 1,
    };
    for vector in vectors().commitments {
        let key = Key::from_bytes(name, &mut vector.key.0.clone()).unwrap();
        assert_eq!(key.commitment().bytes().as_slice(), vector.commitment.0);
    }
}

#[test]
fn keyed_hashes_are_hmac_of_parts_with_their_lengths() {
    let name = KeyRef {
        id: ObjectId::from_bytes([0; 16]),
        version: 1,
    };
    for vector in vectors().keyed_hashes {
        let key = Key::from_bytes(name, &mut vector.key.0.clone()).unwrap();
        let parts: Vec<&[u8]> = vector.parts.iter().map(|part| part.0.as_slice()).collect();
        assert_eq!(
            MacKey::new(&key).unwrap().hash(&parts).as_slice(),
            vector.hash.0
        );
    }
}
