//! From an unsealed vault back to files.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Lifecycle;

/// How long closing store and journal is waited for, where somebody waits for the answer.
const CLOSING: Duration = Duration::from_secs(5);
/// How often it is looked whether everybody has left.
const LOOK: Duration = Duration::from_millis(5);

impl Lifecycle {
    /// Seals: nobody new gets in, those inside are called out and have `patience` to leave, then store and
    /// journal are closed and the keys are wiped. Answers whether everybody had left: if not, the keys are
    /// wiped when the last one does. So it is answered, too, where the disk does not let store and journal be closed
    /// within five seconds: nobody gets in, and it goes on beside. Whoever asked for it and goes away does not stop it.
    pub async fn seal(self: &Arc<Self>, patience: Duration) -> bool {
        self.seal_within(patience, CLOSING).await
    }

    /// The same where closing may take another time.
    pub async fn seal_within(self: &Arc<Self>, patience: Duration, within: Duration) -> bool {
        let this = Arc::clone(self);
        let sealing = tokio::spawn(async move { this.seal_in_turn(patience).await });
        let sealed = tokio::time::timeout(patience.saturating_add(within), sealing);
        matches!(sealed.await, Ok(Ok(true)))
    }

    async fn seal_in_turn(&self, patience: Duration) -> bool {
        self.forget_shares();
        // Whoever unseals waits until all is closed. The store's writer serves what has queued before it ends, and
        // a second store, opened over the same engine meanwhile, would have counted without that.
        let _turn = self.opening.lock().await;
        let Some(vault) = self.gate.close() else {
            return true;
        };
        // What was lent in the last moment before that.
        self.forget_shares();
        let end = Instant::now() + patience;
        let emptied = loop {
            if Arc::strong_count(&vault) == 1 {
                break true;
            }
            if Instant::now() >= end {
                break false;
            }
            tokio::time::sleep(LOOK).await;
        };
        let closed = tokio::task::spawn_blocking(move || {
            // The store first: what its last commits came to can still be told to the journal.
            vault.store.close();
            vault.journal.close();
        });
        let closed = closed.await.is_ok();
        self.forget_veil();
        closed && emptied
    }

    /// Wipes the key that names on disk are under: the engine stays open. Nobody may have the store open.
    pub(super) fn forget_veil(&self) {
        if let Some(disk) = self.engine.disk() {
            disk.lower();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::audit::{Action, Actor, Event};
    use crate::clock::SystemClock;
    use crate::id::OrgId;
    use crate::store::{Batch, Faulty, JournalMark};
    use crate::vault::tests_rig::opened;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_seals_over_a_disk_that_does_not_answer_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(Faulty::default());
        let shared = Arc::<Faulty>::clone(&engine);
        let (lifecycle, vault) = opened(&folder, shared, Arc::new(SystemClock)).await;
        let (store, mut batch) = (vault.store().clone(), Batch::new());
        vault
            .draw_org_keys(OrgId::from_bytes([7; 16]), &mut batch)
            .unwrap();
        engine.hold();
        let submitted = store.submit(batch, store.journal_mark()).unwrap();
        while !engine.is_waiting() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop(vault);
        let sealing = lifecycle.seal(Duration::ZERO);
        let emptied = tokio::time::timeout(Duration::from_secs(20), sealing).await;
        assert_eq!(emptied, Ok(false));
        assert!(lifecycle.gate().is_sealed());
        engine.free();
        submitted.done().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_unseals_waits_for_what_the_store_still_writes() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(Faulty::default());
        let shared = Arc::<Faulty>::clone(&engine);
        let (lifecycle, vault) = opened(&folder, shared, Arc::new(SystemClock)).await;
        let event = Event::new(Action::SecretSet, Actor::System);
        let recorded = vault.journal().record(event).await.unwrap();
        let (org, mut batch) = (OrgId::from_bytes([7; 16]), Batch::new());
        vault.draw_org_keys(org, &mut batch).unwrap();
        let head = recorded.head();
        let mark = JournalMark::new(head.seq, head.hash);
        engine.hold();
        let submitted = vault.store().submit(batch, mark).unwrap();
        while !engine.is_waiting() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop(vault);
        let sealed = Arc::clone(&lifecycle);
        let sealing = tokio::spawn(async move { sealed.seal(Duration::from_secs(5)).await });
        while !lifecycle.gate().is_sealed() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let opened = Arc::clone(&lifecycle);
        let opening = tokio::spawn(async move { opened.unseal_by_custodians().await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let early = [sealing.is_finished(), opening.is_finished()];
        engine.free();
        assert_eq!(early, [false, false]);
        assert!(sealing.await.unwrap());
        let generation = submitted.done().await.unwrap();
        recorded.is_all();
        let vault = opening.await.unwrap().unwrap();
        assert_eq!(vault.store().generation(), generation);
        assert!(vault.org(org).is_ok(), "and finds it");
    }
}
