//! What the tests of this module work with: a keys directory, and the two providers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{CustodyError, KEY_FILE, NewSlot, Provider, RING_FILE, Ring, SlotKind};
use crate::clock::Timestamp;
use crate::crypto::{Key, SystemRandom};
use crate::id::{ObjectId, StoreId};
use crate::secret::Secret;

pub(super) const BOTH: [SlotKind; 2] = [SlotKind::KeyFile, SlotKind::Passphrase];
pub(super) const STORE: StoreId = StoreId::from_bytes([0x51; 16]);
pub(super) const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);

/// A keys directory of its own, with the holder of its key file and its passphrase.
pub(super) struct Bench {
    _place: TempDir,
    pub(super) dir: PathBuf,
    pub(super) key_file: PathBuf,
    pub(super) words: Secret,
}

impl Bench {
    pub(super) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("keys");
        Self {
            key_file: dir.join(KEY_FILE),
            _place: place,
            dir,
            words: Secret::copy_of(b"correct horse battery staple"),
        }
    }

    /// A bench whose ring has one slot of `kind`.
    pub(super) fn with(kind: SlotKind) -> (Self, Ring, Key) {
        let bench = Self::new();
        let (ring, root) = bench.create(kind).unwrap();
        (bench, ring, root)
    }

    pub(super) fn provider(&self, kind: SlotKind) -> Provider<'_> {
        match kind {
            SlotKind::KeyFile => Provider::KeyFile(&self.key_file),
            SlotKind::Passphrase => Provider::Passphrase(&self.words),
            SlotKind::Credential | SlotKind::Shares | SlotKind::Exec | SlotKind::Pkcs11 => {
                panic!("{kind} is tried in tests/custody.rs")
            }
        }
    }

    pub(super) fn create(&self, kind: SlotKind) -> Result<(Ring, Key), CustodyError> {
        let first = slot(self.provider(kind), "first");
        Ring::create(&self.dir, STORE, &first, &SystemRandom)
    }

    pub(super) fn load(&self) -> Result<Ring, CustodyError> {
        Ring::load(&self.dir)
    }

    pub(super) fn ring_file(&self) -> PathBuf {
        self.dir.join(RING_FILE)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        fs::read(self.ring_file()).unwrap()
    }

    /// Puts `bytes` in the place of the ring, as an attacker with write access would.
    pub(super) fn forge(&self, bytes: &[u8]) {
        fs::write(self.ring_file(), bytes).unwrap();
    }

    /// What opening the ring as it stands on disk yields.
    pub(super) fn reopen(&self, kind: SlotKind) -> Result<Key, CustodyError> {
        self.load()?.open(self.provider(kind))
    }
}

pub(super) fn slot<'a>(provider: Provider<'a>, label: &'a str) -> NewSlot<'a> {
    NewSlot::new(provider, label, NOON).cheap()
}

pub(super) fn add(ring: &mut Ring, root: &Key, provider: Provider<'_>) -> ObjectId {
    ring.add_slot(root, &slot(provider, "another"), &SystemRandom)
        .unwrap()
}

pub(super) fn other_words() -> Secret {
    Secret::copy_of(b"wrong horse battery staple")
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

pub(super) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(super) fn code<T>(outcome: Result<T, CustodyError>) -> &'static str {
    outcome.err().map_or("opened", |error| error.code())
}
