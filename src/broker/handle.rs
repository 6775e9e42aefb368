//! A handle: one short-lived right to use a resolution, and what it is bound to.
//!
//! The text that its owner holds is drawn at random and shown once; the broker keeps a digest of it, in
//! memory only. A handle holds no value of a credential: what it stands for is looked for again at each
//! use, and when that comes out differently, or its owner is not who they were, it is dead. The one key
//! that a handle may hold is that of its own authority at the proxy; it goes when the handle is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::crypto::{
    CHECK_LETTERS, CryptoError, Digest, Random, check_letters, draw_letters, sha256,
};
use crate::egress::Origin;
use crate::id::{OrgId, ResolutionId, UserId};
use crate::name::{FieldName, Fields, SecretName};
use crate::policy::{Principal, Via};
use crate::secret::Secret;
use crate::tools::Tool;

use super::holder::Proxied;
use super::only::Only;
use super::pinned::Pin;
use super::placeholder::Placeholder;

/// How a handle begins.
const PREFIX: &[u8] = b"rt_hdl_";
/// 43 letters and digits are 256 bits.
const DRAWN: usize = 43;

/// The longest life of a handle.
pub(crate) const MAX_LIFE: Duration = Duration::from_mins(15);
/// How long one lives unless its owner asks for another time.
pub(crate) const USUAL_LIFE: Duration = Duration::from_mins(1);
/// The most uses of one.
pub(crate) const MAX_USES: u32 = 1_000;
/// How long one may lie unused.
const MAX_IDLE: Duration = Duration::from_mins(5);
/// So many strange placeholders in its owner's requests, and it is dead.
const MAX_MISSES: u32 = 5;

/// The text of a handle, to be shown once.
#[derive(Debug)]
pub struct HandleToken(Secret);

impl HandleToken {
    pub(crate) fn draw(random: &dyn Random) -> Result<Self, CryptoError> {
        let mut text = Vec::with_capacity(PREFIX.len() + DRAWN + CHECK_LETTERS);
        text.extend_from_slice(PREFIX);
        draw_letters(random, DRAWN, &mut text)?;
        let check = check_letters(&text);
        text.extend_from_slice(&check);
        Ok(Self(Secret::take(text)))
    }

    pub(crate) fn digest(&self) -> Digest {
        self.0.expose(digest_of)
    }

    /// The text.
    #[must_use]
    pub fn into_secret(self) -> Secret {
        self.0
    }
}

/// What the table knows a handle by. Whatever a caller sends takes this one way, whether it has the form
/// of a handle or not: how long a refusal takes tells nothing of how near a guess was.
pub(crate) fn digest_of(text: &[u8]) -> Digest {
    sha256(text)
}

/// Why a handle cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleFault {
    /// There is none, or it is somebody else's: one answer.
    #[error("there is no such handle for you")]
    Unknown,
    /// Its time is over.
    #[error("the handle's time is over")]
    Expired,
    /// It was used as often as it may be.
    #[error("the handle was used as often as it may be")]
    Spent,
    /// What it stood for changed, or it was released.
    #[error("the handle is dead: {0}")]
    Dead(Ended),
}

/// Why a handle died before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its owner released it.
    Released,
    /// Its owner, its tool, or what fills a field is not what it was.
    Changed,
    /// The vault was sealed.
    Sealed,
    /// Too many placeholders came with it that are not its own.
    Guessing,
    /// Whether it should go on could not be looked after.
    Unwatched,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Released => "it was released",
            Self::Changed => "its owner, its tool or a credential has changed since",
            Self::Sealed => "the vault was sealed",
            Self::Unwatched => "the broker could not look after it",
            Self::Guessing => "too many placeholders came with it that are not its own",
        })
    }
}

/// Whose a handle is: a user of an organisation, by the one credential that it was asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) org: OrgId,
    pub(crate) user: UserId,
    pub(crate) via: Via,
}

impl From<&Principal> for Owner {
    fn from(principal: &Principal) -> Self {
        Self {
            org: principal.org(),
            user: principal.user(),
            via: principal.via(),
        }
    }
}

/// What a resolution was asked to look for, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) overrides: Fields<SecretName>,
    pub(crate) account: Option<String>,
}

/// For how long, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) life: Duration,
    pub(crate) uses: u32,
}

