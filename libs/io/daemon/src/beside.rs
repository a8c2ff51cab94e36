//! Work that takes too long for the event loop of a daemon, on threads beside it.

use std::{num::NonZeroUsize, sync::LazyLock};

use tokio::{sync::Semaphore, task};

/// Does this on a thread beside, as soon as fewer such works are being done than there are processors.
pub async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    static PROCESSORS: LazyLock<Semaphore> =
        LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get)));
    on_a_thread(&PROCESSORS, work).await
}

/// Does this on one thread more, one after the other: for what takes so long that no other work should wait for it.
pub async fn one_by_one<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    static ONE: Semaphore = Semaphore::const_new(1);
    on_a_thread(&ONE, work).await
}

async fn on_a_thread<T: Send + 'static>(
    threads: &'static Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    // It is never closed.
    let _one = threads.acquire().await;
    match task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process stops: nobody waits for an answer any more.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn works_go_on_side_by_side_and_long_ones_hold_up_no_others() {
        let (done, waits) = mpsc::channel::<u8>();
        let long = task::spawn(one_by_one(move || waits.recv()));
        // Finished by another, or never.
        let other = beside(move || done.send(7).is_ok()).await;
        assert!(other && long.await.is_ok_and(|received| received == Ok(7)));
    }

    #[tokio::test]
    async fn a_work_that_panics_is_not_taken_for_done() {
        let failed = task::spawn(beside(|| if true { panic!("broken") } else { 1 })).await;
        assert!(failed.is_err_and(|error| error.is_panic()));
    }
}
