//! The anchor file beside the store, and one more that an operator keeps elsewhere: whoever sets back the
//! data directory as a whole, anchor and journal with it, has not set that one back.

use std::path::{Path, PathBuf};

use super::StoreError;
use super::anchor::Anchor;
use super::state::State;
use crate::crypto::MacKey;
use crate::id::StoreId;

/// Where the anchor files of a store are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorFiles {
    /// The store's own.
    pub own: PathBuf,
    /// The one elsewhere, if there is to be one.
    pub external: Option<PathBuf>,
}

impl From<&Path> for AnchorFiles {
    fn from(own: &Path) -> Self {
        Self {
            own: own.to_owned(),
            external: None,
        }
    }
}

impl From<&PathBuf> for AnchorFiles {
    fn from(own: &PathBuf) -> Self {
        own.as_path().into()
    }
}

/// What is wrong with the external anchor file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExternalFault {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It is not one of this store.
    #[error("is damaged, or belongs to another store")]
    Damaged,
    /// It has seen a later state.
    #[error("has seen generation {seen}, and the store is an older copy, at {store}")]
    Later {
        /// The generation of the store.
        store: u64,
        /// The one that it has seen.
        seen: u64,
    },
    /// It has seen another state of the same generation.
    #[error("has seen another store at the same generation")]
    Other,
    /// It has seen a store, where one is to be made.
    #[error("has seen a store already")]
    Used,
}

/// The open anchor files.
#[derive(Debug)]
pub(super) struct Anchors {
    own: Anchor,
    external: Option<Anchor>,
}

impl Anchors {
    /// Makes the files before the store: see [`Anchor::create`].
    pub(super) fn create(
        files: &AnchorFiles,
        store: StoreId,
        mac: &MacKey,
    ) -> Result<Self, StoreError> {
        // The one elsewhere first: what it refuses has made nothing.
        let external = files.external.as_ref().map(|path| {
            let made = Anchor::create(path, store, mac.clone());
            made.map_err(|error| match error {
                StoreError::Emptied => StoreError::External(ExternalFault::Used),
                error => error,
            })
        });
        let external = external.transpose()?;
        Ok(Self {
            own: Anchor::create(&files.own, store, mac.clone())?,
            external,
        })
    }

    /// The files of a store that was opened at `state`, as its own anchor lets it: if the external one does.
    /// Neither is written to before.
    pub(super) fn agreeing(
        own: Anchor,
        remembered: &State,
        files: &AnchorFiles,
        store: StoreId,
        mac: &MacKey,
        state: &State,
    ) -> Result<Self, StoreError> {
        let mut anchors = Self {
            own,
            external: None,
        };
        let mut lags = state != remembered;
        if let Some(path) = &files.external {
            let (external, seen) = open_external(path, store, mac)?;
            agree(state, &seen)?;
            lags |= *state != seen;
            anchors.external = Some(external);
        }
        // Untouched when none lags, so that a start that fails later has changed nothing.
        if lags {
            anchors.write(state)?;
            anchors.sync()?;
        }
        Ok(anchors)
    }

    /// Tells all of `state`. Not synced: they may lag after a power cut.
    pub(super) fn write(&mut self, state: &State) -> Result<(), StoreError> {
        self.own.write(state)?;
        match &mut self.external {
            Some(external) => external.write(state),
            None => Ok(()),
        }
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.own.sync()?;
        self.external.as_ref().map_or(Ok(()), Anchor::sync)
    }
}

/// Opens the external anchor file, and says which it is when it cannot be.
pub(super) fn open_external(
    path: &Path,
    store: StoreId,
    mac: &MacKey,
) -> Result<(Anchor, State), StoreError> {
    match Anchor::open(path, store, mac.clone()) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(StoreError::External(ExternalFault::Missing)),
        Err(StoreError::AnchorDamaged) => Err(StoreError::External(ExternalFault::Damaged)),
        Err(error) => Err(error),
    }
}

