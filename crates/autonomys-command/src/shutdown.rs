//! The one way to stop a process: the first SIGTERM or SIGINT drains, the second stops at once.

use anyhow::{Context, Result};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was told twice to stop, as shells report a death by SIGTERM.
const STOPPED_AT_ONCE: i32 = 143;

/// A role that was told to stop gets this long to hand back what it holds: what it cannot (NATS is away, say) comes back by its lease.
const STOP_WITHIN: Duration = Duration::from_secs(8);
/// Work on threads (a proof, an audit, a sync of a disk) is left alone after this much more; every file can be cut off anywhere.
const THREADS_WITHIN: Duration = Duration::from_secs(1);

/// Runs `role` on a runtime of its own until it ends, but not for long once it was told to stop.
pub fn run_until_stopped<F: Future<Output = Result<()>>>(
    role: impl FnOnce(CancellationToken) -> F,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let outcome = runtime.block_on(async {
        let cancel = token_on_signal()?;
        end_in_time(role(cancel.clone()), &cancel, STOP_WITHIN).await
    });
    runtime.shutdown_timeout(THREADS_WITHIN);
    outcome
}

async fn end_in_time(
    role: impl Future<Output = Result<()>>,
    cancel: &CancellationToken,
    within: Duration,
) -> Result<()> {
    let overdue = async {
        cancel.cancelled().await;
        tokio::time::sleep(within).await;
    };
    tokio::select! {
        outcome = role => outcome,
        () = overdue => {
            tracing::warn!("stopped without finishing everything in {within:?}; what was held comes back by its lease");
            Ok(())
        }
    }
}

/// Cancels the returned token at the first signal; the second ends the process.
pub fn token_on_signal() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping: finishing what is held, a second signal stops at once");
        cancelled.cancel();
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("stopped at once by a second signal");
        std::process::exit(STOPPED_AT_ONCE);
    });
    Ok(token)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_role_that_does_not_end_is_left() {
        let cancel = CancellationToken::new();
        let soon = Duration::from_millis(10);
        let ended = end_in_time(async { anyhow::bail!("broken") }, &cancel, soon).await;
        assert_eq!(ended.expect_err("its own outcome").to_string(), "broken");
        cancel.cancel();
        end_in_time(std::future::pending(), &cancel, soon)
            .await
            .expect("left alone");
    }

    #[test]
    fn work_on_a_thread_does_not_hold_the_process() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        run_until_stopped(|_cancel| async move {
            tokio::task::spawn_blocking(move || wait.recv());
            Ok(())
        })
        .expect("ends");
        drop(go);
    }
}
