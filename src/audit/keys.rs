//! The keys of a journal, and how one generation hands over to the next.
//!
//! ```text
//! segment n     … │ record: the next key is K′ │ checkpoint, signed by K
//! segment n+1   sealed under the next key │ checkpoint of the same position, signed by K′ │ …
//! ```
//!
//! A segment is of one generation, which the boxes in it name. K says in the chain who comes after it, and
//! signs that; only then is K′ believed. So whoever holds any of the keys can follow the chain across the
//! change: one that was handed K goes on with K′, and K′ vouches for what came before it, since its first
//! checkpoint is of a position whose hash covers all of it.
//!
//! A key that signs is gone once it has handed over: what is kept of it is the public half. One that seals
//! stays, or nobody could read what it sealed.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::{Action, Actor, Event, Target, TargetKind};
use crate::crypto::{Key, KeyRef, PublicKey, SigningKey};

/// Who signs, or did.
#[derive(Debug)]
pub enum Signer {
    /// A key that signs.
    Signs(SigningKey),
    /// What is left of one that has handed over.
    Gone(PublicKey),
}

/// One generation of a journal's keys.
#[derive(Clone, Debug)]
pub struct JournalKey {
    /// Seals frames. Its version is the generation.
    seal: Arc<Key>,
    /// Signs checkpoints.
    sign: Arc<Signer>,
}

impl JournalKey {
    /// The generation whose number is the version of `seal`.
    #[must_use]
    pub fn new(seal: Key, sign: Signer) -> Self {
        let (seal, sign) = (Arc::new(seal), Arc::new(sign));
        Self { seal, sign }
    }

    /// Which generation it is.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.seal.name().version
    }

    /// The key that verifies its checkpoints.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        match &*self.sign {
            Signer::Signs(key) => key.public(),
            Signer::Gone(public) => *public,
        }
    }

    /// What it signs with, while it does.
    #[must_use]
    pub fn signs(&self) -> Option<&SigningKey> {
        match &*self.sign {
            Signer::Signs(key) => Some(key),
            Signer::Gone(_) => None,
        }
    }

    pub(super) fn seal(&self) -> &Key {
        &self.seal
    }

    /// The same without what it signs with.
    fn without_signer(&self) -> Self {
        let (seal, gone) = (Arc::clone(&self.seal), Signer::Gone(self.public()));
        let sign = Arc::new(gone);
        Self { seal, sign }
    }
}

/// The keys of a journal: all generations, one of which is in force.
#[derive(Clone, Debug)]
pub struct JournalKeys {
    /// In the order of their versions.
    all: Vec<JournalKey>,
    active: JournalKey,
}

impl JournalKeys {
    /// All generations that there are. Which one is in force, the journal says when it is opened; until then
    /// it is the oldest that signs. Nothing when none does.
    #[must_use]
    pub fn new(mut all: Vec<JournalKey>) -> Option<Self> {
        all.sort_by_key(JournalKey::version);
        let active = all.iter().find(|key| key.signs().is_some())?.clone();
        Some(Self { all, active })
    }

    /// The generation that seals and signs.
    #[must_use]
    pub const fn active(&self) -> &JournalKey {
        &self.active
    }

    /// Those that sign, in the order of their generations.
    pub fn signing(&self) -> impl Iterator<Item = &JournalKey> {
        self.all.iter().filter(|key| key.signs().is_some())
    }

    /// The generation `version`.
    pub(super) fn version(&self, version: u32) -> Option<&JournalKey> {
        let at = self.all.binary_search_by_key(&version, JournalKey::version);
        self.all.get(at.ok()?)
    }

    /// The key that sealed a box of this name.
    pub(super) fn opener(&self, name: KeyRef) -> Option<&Key> {
        let found = self.version(name.version)?.seal();
        (found.name() == name).then_some(found)
    }

    /// The same with `version` in force; nothing when it is not there, or does not sign any more.
    pub(super) fn with_active(&self, version: u32) -> Option<Self> {
        let active = self.signing().find(|key| key.version() == version)?.clone();
        let all = self.all.clone();
        Some(Self { all, active })
    }

    /// The same with one more generation, which is in force: those before it sign nothing any more.
    pub(super) fn followed_by(&self, next: JournalKey) -> Self {
        let before = self.all.iter().filter(|key| key.version() < next.version());
        let mut all: Vec<_> = before.map(JournalKey::without_signer).collect();
        all.push(next.clone());
        Self { all, active: next }
    }
}

/// The record that says who signs next.
pub(super) fn handover(next: &JournalKey) -> Event {
    let key = Target::new(TargetKind::Key)
        .name(HEXLOWER.encode(&next.public().0))
        .version(next.version().into());
    Event::new(Action::AuditHandOver, Actor::System).target(key)
}

/// Who signs next, if a record's line says it.
pub(super) fn announced(line: &[u8]) -> Option<PublicKey> {
    #[derive(Deserialize)]
    struct Handover {
        action: Action,
        targets: Vec<Target>,
    }
    let read: Handover = serde_json::from_slice(line).ok()?;
    let key = read.targets.into_iter().next()?;
    let said = read.action == Action::AuditHandOver && key.kind == TargetKind::Key;
    let bytes = HEXLOWER
        .decode(key.name.filter(|_| said)?.as_bytes())
        .ok()?;
    bytes.try_into().ok().map(PublicKey)
}
