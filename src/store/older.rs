//! A store that is older than what remembers it, and that a person decides to go on with.
//!
//! Nothing here trusts more than a start does: the state record has to open, and count and digest of all
//! records have to be what it says. What is given up is only that the store is the newest. Its next
//! generation is put beyond everything that was ever seen, so that it is in order with anchor and journal
//! again, and a newer copy that turns up later is an older one from then on: two histories never mix.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::anchor::Anchor;
use super::anchors::AnchorFiles;
use super::state::State;
use super::{Engine, JournalMark, StoreError, StoreKey, StoreKeys, Write, census};
use crate::crypto::{Key, MacKey, Random};
use crate::failpoint::{Failpoint, reached};
use crate::id::StoreId;

/// What the anchor file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchored {
    /// It has seen the store at this generation.
    At(u64),
    /// There is none.
    Missing,
    /// It is not one of this store.
    Damaged,
}

impl Anchored {
    const fn newest(self) -> Option<u64> {
        match self {
            Self::At(generation) => Some(generation),
            Self::Missing | Self::Damaged => None,
        }
    }
}

/// What the anchor file at `path` says, and the state that it has seen.
fn anchored_at(
    path: &Path,
    id: StoreId,
    mac: &MacKey,
) -> Result<(Anchored, Option<State>), StoreError> {
    match Anchor::open(path, id, mac.clone()) {
        Ok(Some((_, state))) => Ok((Anchored::At(state.generation), Some(state))),
        Ok(None) => Ok((Anchored::Missing, None)),
        Err(StoreError::AnchorDamaged) => Ok((Anchored::Damaged, None)),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Anchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(generation) => write!(f, "has seen generation {generation}"),
            Self::Missing => f.write_str("is missing"),
            Self::Damaged => f.write_str("is damaged"),
        }
    }
}

/// A store whose records are whole, and of which nothing is known but that.
#[derive(Debug)]
pub struct OlderStore {
    engine: Arc<dyn Engine>,
    id: StoreId,
    seal: Key,
    mac: MacKey,
    files: AnchorFiles,
    state: State,
    anchored: Anchored,
    external: Option<Anchored>,
}

impl OlderStore {
    /// Looks into a store as [`Store::open`](super::Store::open) does, but for what its anchor says.
    /// Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotCreated`] and [`StoreError::Emptied`] when there is nothing to go on with;
    /// [`StoreError::Damaged`]; what the engine or the operating system reports.
    pub fn examine(
        engine: Arc<dyn Engine>,
        id: StoreId,
        keys: StoreKeys,
        anchors: impl Into<AnchorFiles>,
    ) -> Result<Self, StoreError> {
        let (mac, files) = (keys.mac()?, anchors.into());
        let (anchored, remembered) = anchored_at(&files.own, id, &mac)?;
        let elsewhere = files.external.as_ref();
        let elsewhere = elsewhere
            .map(|path| anchored_at(path, id, &mac))
            .transpose()?;
        let state = match engine.get(StoreKey::STATE)? {
            Some(found) => State::open(id, &keys.seal, &found)?,
            None if engine.is_empty()? && anchored != Anchored::Missing => {
                return Err(StoreError::Emptied);
            }
            None => return Err(StoreError::NotCreated),
        };
        let seen = remembered
            .into_iter()
            .chain(elsewhere.and_then(|(_, seen)| seen));
        let mut same_time = seen.filter(|seen| seen.generation == state.generation);
        if same_time.any(|seen| seen != state) {
            return Err(StoreError::Damaged {
                what: "the state record is not the one that an anchor file has seen",
            });
        }
        if census::take(&*engine, &mac)? != state.census {
            return Err(StoreError::Damaged {
                what: "records are missing, altered or added",
            });
        }
        Ok(Self {
            engine,
            id,
            seal: keys.seal,
            mac,
            files,
            state,
            anchored,
            external: elsewhere.map(|(anchored, _)| anchored),
        })
    }

