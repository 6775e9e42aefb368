//! A ring in a folder of its own, and hands that may write to it.

use std::fs::{self, Permissions};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use runtools_broker::clock::Timestamp;
use runtools_broker::crypto::{Key, SystemRandom};
use runtools_broker::custody::{CustodyError, NewSlot, RING_FILE, Ring};
use runtools_broker::id::{ObjectId, StoreId};
use tempfile::TempDir;

use super::holders::Holder;

const STORE: StoreId = StoreId::from_bytes([0x51; 16]);
const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);

/// A keys directory.
pub(crate) struct Bench {
    _place: TempDir,
    dir: PathBuf,
}

impl Bench {
    /// A ring whose first slot `holder` opens, and its root key.
    pub(crate) fn with(holder: &dyn Holder) -> (Self, Key) {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("keys");
        let first = NewSlot::new(holder.provider(), "first", NOON);
        let (_, root) = Ring::create(&dir, STORE, &first, &SystemRandom).unwrap();
        (Self { _place: place, dir }, root)
    }

    /// Adds a slot that `holder` opens.
    pub(crate) fn add(&self, root: &Key, holder: &dyn Holder) -> ObjectId {
        let new = NewSlot::new(holder.provider(), "another", NOON);
        self.load().add_slot(root, &new, &SystemRandom).unwrap()
    }

    pub(crate) fn load(&self) -> Ring {
        self.try_load().unwrap()
    }

    pub(crate) fn try_load(&self) -> Result<Ring, CustodyError> {
        Ring::load(&self.dir)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.dir.join(RING_FILE)).unwrap()
    }

    /// Puts `bytes` in the place of the ring, as somebody with write access would.
    pub(crate) fn forge(&self, bytes: &[u8]) {
        let path = self.dir.join(RING_FILE);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
}

/// Where each slot stands in the bytes of a ring, by the format's description alone.
pub(crate) fn slots_of(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut at = 42;
    let slots = (0..bytes[41]).map(|_| {
        let label = usize::from(bytes[at + 25]);
        let length = at + 26 + label;
        let params = usize::from(bytes[length]) << 8 | usize::from(bytes[length + 1]);
        let slot = at..length + 2 + params + 156;
        at = slot.end;
        slot
    });
    slots.collect()
}

/// How something ended, in the word for programs.
pub(crate) fn code<T>(outcome: Result<T, CustodyError>) -> &'static str {
    outcome.err().map_or("opened", |error| error.code())
}
