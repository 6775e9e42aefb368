//! Which generations of each key the files of a stopped broker name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use runtools_broker::crypto::Record;
use runtools_broker::store::{
    Class, DEFAULT_CACHE_BYTES, DiskEngine, Engine, EngineKind, StoreError,
};

use crate::harness::eventually;

fn engine(data: &Path) -> DiskEngine {
    let path = data.join("store");
    let marker = std::fs::read_to_string(path.join("format")).unwrap();
    let kind = if marker.contains("redb") {
        EngineKind::Redb
    } else {
        EngineKind::Sled
    };
    // Until it runs, a child that another test starts has every file of this process, a lock of before with it.
    let opened = eventually(
        || match DiskEngine::open(&path, kind, DEFAULT_CACHE_BYTES) {
            Err(StoreError::Locked) => None,
            opened => Some(opened),
        },
    );
    opened.unwrap()
}

/// The generations of each key that the records in a stopped broker's store name, by the key's id; that of what
/// is shared is empty.
pub(crate) fn generations(data: &Path) -> BTreeMap<String, BTreeSet<u32>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    let mut look = |_: &[u8], value: &[u8]| {
        if let Some(name) = Record::parse(value).unwrap().key() {
            let shared = name.id.bytes() == &[0; 16];
            let id = if shared {
                String::new()
            } else {
                name.id.to_string()
            };
            found.entry(id).or_default().insert(name.version);
        }
        Ok(())
    };
    engine(data).visit(&[], None, &mut look).unwrap();
    found
}

/// The generations of the installation's keys in a stopped broker's store, by their numbers; those that its records
/// name with them.
pub(crate) fn own_keys(data: &Path) -> (BTreeSet<(u8, u32)>, BTreeSet<u32>) {
    let (mut keys, mut named) = (BTreeSet::new(), BTreeSet::new());
    let mut look = |name: &[u8], value: &[u8]| {
        let sealed_by = Record::parse(value).unwrap().key();
        if let Some(by) = sealed_by.filter(|by| by.id.bytes() == &[2; 16]) {
            named.insert(by.version);
        }
        if let [class, number, version @ ..] = name
            && *class == Class::SystemKey.byte()
        {
            let version = version.try_into().map_or(1, u32::from_be_bytes);
            keys.insert((*number, version));
        }
        Ok(())
    };
    engine(data).visit(&[], None, &mut look).unwrap();
    (keys, named)
}

/// One key seals and one veil is there; of the journal's, those that sealed stay; no next root key waits.
pub(crate) fn only_one_of_each(data: &Path, place: &str) {
    let (keys, named) = own_keys(data);
    let of = |number| {
        let found = keys.iter().filter(move |(which, _)| *which == number);
        found.map(|(_, version)| *version).collect::<Vec<_>>()
    };
    assert_eq!(of(2).len(), 1, "{place}: {keys:?}");
    assert_eq!(named, BTreeSet::from_iter(of(2)), "{place}");
    assert!(of(8).len() <= 1, "{place}: {keys:?}");
    assert_eq!(of(3), of(4), "{place}");
    assert_eq!(of(7), [0; 0], "{place}");
}
