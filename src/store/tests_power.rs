//! A power cut in the middle of a commit, by a model: of the blocks that the commit changed in the
//! database file, any may have reached the disk and any may not. What was acknowledged before must be
//! there, and the commit itself wholly or not at all.

use std::fs;
use std::path::Path;

use super::tests_support::{Dice, Place, contents, copy_dir, key, mark, record_of};
use super::{Batch, EngineKind, Store, StoreKey};
use crate::crypto::Record;

const BLOCK: usize = 512;
/// Cuts that are tried, out of twenty times as many commits.
const CUTS: usize = 6;

type Contents = Vec<(StoreKey, Record)>;

/// The database file as it lies on disk after a commit, and what the store held then.
struct Durable {
    file: Vec<u8>,
    contents: Contents,
}

impl Durable {
    async fn of(place: &Place, store: &Store) -> Self {
        Self {
            file: fs::read(place.files().join("db")).unwrap(),
            contents: contents(store).await,
        }
    }
}

/// The older file with some of the blocks in which the newer one differs.
fn torn(older: &[u8], newer: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut file = older.to_vec();
    file.resize(older.len().max(newer.len()), 0);
    let changed: Vec<_> = (0..newer.len())
        .step_by(BLOCK)
        .filter(|at| {
            let end = newer.len().min(at + BLOCK);
            older.get(*at..end) != newer.get(*at..end)
        })
        .collect();
    let how = dice.below(4);
    let border = dice.below(changed.len() + 1);
    for (n, at) in changed.into_iter().enumerate() {
        let written = match how {
            0 => n < border,
            1 => n >= border,
            2 => n + 1 != border,
            _ => dice.below(2) == 0,
        };
        if written {
            let end = newer.len().min(at + BLOCK);
            file[at..end].copy_from_slice(&newer[at..end]);
        }
    }
    file
}

async fn some_commit(store: &Store, dice: &mut Dice) {
    let mut batch = Batch::new();
    for _ in 0..=dice.below(6) {
        let name = format!("{:03}", dice.below(120));
        if dice.below(6) == 0 {
            batch.delete(key(&name));
        } else {
            let length = [60, 400, 5000, 60_000][dice.below(4)];
            batch.put(key(&name), record_of(1, length));
        }
    }
    store.commit(batch, mark(1)).await.unwrap();
}

async fn opens_with_one_of(data: &Path, base: &Place, older: &Durable, newer: &Durable) {
    let place = Place::of(base.kind);
    copy_dir(base.root.path(), place.root.path());
    fs::copy(data, place.files().join("db")).unwrap();
    let store = place.open().unwrap();
    let found = contents(&store).await;
    assert!(found == older.contents || found == newer.contents);
}

#[tokio::test]
async fn a_power_cut_during_a_commit_leaves_the_state_before_or_after_it() {
    for kind in EngineKind::ALL {
        cut_the_power(&Place::of(kind)).await;
    }
}

async fn cut_the_power(place: &Place) {
    let mut dice = Dice(42);
    drop(place.create());
    let store = place.open().unwrap();
    // What a power cut leaves of the other files: they change only when the store is opened. The anchor
    // lags as far as it can.
    let base = place.copy();
    for _ in 0..CUTS {
        for _ in 0..20 {
            some_commit(&store, &mut dice).await;
        }
        let older = Durable::of(place, &store).await;
        some_commit(&store, &mut dice).await;
        let newer = Durable::of(place, &store).await;
        let image = base.root.path().join("image");
        fs::write(&image, torn(&older.file, &newer.file, &mut dice)).unwrap();
        opens_with_one_of(&image, &base, &older, &newer).await;
        fs::remove_file(image).unwrap();
    }
}
