//! Replacing keys while everybody is served.
//!
//! ```text
//! prepare   a new generation is drawn, sealed under its parent, and made the active one: one commit for each key
//!           from here on everything new is sealed under it, and both open
//! (drain)   what the old one sealed, and is still on its way to disk, is waited for
//! rewrap    page by page, what the old one sealed is sealed anew; the place of the walk is in the same commit
//! verify    the same walk once more finds nothing that the old one sealed; else rewrap again
//! retire    the old one is destroyed: what is left of it is its number and a fingerprint
//! ```
//!
//! There is no moment at which something exists in one generation only that is about to go: the old one is
//! there until a scan has found nothing of it. One phase is over, durably, before the next begins, and each
//! can be done again: so a kill at any instruction costs the page that was at hand.
//!
//! A record that somebody changes while it is rewrapped is theirs: it is under the new generation by then,
//! and stays. Who read one before it was rewrapped and expects to find it finds it (see
//! [`Batch::rewrap`](crate::store::Batch::rewrap)).
//!
//! One rotation at a time for each organisation. It is written down ([`job`]) and gone on with after every
//! start, unless somebody paused it.
//!
//! The installation's own keys go the same way without the paper, each in its file: [`root`], [`journal`] (it hands
//! over in the chain), [`state`], [`index`] (a veil over the names, by a copy of the store).

mod epoch;
mod index;
mod job;
mod journal;
mod rewrap;
mod root;
mod run;
mod state;
mod turn;
mod walk;

#[cfg(test)]
mod tests_journal;
#[cfg(test)]
mod tests_root;
#[cfg(test)]
mod tests_rotation;
#[cfg(test)]
mod tests_state;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Owner, sha256};
use crate::id::{ObjectId, OrgId};
use crate::policy::{OperateVault, Permit, RotateKeys};
use crate::store::{Batch, Expect, JournalMark};

use job::Job;
pub use job::{Phase, Turned};
pub(super) use walk::lists;

use super::{Vault, VaultError};

/// How often it is looked whether the work has stopped.
const LOOK: Duration = Duration::from_millis(5);

/// What may be shown of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Its id.
    pub id: ObjectId,
    /// Which keys it replaces.
    pub what: Turned,
    /// How far it has come.
    pub phase: Phase,
    /// Whether somebody paused it.
    pub paused: bool,
    /// How many records this phase has looked at.
    pub done: u64,
    /// About how many there are; 0 while that is not known.
    pub total: u64,
    /// When it began.
    pub started: Timestamp,
    /// When it had ended.
    pub finished: Option<Timestamp>,
    /// Why it does not come on, in a code.
    pub trouble: Option<&'static str>,
}

/// How far the work has come, and the wish that it stops.
#[derive(Debug, Default)]
struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

/// What is known of an organisation's rotation.
#[derive(Debug)]
struct Known {
    /// As it was last written down.
    job: Job,
    /// Where the journal says that somebody wants it; not known after a start.
    wanted: Option<JournalMark>,
    progress: Arc<Progress>,
    running: bool,
    trouble: Option<&'static str>,
}

impl Known {
    fn new(job: Job, wanted: Option<JournalMark>) -> Self {
        Self {
            job,
            wanted,
            progress: Arc::default(),
            running: false,
            trouble: None,
        }
    }

    fn shown(&self) -> Rotation {
        let job = &self.job;
        let done = self.progress.done.load(Ordering::Relaxed).max(job.done);
        Rotation {
            id: job.id,
            what: job.what,
            phase: job.phase,
            paused: job.paused,
            done,
            total: self.progress.total.load(Ordering::Relaxed).max(done),
            started: job.started,
            finished: job.finished,
            trouble: self.trouble.filter(|_| !job.is_over()),
        }
    }
}

/// The rotations of a vault.
#[derive(Debug, Default)]
pub(super) struct Rotations {
    known: Mutex<HashMap<OrgId, Known>>,
    /// Held by whoever begins, pauses or resumes one.
    changing: tokio::sync::Mutex<()>,
    /// Held from the drawing of a veil until its files are the store's: meanwhile nothing says that it is needed.
    veiling: tokio::sync::Mutex<()>,
}

