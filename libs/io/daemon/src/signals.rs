//! How a daemon is told to stop.

use std::io;

use nix::sys::signal::{SigSet, SigmaskHow};
use tokio::signal::unix::{SignalKind, signal};

/// Lets every signal through. Whoever started this process may have blocked some, and a child inherits that: it
/// could then not be asked to end. Call it before other threads start.
///
/// # Errors
/// If the operating system refuses.
pub fn unblock() -> io::Result<()> {
    SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    Ok(())
}

/// Returns when SIGTERM or SIGINT asks the daemon to end.
///
/// # Errors
/// If the signals cannot be watched.
pub async fn terminated() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // In a task of its own: a daemon's loop looks here before everything else that it does.
    let asked = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    });
    let name = asked.await.map_err(io::Error::other)?;
    tracing::info!("{name}: stopping");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    use super::*;

    #[tokio::test]
    async fn sigterm_ends_the_wait() {
        let mut wait = pin!(terminated());
        // The first poll puts the handler in place, so that the signal cannot end the test itself.
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(wait.as_mut().poll(&mut context), Poll::Pending));
        kill(Pid::this(), Signal::SIGTERM).unwrap();
        wait.await.unwrap();
    }
}
