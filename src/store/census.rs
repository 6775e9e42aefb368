//! Counts and digests everything an engine holds, before any of it is served.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::state::{Census, is_state_key};
use super::{Class, Engine, StoreError};
use crate::crypto::MacKey;

/// How many threads digest. Reading and hashing are about half of the work each, and a start-up
/// should leave a core to others on larger machines.
const THREADS: usize = 2;

/// Digests all records of `engine` except the state record.
///
/// # Errors
/// What the engine reports.
pub(super) fn take(engine: &dyn Engine, mac: &MacKey) -> Result<Census, StoreError> {
    let borders = borders();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut census = Census::default();
        // Ranges are handed out one by one, since nobody knows in which of them the records are.
        while let Some(from) = borders.get(next.fetch_add(1, Ordering::Relaxed)) {
            let until = borders.get(borders.partition_point(|border| border <= from));
            engine.visit(from, until.map(Vec::as_slice), &mut |key, value| {
                if !is_state_key(key) {
                    census.take_in(&mac.hash(&[key, value]));
                }
                Ok(())
            })?;
        }
        Ok(census)
    };
    let parts = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| {
            thread.join().unwrap_or(Err(StoreError::Damaged {
                what: "the engine broke while it was being read",
            }))
        });
        joined.collect::<Result<Vec<_>, _>>()
    })?;
    let mut census = Census::default();
    for part in &parts {
        census.merge(part);
    }
    Ok(census)
}

/// Where the ranges begin, in order: at the very start, and sixteen times in each class. Bytes that
/// are no class lie within the range before them: nothing is left out.
fn borders() -> Vec<Vec<u8>> {
    let mut borders = vec![vec![]];
    for class in Class::ALL {
        for step in 0..16_u8 {
            borders.push(vec![class.byte(), step << 4]);
        }
    }
    borders
}

#[cfg(test)]
mod tests {
    use super::super::{Engine, MemoryEngine, Write};
    use super::take;
    use crate::crypto::{Key, KeyRef, MacKey};
    use crate::id::ObjectId;

    #[test]
    fn every_key_is_counted_once_wherever_it_lies() {
        let engine = MemoryEngine::new();
        let mut keys = vec![vec![]];
        for first in 0..=255_u8 {
            keys.push(vec![first]);
            for second in [0, 1, 0x0f, 0x10, 0x7f, 0xff] {
                keys.push(vec![first, second]);
                keys.push(vec![first, second, 0]);
            }
        }
        let writes: Vec<_> = keys.iter().map(|key| Write::Put(key, &[7])).collect();
        engine.apply(&writes).unwrap();

        let name = KeyRef {
            id: ObjectId::from_bytes([1; 16]),
            version: 1,
        };
        let mac = MacKey::new(&Key::from_bytes(name, &mut [9; 32]).unwrap()).unwrap();
        let census = take(&engine, &mac).unwrap();
        let mut expected = super::Census::default();
        for key in keys
            .iter()
            .filter(|key| *key != super::super::StoreKey::STATE)
        {
            expected.take_in(&mac.hash(&[key, &[7]]));
        }
        assert_eq!(census, expected);
    }
}