impl Rotations {
    fn lock(&self) -> MutexGuard<'_, HashMap<OrgId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(&self, org: OrgId, read: impl FnOnce(&mut Known) -> R) -> Option<R> {
        self.lock().get_mut(&org).map(read)
    }
}

impl Vault {
    /// Reads what is written down of rotations, at unsealing.
    pub(super) async fn load_rotations(&self) -> Result<(), VaultError> {
        for org in self.org_ids() {
            if let Some((job, _)) = self.read_job(org).await? {
                self.rotations.lock().insert(org, Known::new(job, None));
            }
        }
        Ok(())
    }

    /// Begins a rotation of the keys of the caller's organisation. It is done by whoever
    /// [runs](Vault::run_rotation) what is due.
    ///
    /// # Errors
    /// [`VaultError::Rotating`] when one is not over; [`VaultError::NotFound`] for an owner who has no key.
    pub async fn begin_rotation(
        &self,
        permit: &Permit<RotateKeys>,
        what: Turned,
        recorded: &Recorded,
    ) -> Result<Rotation, VaultError> {
        let org = permit.principal().org();
        self.begin_rotation_in(org, what, recorded).await
    }

    /// The same in whichever organisation, for whoever runs this installation.
    ///
    /// # Errors
    /// As [`Vault::begin_rotation`].
    pub async fn begin_rotation_of(
        &self,
        _permit: &Permit<OperateVault>,
        org: OrgId,
        what: Turned,
        recorded: &Recorded,
    ) -> Result<Rotation, VaultError> {
        self.begin_rotation_in(org, what, recorded).await
    }

    async fn begin_rotation_in(
        &self,
        org: OrgId,
        what: Turned,
        recorded: &Recorded,
    ) -> Result<Rotation, VaultError> {
        let org = self.org(org)?;
        let _turn = self.rotations.changing.lock().await;
        if let Some(owner) = what.owner()
            && self.owner_key(&org, owner).await?.is_none()
        {
            return Err(VaultError::NotFound);
        }
        let old = self.read_job(org.id()).await?;
        // Whoever worked at the one before may still have to say that it is over.
        let running = self.rotations.with(org.id(), |known| known.running);
        if running == Some(true) || old.as_ref().is_some_and(|(job, _)| !job.is_over()) {
            return Err(VaultError::Rotating);
        }
        let id = ObjectId::from_random(self.random().bytes()?);
        let job = Job::new(id, what, self.now());
        let expected = old.map_or(Expect::Absent, |(_, digest)| Expect::Exactly(digest));
        self.write_job(org.id(), job, Some(expected), recorded)
            .await
    }

    /// Has the rotation of the caller's organisation wait until it is resumed.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when none is under way.
    pub async fn pause_rotation(
        &self,
        permit: &Permit<RotateKeys>,
        recorded: &Recorded,
    ) -> Result<Rotation, VaultError> {
        let org = permit.principal().org();
        let _turn = self.rotations.changing.lock().await;
        self.stop_rotation(org).await.ok_or(VaultError::NotFound)?;
        let (mut job, _) = self.read_job(org).await?.ok_or(VaultError::NotFound)?;
        if job.is_over() {
            self.rotations.with(org, |known| known.job = job);
            return Err(VaultError::NotFound);
        }
        job.paused = true;
        self.write_job(org, job, None, recorded).await
    }

    /// Nobody takes it up from here on; who has it gives it back after the page at hand. Nothing when there is none.
    async fn stop_rotation(&self, org: OrgId) -> Option<()> {
        let stop = |known: &mut Known| {
            known.job.paused = true;
            known.progress.stop.store(true, Ordering::Relaxed);
        };
        self.rotations.with(org, stop)?;
        while self.rotations.with(org, |known| known.running) == Some(true) {
            tokio::time::sleep(LOOK).await;
        }
        Some(())
    }

