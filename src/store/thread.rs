//! The commit writer's thread, as those see it who hand it work; and its end.

use std::mem;
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::StoreError;
use super::writer::{Health, Order, Shared};

/// The thread, until it has ended.
#[derive(Debug)]
pub(super) struct WriterThread {
    stage: Mutex<Stage>,
    ended: Condvar,
}

#[derive(Debug)]
enum Stage {
    Serving {
        queue: Sender<Order>,
        thread: JoinHandle<()>,
    },
    /// It serves what has queued.
    Ending,
    Ended,
}

impl WriterThread {
    pub(super) const fn new(queue: Sender<Order>, thread: JoinHandle<()>) -> Self {
        Self {
            stage: Mutex::new(Stage::Serving { queue, thread }),
            ended: Condvar::new(),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands it work. Never waits.
    pub(super) fn send(&self, order: Order) -> Result<(), StoreError> {
        match &*self.stage() {
            Stage::Serving { queue, .. } => queue.send(order).map_err(|_| StoreError::Failed),
            Stage::Ending | Stage::Ended => Err(StoreError::Closed),
        }
    }

    /// Has it serve what has queued and end; waits until it has, whoever else has asked for it.
    pub(super) fn end(&self, shared: &Shared) {
        let mut stage = self.stage();
        if matches!(*stage, Stage::Serving { .. }) {
            let serving = mem::replace(&mut *stage, Stage::Ending);
            // Not held while the disk takes its time: tasks that hand it work look at it.
            drop(stage);
            if let Stage::Serving { queue, thread } = serving {
                drop(queue);
                shared.end(match thread.join() {
                    Ok(()) => Health::Closed,
                    Err(_) => Health::Failed,
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
