//! The work itself: phase by phase, page by page, until it is over, or stopped, or the vault is sealed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::audit::{Action, Actor, Event, Outcome, Recorded};
use crate::crypto::Owner;
use crate::failpoint::{Failpoint, reached};
use crate::id::OrgId;
use crate::store::{Batch, JournalMark, StoreError, Submitted};
use crate::vault::generations::Generations;
use crate::vault::{OrgKeys, Vault, VaultError};

use super::job::{Job, Phase, Turned};
use super::walk::{Page, Walk};
use super::{Known, Progress};

/// How many keys of owners are turned in one commit.
const KEYS: usize = 64;
/// How many bytes of records are rewrapped in one commit at most.
const BYTES: usize = 512 << 10;
/// How many commits are on their way at once: the writer finds the next one ready when it is done with one, and
/// whoever makes them ready need not wait for it each time.
const AHEAD: usize = 3;
/// How often the walk may find something left. More than once is a fault that a further round does not mend.
const ROUNDS: u32 = 3;
/// How often it is looked whether the old generations are drained.
const DRAIN: Duration = Duration::from_millis(2);

/// Who works at a rotation; when they go, somebody else may take it up.
struct Turn<'a> {
    vault: &'a Vault,
    org: Arc<OrgKeys>,
    job: Job,
    mark: JournalMark,
    progress: Arc<Progress>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let ended = |known: &mut Known| known.running &= known.job.id != self.job.id;
        self.vault.rotations.with(self.org.id(), ended);
    }
}

/// Commits that are on their way, in their order.
type Pending = VecDeque<Submitted>;

impl Vault {
    /// Works at an organisation's rotation until it is over or paused; answers whether it is over. `owners`
    /// lists whoever may own something in it. Nothing is done when somebody else works at it.
    ///
    /// # Errors
    /// When the store or the journal fails, or a record does not open: then nothing is lost, and it can be
    /// gone on with.
    pub async fn run_rotation(
        &self,
        org: OrgId,
        owners: impl AsyncFn() -> Result<Vec<Owner>, VaultError>,
    ) -> Result<bool, VaultError> {
        let keys = self.org(org)?;
        let claim = |known: &mut Known| {
            let free = !known.running && !known.job.paused && !known.job.is_over();
            known.running |= free;
            let taken = (known.job.clone(), known.wanted, Arc::clone(&known.progress));
            free.then_some(taken)
        };
        let Some((job, wanted, progress)) = self.rotations.with(org, claim).flatten() else {
            return Ok(false);
        };
        let mut turn = Turn {
            vault: self,
            org: keys,
            job,
            mark: self.store.journal_mark(),
            progress,
        };
        turn.mark = match wanted {
            Some(mark) => mark,
            // It was begun before this start.
            None => mark_of(&turn.recorded(Action::KeyRotateResume).await?),
        };
        // Said once, however often it has to be taken up.
        let said = Some(turn.mark);
        self.rotations.with(org, |known| known.wanted = said);
        turn.all(owners).await
    }
}

fn mark_of(recorded: &Recorded) -> JournalMark {
    let head = recorded.head();
    JournalMark::new(head.seq, head.hash)
}