/// What a handle is made for.
#[derive(Debug)]
pub(crate) struct Purpose {
    pub(crate) owner: Owner,
    /// The tool call that it belongs to, as its owner names it.
    pub(crate) call: Option<Box<str>>,
    /// The one request that it is for, where its owner named one.
    pub(crate) only: Option<Only>,
    pub(crate) tool: Tool,
    pub(crate) wishes: Wishes,
    /// What was found: any other finding is another resolution.
    pub(crate) fingerprint: Digest,
    pub(crate) placeholders: Fields<Placeholder>,
    /// What makes it a handle for the proxy, which is the only place where it works then.
    pub(crate) proxied: Option<Arc<Proxied>>,
}

/// A handle, as the broker knows it.
pub(crate) struct Handle {
    pub(crate) id: ResolutionId,
    pub(crate) purpose: Purpose,
    made: Instant,
    life: Duration,
    idle: Duration,
    /// Milliseconds from its making to its last use.
    moved: AtomicU64,
    left: AtomicU32,
    misses: AtomicU32,
    ended: OnceLock<(Ended, Instant)>,
    dead: CancellationToken,
    /// Which fields went to which origin: an answer from there is searched for all of them.
    lent: Mutex<BTreeMap<Origin, BTreeSet<FieldName>>>,
    /// What counts its tool's spec, once it is in the table.
    pub(super) pin: OnceLock<Pin>,
}

impl Handle {
    pub(crate) fn new(id: ResolutionId, purpose: Purpose, terms: Terms, now: Instant) -> Self {
        let life = terms.life.min(MAX_LIFE);
        Self {
            id,
            purpose,
            made: now,
            life,
            idle: life.min(MAX_IDLE),
            moved: AtomicU64::new(0),
            left: AtomicU32::new(terms.uses.min(MAX_USES)),
            misses: AtomicU32::new(0),
            ended: OnceLock::new(),
            dead: CancellationToken::new(),
            lent: Mutex::default(),
            pin: OnceLock::new(),
        }
    }

    /// When it ends at the latest.
    pub(crate) fn ends(&self) -> Instant {
        self.made + self.life
    }

    /// How often it may still be used.
    pub(crate) fn uses_left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether nobody can use it any more.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.check(now).is_err()
    }

    /// Since when nobody can use it any more; `None` as long as somebody can.
    pub(crate) fn over_since(&self, now: Instant) -> Option<Instant> {
        let used = self.made + Duration::from_millis(self.moved.load(Ordering::Relaxed));
        let since = match self.check(now).err()? {
            HandleFault::Spent => used,
            HandleFault::Expired => self.ends().min(used + self.idle),
            HandleFault::Dead(_) | HandleFault::Unknown => self.ended.get().map_or(now, |it| it.1),
        };
        Some(since)
    }

    /// Whether it could be used now.
    pub(crate) fn check(&self, now: Instant) -> Result<(), HandleFault> {
        if let Some((ended, _)) = self.ended.get() {
            return Err(HandleFault::Dead(*ended));
        }
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        let age = now.saturating_duration_since(self.made);
        if age >= self.life || age.saturating_sub(moved) >= self.idle {
            return Err(HandleFault::Expired);
        }
        if self.left.load(Ordering::Relaxed) == 0 {
            return Err(HandleFault::Spent);
        }
        Ok(())
    }

    /// Takes one use. Of many who try at once, as many succeed as there are uses.
    pub(crate) fn spend(&self, now: Instant) -> Result<(), HandleFault> {
        self.check(now)?;
        let take = |left: u32| left.checked_sub(1);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let taken = self.left.fetch_update(set, fetch, take);
        taken.map_err(|_| HandleFault::Spent)?;
        let age = now.saturating_duration_since(self.made).as_millis();
        let age = u64::try_from(age).unwrap_or(u64::MAX);
        self.moved.fetch_max(age, Ordering::Relaxed);
        Ok(())
    }

    /// Gives one use back that came to nothing.
    pub(crate) fn give_back(&self) {
        self.left.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends it now, and every exchange that runs with it.
    pub(crate) fn end(&self, why: Ended) {
        self.ended.get_or_init(|| (why, Instant::now()));
        self.dead.cancel();
    }

    /// Completes when it ends before its time.
    pub(crate) fn ending(&self) -> CancellationToken {
        self.dead.clone()
    }

    /// Counts a placeholder that is not its own.
    pub(crate) fn missed(&self) {
        if self.misses.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_MISSES {
            self.end(Ended::Guessing);
        }
    }

    /// Notes that `fields` go to `origin`. Answers all that went there so far.
    pub(crate) fn lend(
        &self,
        origin: &Origin,
        fields: impl Iterator<Item = FieldName>,
    ) -> BTreeSet<FieldName> {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let there = lent.entry(origin.clone()).or_default();
        there.extend(fields);
        there.clone()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.id)
    }
}