    /// The generation that it is at.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.state.generation
    }

    /// How many records it has.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.state.census.count
    }

    /// How far the journal had come at its newest commit.
    #[must_use]
    pub const fn journal_mark(&self) -> JournalMark {
        self.state.mark
    }

    /// What the anchor file says.
    #[must_use]
    pub const fn anchored(&self) -> Anchored {
        self.anchored
    }

    /// What the anchor file elsewhere says, if there is to be one.
    #[must_use]
    pub const fn external(&self) -> Option<Anchored> {
        self.external
    }

    /// Whether its anchors let a start open it, the journal having seen it at generation `journal`.
    #[must_use]
    pub fn is_in_order(&self, journal: u64) -> bool {
        let mut anchors = [Some(self.anchored), self.external].into_iter().flatten();
        anchors.all(|said| {
            said.newest()
                .is_some_and(|seen| seen <= self.state.generation)
        }) && journal <= self.state.generation
    }

    /// Takes it for the store: its generation is now beyond its own, the anchors' and `journal`, and the
    /// anchor files are of it. Answers that generation. May be repeated after a kill.
    ///
    /// # Errors
    /// What the engine or the operating system reports.
    pub fn accept(self, journal: u64, random: &dyn Random) -> Result<u64, StoreError> {
        let anchors = [Some(self.anchored), self.external].into_iter().flatten();
        let seen = anchors.filter_map(Anchored::newest).max();
        let newest = self.state.generation.max(journal).max(seen.unwrap_or(0));
        let state = State {
            generation: newest.saturating_add(1),
            ..self.state
        };
        let record = state.seal(self.id, &self.seal, random)?;
        // The store first: an anchor that lags is no harm.
        self.engine
            .apply(&[Write::Put(StoreKey::STATE, record.as_bytes())])?;
        reached(Failpoint::AcceptApplied);
        let files = [Some(&self.files.own), self.files.external.as_ref()];
        for file in files.into_iter().flatten() {
            Anchor::renew(file, self.id, self.mac.clone(), &state)?;
            reached(Failpoint::AcceptAnchored);
        }
        Ok(state.generation)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::super::tests_support::{
        Place, STORE, contents, copy_dir, key, keys, mark, put, record,
    };
    use super::super::{StoreError, Write};
    use super::{Anchored, OlderStore};
    use crate::crypto::SystemRandom;

    fn examine(place: &Place) -> Result<OlderStore, StoreError> {
        OlderStore::examine(place.engine()?, STORE, keys(), &place.anchor())
    }

    /// A store at generation 4, and a copy of it from generation 2 under the newer anchor.
    async fn set_back() -> (Place, Place) {
        let place = Place::new();
        let store = place.create();
        store.commit(put("a", record(1)), mark(1)).await.unwrap();
        drop(store);
        let older = place.copy();
        let store = place.open().unwrap();
        store.commit(put("b", record(2)), mark(2)).await.unwrap();
        store.commit(put("c", record(3)), mark(3)).await.unwrap();
        drop(store);
        fs::copy(place.anchor(), older.anchor()).unwrap();
        (older, place)
    }

    #[tokio::test]
    async fn one_that_was_set_back_goes_on_beyond_everything_seen_and_never_mixes_with_the_newer() {
        let (older, newer) = set_back().await;
        assert!(matches!(older.open(), Err(StoreError::RolledBack { .. })));
        let found = examine(&older).unwrap();
        assert_eq!((found.generation(), found.anchored()), (2, Anchored::At(4)));
        assert!(!found.is_in_order(2));
        assert_eq!(found.accept(9, &SystemRandom), Ok(10));
        let store = older.open().unwrap();
        assert_eq!((store.generation(), store.journal_mark()), (10, mark(1)));
        assert!(store.get(&key("a")).await.unwrap().is_some());
        assert!(store.get(&key("b")).await.unwrap().is_none());
        drop(store);
        assert!(examine(&older).unwrap().is_in_order(10));
        // The copy that was the newest is an older one now.
        fs::remove_dir_all(older.data()).unwrap();
        copy_dir(&newer.data(), &older.data());
        let refused = older.open().unwrap_err();
        assert_eq!(
            refused,
            StoreError::RolledBack {
                store: 4,
                anchor: 10
            }
        );
    }

    #[tokio::test]
    async fn a_lost_or_damaged_anchor_is_made_anew() {
        let (_, place) = set_back().await;
        for damage in [false, true] {
            if damage {
                fs::write(place.anchor(), [7; 1024]).unwrap();
            } else {
                fs::remove_file(place.anchor()).unwrap();
            }
            assert!(place.open().is_err());
            let found = examine(&place).unwrap();
            let expected = [Anchored::Missing, Anchored::Damaged][usize::from(damage)];
            assert_eq!(found.anchored(), expected);
            assert!(!found.is_in_order(0));
            let before = found.generation();
            assert_eq!(found.accept(0, &SystemRandom), Ok(before + 1));
            assert_eq!(contents(&place.open().unwrap()).await.len(), 4);
        }
    }

    #[tokio::test]
    async fn a_kill_between_its_two_writes_leaves_what_opens_or_can_be_accepted_again() {
        let (older, _) = set_back().await;
        let anchor = fs::read(older.anchor()).unwrap();
        examine(&older).unwrap().accept(0, &SystemRandom).unwrap();
        fs::write(older.anchor(), &anchor).unwrap();
        assert_eq!(older.open().unwrap().generation(), 5);
        fs::remove_file(older.anchor()).unwrap();
        assert_eq!(examine(&older).unwrap().accept(0, &SystemRandom), Ok(6));
        drop(older.open().unwrap());
    }

    #[tokio::test]
    async fn what_is_damaged_or_empty_is_not_accepted() {
        let (older, _) = set_back().await;
        let engine = older.engine().unwrap();
        let a = key("a");
        let value = engine.get(a.as_bytes()).unwrap().unwrap();
        engine.apply(&[Write::Delete(a.as_bytes())]).unwrap();
        let refused = OlderStore::examine(Arc::clone(&engine), STORE, keys(), &older.anchor());
        assert!(matches!(refused, Err(StoreError::Damaged { .. })));
        engine.apply(&[Write::Put(a.as_bytes(), &value)]).unwrap();
        drop(engine);
        drop(examine(&older).unwrap());
        fs::remove_dir_all(older.data()).unwrap();
        assert_eq!(examine(&older).unwrap_err(), StoreError::Emptied);
        fs::remove_file(older.anchor()).unwrap();
        assert_eq!(examine(&older).unwrap_err(), StoreError::NotCreated);
    }
}
