//! What callers hand to the writer's threads, and when it is worth waking one for it.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::StoreError;
use super::writer::Order;

/// While a group is on its way to the disk, so many orders are worth waking whoever gathers the next one.
const WORTH: usize = 16;

/// Orders in the order that they came in.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    orders: VecDeque<Order>,
    closed: bool,
    /// Whether a group is on its way to the disk.
    writing: bool,
    sleeper: Sleeper,
}

/// What the thread that gathers waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleeper {
    /// It does not sleep: waking it would be a system call for nothing.
    #[default]
    Nobody,
    /// For any order.
    First,
    /// For several, or for the disk.
    More,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here is left half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an order. Never waits.
    ///
    /// # Errors
    /// [`StoreError::Closed`] once it is.
    pub(super) fn push(&self, order: Order) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(StoreError::Closed);
        }
        inner.orders.push_back(order);
        let is_due = match inner.sleeper {
            Sleeper::Nobody => false,
            Sleeper::First => true,
            Sleeper::More => inner.orders.len() >= WORTH,
        };
        self.wake(inner, is_due);
        Ok(())
    }

    /// Takes no more orders. Those that are there are still served.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        self.wake(inner, true);
    }

    fn wake(&self, mut inner: MutexGuard<'_, Inner>, is_due: bool) {
        if !is_due || inner.sleeper == Sleeper::Nobody {
            return;
        }
        inner.sleeper = Sleeper::Nobody;
        drop(inner);
        self.woken.notify_all();
    }

    fn sleep<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
        sleeper: Sleeper,
    ) -> MutexGuard<'a, Inner> {
        inner.sleeper = sleeper;
        let mut inner = self
            .woken
            .wait(inner)
            .unwrap_or_else(PoisonError::into_inner);
        inner.sleeper = Sleeper::Nobody;
        inner
    }

    /// The first order. Waits for one; `None` once the queue is closed and empty.
    pub(super) fn first(&self) -> Option<Order> {
        let mut inner = self.lock();
        loop {
            match inner.orders.pop_front() {
                None if inner.closed => return None,
                None => inner = self.sleep(inner, Sleeper::First),
                order => return order,
            }
        }
    }

    /// The first order, if there is one.
    pub(super) fn next(&self) -> Option<Order> {
        self.lock().orders.pop_front()
    }

    /// All that is there. Waits for some, as long as a group is on its way to the disk; nothing when none is.
    pub(super) fn more(&self) -> VecDeque<Order> {
        let mut inner = self.lock();
        while inner.orders.is_empty() && inner.writing && !inner.closed {
            inner = self.sleep(inner, Sleeper::More);
        }
        mem::take(&mut inner.orders)
    }

    /// Takes no more orders, and serves none of those that are there: who waits for them hears so.
    pub(super) fn abandon(&self) {
        let mut inner = self.lock();
        (inner.closed, inner.writing) = (true, false);
        let orders = mem::take(&mut inner.orders);
        self.wake(inner, true);
        drop(orders);
    }

    /// Whether a group is on its way to the disk.
    pub(super) fn is_writing(&self) -> bool {
        self.lock().writing
    }

    /// A group is on its way to the disk, or none is any more.
    pub(super) fn writing(&self, is_so: bool) {
        let mut inner = self.lock();
        inner.writing = is_so;
        let waits = inner.sleeper == Sleeper::More;
        self.wake(inner, waits && !is_so);
    }
}
