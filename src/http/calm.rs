//! Long work that gives way: on a thread of its own, which the system runs when no request wants to be.

use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How much the thread gives way (nice, -20 to 19): it gets a tenth of a processor that others want too.
const NICE: i32 = 10;

/// Does `work` there. `None` when there is no thread to be had, or it panicked.
pub(super) async fn calmly<T, W>(name: &str, work: W) -> Option<T>
where
    T: Send + 'static,
    W: AsyncFnOnce() -> T + Send + 'static,
{
    let (runtime, (tell, told)) = (Handle::current(), oneshot::channel());
    let run = move || {
        // On Linux a thread has a priority of its own. Where it cannot be lowered, the work is done all the same.
        let thread = rustix::thread::gettid();
        rustix::process::setpriority_process(Some(thread), NICE).unwrap_or_default();
        // Whoever waited may have gone.
        drop(tell.send(runtime.block_on(work())));
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .ok()?;
    told.await.ok()
}

#[cfg(test)]
mod tests {
    use super::{NICE, calmly};

    /// What the kernel says of the calling thread (proc(5): the 19th field, after the name in brackets).
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields = stat.rsplit(')').next().unwrap();
        fields.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn the_thread_gives_way_and_no_other_does() {
        let before = nice();
        let there = calmly("calm", async || nice()).await;
        assert_eq!((there, nice()), (Some(before.max(NICE)), before));
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let answer = calmly("calm", async || u8::try_from(300).unwrap()).await;
        assert_eq!(answer, None);
    }
}