/// Whether the external anchor's state lets this one be opened.
pub(super) fn agree(state: &State, seen: &State) -> Result<(), StoreError> {
    let fault = if seen.generation > state.generation {
        ExternalFault::Later {
            store: state.generation,
            seen: seen.generation,
        }
    } else if seen.generation == state.generation && seen != state {
        ExternalFault::Other
    } else {
        return Ok(());
    };
    Err(StoreError::External(fault))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::super::tests_support::{Place, STORE, key, keys, mark, put, record};
    use super::super::{Batch, OlderStore, Store, StoreError};
    use super::{AnchorFiles, ExternalFault};
    use crate::crypto::SystemRandom;

    struct Kept {
        place: Place,
        elsewhere: tempfile::TempDir,
    }

    impl Kept {
        fn new() -> Self {
            Self {
                place: Place::new(),
                elsewhere: tempfile::tempdir().unwrap(),
            }
        }

        fn external(&self) -> PathBuf {
            self.elsewhere.path().join("anchor")
        }

        fn files(&self) -> AnchorFiles {
            AnchorFiles {
                own: self.place.anchor(),
                external: Some(self.external()),
            }
        }

        fn create(&self) -> Result<Store, StoreError> {
            let (engine, random) = (self.place.engine()?, Arc::new(SystemRandom));
            Store::create(engine, STORE, keys(), self.files(), random, Batch::new())
        }

        fn open(&self) -> Result<Store, StoreError> {
            let (engine, random) = (self.place.engine()?, Arc::new(SystemRandom));
            Store::open(engine, STORE, keys(), self.files(), random)
        }

        fn examine(&self) -> OlderStore {
            let engine = self.place.engine().unwrap();
            OlderStore::examine(engine, STORE, keys(), self.files()).unwrap()
        }
    }

    #[tokio::test]
    async fn everything_set_back_at_once_is_noticed_elsewhere() {
        let mut kept = Kept::new();
        let store = kept.create().unwrap();
        store.commit(put("a", record(1)), mark(1)).await.unwrap();
        drop(store);
        let older = kept.place.copy();
        let store = kept.open().unwrap();
        store.commit(put("b", record(1)), mark(2)).await.unwrap();
        drop(store);
        kept.place = older;
        // Its own anchor lets it be opened.
        drop(kept.place.open().unwrap());
        let later = ExternalFault::Later { store: 2, seen: 3 };
        let refused = kept.open().unwrap_err();
        assert_eq!(refused, StoreError::External(later));
        assert!(
            refused
                .to_string()
                .starts_with("the external anchor file has seen generation 3")
        );
        assert!(refused.hint().contains("accept-rollback"));
        assert!(!kept.examine().is_in_order(0));
        assert_eq!(kept.examine().accept(0, &SystemRandom), Ok(4));
        let store = kept.open().unwrap();
        assert!(store.get(&key("a")).await.unwrap().is_some());
        assert!(store.get(&key("b")).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_missing_or_foreign_one_is_refused_and_begun_when_somebody_says_so() {
        let kept = Kept::new();
        drop(kept.create().unwrap());
        let sound = fs::read(kept.external()).unwrap();
        fs::remove_file(kept.external()).unwrap();
        let missing = StoreError::External(ExternalFault::Missing);
        assert_eq!(kept.open().unwrap_err(), missing);
        fs::write(kept.external(), [1; 1024]).unwrap();
        let damaged = StoreError::External(ExternalFault::Damaged);
        assert_eq!(kept.open().unwrap_err(), damaged);
        kept.examine().accept(0, &SystemRandom).unwrap();
        let store = kept.open().unwrap();
        store.commit(put("a", record(1)), mark(1)).await.unwrap();
        drop(store);
        // One that lags is no harm, and is told the newest.
        fs::write(kept.external(), &sound).unwrap();
        drop(kept.open().unwrap());
        assert_ne!(fs::read(kept.external()).unwrap(), sound);
        assert!(kept.examine().is_in_order(0));
    }

    #[test]
    fn a_store_is_not_made_under_one_that_has_seen_another() {
        let kept = Kept::new();
        drop(kept.create().unwrap());
        let other = Kept {
            place: Place::new(),
            elsewhere: kept.elsewhere,
        };
        let refused = other.create().unwrap_err();
        assert_eq!(refused, StoreError::External(ExternalFault::Used));
        assert!(!other.place.anchor().exists());
    }
}
