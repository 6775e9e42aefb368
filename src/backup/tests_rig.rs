//! A vault to back up, somebody who can open the backup, and what became of it when it was restored.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BackupError, Identities, Made, Recipients, Restored, Unpacked, Wish, envelope, write};
use crate::audit::Options;
use crate::clock::SystemClock;
use crate::crypto::{Key, SystemRandom};
use crate::custody::{Provider, Ring};
use crate::id::UserId;
use crate::secret::Secret;
use crate::store::{DiskEngine, EngineKind, Progress};
use crate::vault::tests_rig::Rig;
use crate::vault::{Lifecycle, Places, Probes};

pub(super) const RECIPIENT: &str = "age1x6fuunh9dyv0259wynvc7kcz85k5ryz0aqp49qjemfuvdklzfy9se9p9dm";
pub(super) const IDENTITY: &str =
    "AGE-SECRET-KEY-1HN72D3850U9AYVVU7UFSDCTQKN59WCS20A22FY69APE4YRT4URZQXUL8ZT";
pub(super) const USER: UserId = UserId::from_bytes([1; 16]);
const CACHE: u64 = 4 << 20;

pub(super) fn identities() -> Identities {
    Identities::parse(&Secret::copy_of(IDENTITY.as_bytes())).unwrap()
}

pub(super) fn wish() -> Wish {
    Wish {
        recipients: Recipients::parse(&[RECIPIENT]).unwrap(),
        expires: None,
        settings: None,
    }
}

/// A vault with a secret called MINE.
pub(super) async fn used(value: &str) -> Rig {
    let rig = Rig::new().await;
    let org = rig.org(7).await;
    rig.set(&org, USER, "MINE", value).await;
    rig
}

/// A backup of it, in memory.
pub(super) fn backup(rig: &Rig, wish: &Wish) -> (Vec<u8>, Made) {
    let mut file = Vec::new();
    let keys = &rig.lifecycle.places().keys;
    let made = write(&rig.vault, keys, wish, &Progress::default(), &mut file).unwrap();
    assert_eq!(u64::try_from(file.len()).unwrap(), made.bytes);
    (file, made)
}

/// What is inside of a backup.
pub(super) fn plaintext(file: &[u8]) -> Vec<u8> {
    let (_, mut inside) = envelope::open(file, &identities()).unwrap();
    let mut plain = Vec::new();
    inside.read_to_end(&mut plain).unwrap();
    plain
}

pub(super) fn key_file(rig: &Rig) -> PathBuf {
    rig.lifecycle.places().key_file()
}

/// Opens rings by `file`, as an operator does.
pub(super) fn by_file(file: PathBuf) -> impl Fn(&Ring) -> Result<Option<Key>, BackupError> {
    move |ring| Ok(Some(ring.open(Provider::KeyFile(&file))?))
}

/// Restores into `into`, by what `provider` opens.
pub(super) async fn restore(
    file: &[u8],
    into: &Path,
    provider: Provider<'_>,
) -> Result<Restored, BackupError> {
    let unpacked = Unpacked::from(file, &identities(), into, CACHE)?;
    let root = unpacked.ring().open(provider)?;
    let key_file = match provider {
        Provider::KeyFile(file) => Some(file),
        _ => None,
    };
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    unpacked
        .put_in_place(&root, key_file, 1000, clock, random)
        .await
}

/// What was restored, as a start finds it.
pub(super) fn started(into: &Path) -> Arc<Lifecycle> {
    let places = Places {
        data: into.join("data"),
        keys: into.join("keys"),
        external_anchor: None,
    };
    let engine = Arc::new(DiskEngine::open(&places.store(), EngineKind::Sled, CACHE).unwrap());
    let lifecycle = Lifecycle::open(
        places,
        engine,
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
        30,
        Options::default(),
        Probes::default(),
    );
    Arc::new(lifecycle.unwrap())
}
