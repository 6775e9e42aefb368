//! The commit writer's threads, as those see them who hand them work; and their end.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::StoreError;
use super::committer::Turns;
use super::error::Doing;
use super::queue::Queue;
use super::writer::{Health, Order, Shared};

/// The threads, until they have ended.
#[derive(Debug)]
pub(super) struct WriterThreads {
    stage: Mutex<Stage>,
    ended: Condvar,
}

#[derive(Debug)]
enum Stage {
    Serving {
        queue: Arc<Queue>,
        threads: [JoinHandle<()>; 2],
    },
    /// They serve what has queued.
    Ending,
    Ended,
}

impl WriterThreads {
    /// Has two threads take turns.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn begin(turns: Turns, queue: Arc<Queue>) -> Result<Self, StoreError> {
        let turns = Arc::new(turns);
        let begin = |name: &str| {
            let turns = Arc::clone(&turns);
            let thread = thread::Builder::new().name(name.into());
            let thread = thread.spawn(move || turns.run());
            thread.doing("starting the commit writer")
        };
        let one = begin("store-commit-1")?;
        let threads = match begin("store-commit-2") {
            Ok(other) => [one, other],
            Err(error) => {
                // One alone ends, and with it whoever has the engine's files.
                queue.close();
                one.join().unwrap_or_default();
                return Err(error);
            }
        };
        Ok(Self {
            stage: Mutex::new(Stage::Serving { queue, threads }),
            ended: Condvar::new(),
        })
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands them work. Never waits.
    pub(super) fn send(&self, order: Order) -> Result<(), StoreError> {
        match &*self.stage() {
            Stage::Serving { queue, .. } => queue.push(order),
            Stage::Ending | Stage::Ended => Err(StoreError::Closed),
        }
    }

    /// Has them serve what has queued and end; waits until they have, whoever else has asked for it.
    pub(super) fn end(&self, shared: &Shared) {
        let mut stage = self.stage();
        if matches!(*stage, Stage::Serving { .. }) {
            let serving = mem::replace(&mut *stage, Stage::Ending);
            // Not held while the disk takes its time: tasks that hand them work look at it.
            drop(stage);
            if let Stage::Serving { queue, threads } = serving {
                queue.close();
                // Both of them, whatever became of the first.
                let ended = threads.map(|thread| thread.join().is_ok());
                shared.end(match ended {
                    [true, true] => Health::Closed,
                    _ => Health::Failed,
                });
            }
            *self.stage() = Stage::Ended;
            self.ended.notify_all();
            return;
        }
        while matches!(*stage, Stage::Ending) {
            stage = self
                .ended
                .wait(stage)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