impl Turn<'_> {
    fn stopped(&self) -> bool {
        self.progress.stop.load(Ordering::Relaxed)
    }

    async fn recorded(&self, action: Action) -> Result<Recorded, VaultError> {
        let event = Event::new(action, Actor::System)
            .org(self.org.id())
            .code(self.job.what.code())
            .store_generation(self.vault.store.generation());
        Ok(self.vault.journal.record(event).await?)
    }

    async fn all(
        &mut self,
        owners: impl AsyncFn() -> Result<Vec<Owner>, VaultError>,
    ) -> Result<bool, VaultError> {
        while !self.stopped() {
            match self.job.phase {
                Phase::Prepare => {
                    self.prepare(owners().await?).await?;
                    self.job.prepared();
                    self.save(Failpoint::RotatePrepared).await?;
                }
                Phase::Rewrap => {
                    self.drain(&owners().await?).await?;
                    // Listed after that: whoever came later has sealed nothing under an old generation.
                    if self.walk(&owners().await?, true).await?.is_some() {
                        self.job.rewrapped();
                        self.save(Failpoint::RotateRewrapped).await?;
                    }
                }
                Phase::Verify => {
                    if let Some(left) = self.walk(&owners().await?, false).await? {
                        self.job.verified(left);
                        self.save(Failpoint::RotateVerified).await?;
                        if left > 0 && self.job.rounds > ROUNDS {
                            return Err(VaultError::Stuck(left));
                        }
                    }
                }
                Phase::Retire => {
                    // What stands beside the store is in no scan of it.
                    let left = self.spooled(&owners().await?).await?;
                    if left > 0 {
                        return Err(VaultError::Stuck(left));
                    }
                    let recorded = self.recorded(Action::KeyRotateFinish).await?;
                    self.mark = mark_of(&recorded);
                    self.retire(&owners().await?).await?;
                    self.job.retired(self.vault.now());
                    self.save(Failpoint::RotateFinished).await?;
                    recorded.outcome(Outcome::success());
                }
                Phase::Finished => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Writes the job down, and tells whoever watches.
    async fn save(&mut self, place: Failpoint) -> Result<(), VaultError> {
        let mut batch = Batch::new();
        self.vault.put_job(self.org.id(), &self.job, &mut batch)?;
        self.commit(batch).await?;
        reached(place);
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        let mut job = self.job.clone();
        let done = job.done;
        self.vault.rotations.with(self.org.id(), |known| {
            if known.job.id != job.id {
                return;
            }
            // Whether it is paused is for others to say.
            job.paused = known.job.paused;
            // Who hears that it is over may begin another at once.
            known.running &= !job.is_over();
            known.job = job;
            known.trouble = None;
        });
        self.progress.done.store(done, Ordering::Relaxed);
    }

    async fn commit(&self, batch: Batch) -> Result<(), VaultError> {
        if !batch.is_empty() {
            self.vault.store.commit(batch, self.mark).await?;
        }
        Ok(())
    }

    /// Of these owners, those whose keys this rotation replaces.
    async fn turned(&self, owners: &[Owner]) -> Result<Vec<(Owner, Arc<Generations>)>, VaultError> {
        let one = self.job.what.owner();
        let owners = one.as_ref().map_or(owners, std::slice::from_ref);
        self.vault.keys_of(&self.org, owners).await
    }

    /// How many records in the spool an older generation sealed. One of another organisation's owner may be
    /// counted, since an owner's id is one everywhere: then this waits for longer than it had to.
    async fn spooled(&self, owners: &[Owner]) -> Result<u64, VaultError> {
        let turned = self.turned(owners).await?;
        let found = self.vault.spooled().await?;
        let records = found.iter().filter_map(|(_, records)| records.as_ref());
        let keys = records.flatten().filter_map(crate::crypto::Record::key);
        let old = keys.filter(|name| match self.job.what {
            Turned::Org => self.org.kek().is_older(*name),
            _ => turned.iter().any(|(_, keys)| keys.is_older(*name)),
        });
        Ok(u64::try_from(old.count()).unwrap_or(u64::MAX))
    }

    async fn prepare(&self, owners: Vec<Owner>) -> Result<(), VaultError> {
        reached(Failpoint::RotatePrepares);
        if self.job.what == Turned::Org {
            // Turned before a kill.
            if self.org.kek().is_turning() {
                return Ok(());
            }
            let mut batch = Batch::new();
            let key = self.vault.put_next_org_key(&self.org, &mut batch).await?;
            self.commit(batch).await?;
            reached(Failpoint::RotateTurned);
            self.org.kek().turn_to(key);
            return Ok(());
        }
        for owners in self.turned(&owners).await?.chunks(KEYS) {
            let (mut batch, mut turned) = (Batch::new(), Vec::new());
            for (owner, keys) in owners.iter().filter(|(_, keys)| !keys.is_turning()) {
                let vault = self.vault;
                let key = vault.put_next_owner_key(&self.org, *owner, &mut batch);
                turned.extend(key.await?.map(|key| (keys, key)));
            }
            self.commit(batch).await?;
            reached(Failpoint::RotateTurned);
            for (keys, key) in turned {
                keys.turn_to(key);
            }
        }
        Ok(())
    }

    /// Waits until nothing that an old generation sealed is on its way to disk.
    async fn drain(&self, owners: &[Owner]) -> Result<(), VaultError> {
        let turned = self.turned(owners).await?;
        let drained = || match self.job.what {
            Turned::Org => self.org.kek().is_drained(),
            _ => turned.iter().all(|(_, keys)| keys.is_drained()),
        };
        while !drained() && !self.stopped() {
            tokio::time::sleep(DRAIN).await;
        }
        Ok(())
    }

    /// Goes through what the keys sealed, and answers how many records an old generation had sealed; nothing
    /// when it was stopped before the end.
    async fn walk(&mut self, owners: &[Owner], rewraps: bool) -> Result<Option<u64>, VaultError> {
        let mut pending = Pending::new();
        let walked = self.walk_on(owners, rewraps, &mut pending).await;
        // Whatever became of it: nothing is on its way any more when somebody else may take it up, or pause it.
        let mut ended = Ok(());
        while !pending.is_empty() {
            ended = ended.and(finished(&mut pending, 0).await);
        }
        walked.and_then(|left| ended.map(|()| left))
    }

    async fn walk_on(
        &mut self,
        owners: &[Owner],
        rewraps: bool,
        pending: &mut Pending,
    ) -> Result<Option<u64>, VaultError> {
        let (vault, org) = (self.vault, Arc::clone(&self.org));
        let mut walk = if self.job.what == Turned::Org {
            Walk::of_org(vault, &org, owners.to_vec())
        } else {
            let turned = self.turned(owners).await?.into_iter();
            let turned = turned.filter(|(_, keys)| keys.is_turning());
            Walk::of_owners(vault, &org, turned.collect())
        };
        // Verifying looks at what was rewrapped just now.
        if self.progress.total.load(Ordering::Relaxed) == 0 {
            let total = walk.estimate().await?;
            self.progress.total.store(total, Ordering::Relaxed);
        }
        let (mut left, mut since) = (0_u64, 0_u64);
        walk.go_on_from(self.job.cursor()?.filter(|_| rewraps));
        loop {
            let page = match walk.page().await {
                // Names stand in another order: what comes after this place in the old one cannot be told.
                Err(VaultError::Store(StoreError::Moved)) => {
                    self.job.begin_again();
                    (left, since) = (0, 0);
                    walk.go_on_from(None);
                    continue;
                }
                page => page?,
            };
            let Some(page) = page else { break };
            let found = u64::try_from(page.changes.len()).unwrap_or(u64::MAX);
            left = left.saturating_add(found).saturating_add(page.stuck);
            since = since.saturating_add(page.visited);
            if let Some(reached) = &page.reached {
                self.job.walked(reached, since);
                since = 0;
            }
            let done = self.job.done.saturating_add(since);
            if rewraps {
                self.write(page, pending).await?;
            }
            self.progress.done.store(done, Ordering::Relaxed);
            if self.stopped() {
                return Ok(None);
            }
            // Whoever waits for this thread comes first.
            tokio::task::yield_now().await;
        }
        Ok(Some(left))
    }

    /// Commits a page, and the place that the walk has come to with it, while the next one is made ready.
    async fn write(&mut self, page: Page, pending: &mut Pending) -> Result<(), VaultError> {
        let mut batch = Batch::new();
        let mut bytes = 0;
        for (place, old, new) in page.changes {
            let length = new.as_bytes().len();
            if bytes > 0 && bytes + length > BYTES {
                self.send(std::mem::take(&mut batch), pending).await?;
                bytes = 0;
            }
            batch.rewrap(place, old, new);
            bytes += length;
        }
        if page.reached.is_some() && !batch.is_empty() {
            self.vault.put_job(self.org.id(), &self.job, &mut batch)?;
        }
        self.send(batch, pending).await?;
        if page.reached.is_some() {
            self.tell();
        }
        Ok(())
    }

    /// Begins a commit, once there are few enough on their way.
    async fn send(&self, batch: Batch, pending: &mut Pending) -> Result<(), VaultError> {
        if batch.is_empty() {
            return Ok(());
        }
        finished(pending, AHEAD - 1).await?;
        reached(Failpoint::RotatePage);
        pending.push_back(self.vault.store.submit(batch, self.mark)?);
        Ok(())
    }

    async fn retire(&self, owners: &[Owner]) -> Result<(), VaultError> {
        reached(Failpoint::RotateRetires);
        if self.job.what == Turned::Org {
            if self.org.kek().is_turning() {
                let mut batch = Batch::new();
                let vault = self.vault;
                vault.put_retired_org_key(&self.org, &mut batch).await?;
                self.commit(batch).await?;
                reached(Failpoint::RotateRetired);
                self.org.kek().retire();
            }
            return Ok(());
        }
        for owners in self.turned(owners).await?.chunks(KEYS) {
            let (mut batch, mut retired) = (Batch::new(), Vec::new());
            for (owner, keys) in owners.iter().filter(|(_, keys)| keys.is_turning()) {
                let vault = self.vault;
                let put = vault.put_retired_owner_key(&self.org, *owner, &mut batch);
                put.await?;
                retired.push(keys);
            }
            self.commit(batch).await?;
            reached(Failpoint::RotateRetired);
            for keys in retired {
                keys.retire();
            }
        }
        Ok(())
    }
}

/// Waits until no more than `few` commits are on their way.
async fn finished(pending: &mut Pending, few: usize) -> Result<(), VaultError> {
    while pending.len() > few
        && let Some(first) = pending.pop_front()
    {
        first.done().await?;
        reached(Failpoint::RotatePaged);
    }
    Ok(())
}
