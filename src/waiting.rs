//! Callers that wait together for one thread, and are woken together.
//!
//! The journal and the store each have a thread that makes the changes of many callers durable at once,
//! and then answers all of them. Waking a task from outside of its runtime is a system call, and a worker
//! that was woken for one task has done it and gone to sleep before the next is woken: one round of waking
//! and sleeping for each caller. So a group's answers are handed to a task of its own, which gives them
//! out from inside of the runtime, where its workers are awake.
//!
//! None of the callers was made to wake the others: one that is not looked at for a while, as in a
//! `select!` whose other branch is being done, would keep them all waiting. Nor does anybody depend on the
//! task: answers are given out when they are dropped, be it by a runtime that ends.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

/// The place where one caller's answer goes.
pub struct Reply<T> {
    answer: oneshot::Sender<T>,
    /// The caller's, if it has threads of its own that drive it.
    runtime: Option<Handle>,
}

/// One caller's wait for an answer.
pub struct Waiting<T>(oneshot::Receiver<T>);

/// A place for an answer, and the wait for it.
#[must_use]
pub fn pair<T>() -> (Reply<T>, Waiting<T>) {
    let (answer, waiting) = oneshot::channel();
    let runtime = Handle::try_current().ok();
    let driven = |runtime: &Handle| runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
    let runtime = runtime.filter(driven);
    (Reply { answer, runtime }, Waiting(waiting))
}

/// Answers that are given out when this is dropped.
struct Answers<T>(Vec<(Reply<T>, T)>);

impl<T> Drop for Answers<T> {
    fn drop(&mut self) {
        for (reply, answer) in self.0.drain(..) {
            reply.answer(answer);
        }
    }
}

/// For how long the thread has been at one group: whoever asks it that needs no answer of its.
#[derive(Debug, Default)]
pub struct AtWork(Mutex<Option<Instant>>);

/// The thread is at a group until this is dropped.
#[derive(Debug)]
pub struct Working<'a>(&'a AtWork);

impl AtWork {
    /// A group begins.
    pub fn begin(&self) -> Working<'_> {
        *self.lock() = Some(Instant::now());
        Working(self)
    }

    /// For how long it has been at this group; no time between two of them.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.began().map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Since when it has been at this group.
    #[must_use]
    pub fn began(&self) -> Option<Instant> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

/// Answers everybody of a group.
pub fn answer_all<T: Send + 'static>(answers: Vec<(Reply<T>, T)>) {
    let mut runtimes = answers
        .iter()
        .filter_map(|(reply, _)| reply.runtime.clone());
    let runtime = runtimes.next().filter(|_| answers.len() > 1);
    let answers = Answers(answers);
    match runtime {
        Some(runtime) => drop(runtime.spawn(async move { drop(answers) })),
        None => drop(answers),
    }
}

impl<T> Reply<T> {
    /// Whether nobody waits any more.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        self.answer.is_closed()
    }

    /// Answers one caller. Of one who has gone, the answer is dropped.
    pub fn answer(self, answer: T) {
        drop(self.answer.send(answer));
    }
}

impl<T> Waiting<T> {
    /// The answer; `None` when the thread ended without one.
    pub async fn answered(self) -> Option<T> {
        self.0.await.ok()
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

impl<T> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use tokio::runtime::{Builder, Runtime};

    use super::{Reply, Waiting, answer_all, pair};

    type Group = (Vec<(Reply<usize>, usize)>, Vec<Waiting<usize>>);

    fn group(count: usize) -> Group {
        let made = (0..count).map(|n| (n, pair()));
        made.map(|(n, (reply, waiting))| ((reply, n), waiting))
            .unzip()
    }

    fn runtimes() -> [Runtime; 2] {
        let many = Builder::new_multi_thread().worker_threads(2).build();
        let one = Builder::new_current_thread().build();
        [many.unwrap(), one.unwrap()]
    }

    /// From a thread of its own, as writers do.
    fn answer(answers: Vec<(Reply<usize>, usize)>) {
        std::thread::spawn(|| answer_all(answers)).join().unwrap();
    }

    #[test]
    fn everybody_hears_their_own_answer_whatever_the_order_they_look_in() {
        for runtime in runtimes() {
            runtime.block_on(async {
                for count in [0, 1, 2, 300] {
                    let (answers, waits) = group(count);
                    answer(answers);
                    for (n, waiting) in waits.into_iter().enumerate().rev() {
                        assert_eq!(waiting.answered().await, Some(n));
                    }
                    let (answers, waits) = group(count);
                    let waits: Vec<_> = waits
                        .into_iter()
                        .map(|waiting| tokio::spawn(waiting.answered()))
                        .collect();
                    answer(answers);
                    for (n, waiting) in waits.into_iter().enumerate() {
                        assert_eq!(waiting.await.unwrap(), Some(n));
                    }
                }
            });
        }
    }

    #[test]
    fn whoever_has_gone_or_never_looks_keeps_nobody_waiting() {
        for runtime in runtimes() {
            runtime.block_on(async {
                for idle in 0..4 {
                    for gone in [true, false] {
                        let (answers, mut waits) = group(4);
                        let mut idler = Some(waits.remove(idle));
                        if gone {
                            idler = None;
                        }
                        answer(answers);
                        for waiting in waits {
                            assert_ne!(waiting.answered().await.unwrap(), idle);
                        }
                        drop(idler);
                    }
                }
            });
        }
    }

    #[test]
    fn a_runtime_that_has_ended_keeps_nobody_of_another_waiting() {
        let [ended, other] = runtimes();
        let (mut answers, mut waits) = ended.block_on(async { group(2) });
        let (more, waiting) = other.block_on(async { group(2) });
        answers.extend(more);
        waits.extend(waiting);
        ended.shutdown_background();
        answer(answers);
        other.block_on(async {
            for waiting in waits {
                assert!(waiting.answered().await.is_some());
            }
        });
    }

    #[tokio::test]
    async fn a_reply_knows_whether_it_is_waited_for_and_a_wait_that_it_was_given_up() {
        let (reply, waiting) = pair::<()>();
        assert!(!reply.is_unheard());
        let mut answer = pin!(waiting.answered());
        assert!(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending())).await);
        drop(reply);
        assert_eq!(answer.await, None);
        let (reply, waiting) = pair::<()>();
        drop(waiting);
        assert!(reply.is_unheard());
    }
}