    /// Has nobody work at the keys of an organisation that is taken away, or begin to, until the turn is over.
    pub(super) async fn end_rotation_of(&self, org: OrgId) -> tokio::sync::MutexGuard<'_, ()> {
        let turn = self.rotations.changing.lock().await;
        self.stop_rotation(org).await.unwrap_or_default();
        turn
    }

    /// Forgets the rotation of an organisation that is gone.
    pub(super) fn forget_rotation_of(&self, org: OrgId) {
        self.rotations.lock().remove(&org);
    }

    /// Goes on with the rotation of the caller's organisation.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when none is under way.
    pub async fn resume_rotation(
        &self,
        permit: &Permit<RotateKeys>,
        recorded: &Recorded,
    ) -> Result<Rotation, VaultError> {
        let org = permit.principal().org();
        let _turn = self.rotations.changing.lock().await;
        let (mut job, _) = self.read_job(org).await?.ok_or(VaultError::NotFound)?;
        if job.is_over() {
            return Err(VaultError::NotFound);
        }
        // One that was to be paused and could not be written down so is paused here all the same.
        let stopped = self.rotations.with(org, |known| known.job.paused);
        if !job.paused && stopped != Some(true) {
            return self.rotation(permit).ok_or(VaultError::NotFound);
        }
        job.paused = false;
        self.write_job(org, job, None, recorded).await
    }

    /// The rotation of the caller's organisation that is under way, or the last one.
    #[must_use]
    pub fn rotation(&self, permit: &Permit<RotateKeys>) -> Option<Rotation> {
        let org = permit.principal().org();
        self.rotations.with(org, |known| known.shown())
    }

    /// The same of whichever organisation, for whoever runs this installation.
    #[must_use]
    pub fn rotation_of(&self, _permit: &Permit<OperateVault>, org: OrgId) -> Option<Rotation> {
        self.rotations.with(org, |known| known.shown())
    }

    /// The organisations with a rotation that is to be gone on with.
    #[must_use]
    pub fn rotations_due(&self) -> Vec<OrgId> {
        let known = self.rotations.lock();
        let due = |known: &Known| !known.job.is_over() && !known.job.paused && !known.running;
        let due = known.iter().filter(|(_, known)| due(known));
        due.map(|(org, _)| *org).collect()
    }

    /// Says why a rotation does not come on.
    pub fn note_rotation_trouble(&self, org: OrgId, code: &'static str) {
        self.rotations.with(org, |known| known.trouble = Some(code));
    }

    async fn read_job(&self, org: OrgId) -> Result<Option<(Job, [u8; 32])>, VaultError> {
        let place = self.job_place(org);
        let Some(record) = self.store.get(&place).await? else {
            return Ok(None);
        };
        let job = self.open_state(self.system_key(), org, Owner::SYSTEM, &place, &record)?;
        Ok(Some((job, sha256(record.as_bytes()))))
    }

    /// Puts `job` into `batch`.
    fn put_job(&self, org: OrgId, job: &Job, batch: &mut Batch) -> Result<(), VaultError> {
        let place = self.job_place(org);
        let record = self.seal_state(self.system_key(), org, Owner::SYSTEM, &place, job)?;
        batch.put(place, record);
        Ok(())
    }

    /// Writes down what somebody wants of a rotation that nobody works at.
    async fn write_job(
        &self,
        org: OrgId,
        job: Job,
        expected: Option<Expect>,
        recorded: &Recorded,
    ) -> Result<Rotation, VaultError> {
        let mut batch = Batch::new();
        if let Some(expected) = expected {
            batch.expect(self.job_place(org), expected);
        }
        self.put_job(org, &job, &mut batch)?;
        self.commit(batch, recorded).await?;
        let head = recorded.head();
        let known = Known::new(job, Some(JournalMark::new(head.seq, head.hash)));
        let shown = known.shown();
        self.rotations.lock().insert(org, known);
        Ok(shown)
    }
}
