//! Two-stage shutdown: the first signal drains (encoders first, then viewers), the second (or a deadline) ends.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Handed to every long-lived task. Clones share state.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    close: CancellationToken,
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A shutdown nobody has asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled by the first signal: stop accepting, ask encoders to reconnect, finish what is open.
    pub const fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    /// Cancelled when streams have ended and viewers have had the time to read so: close their connections.
    pub const fn close(&self) -> &CancellationToken {
        &self.close
    }

    /// Cancelled by the second signal or when draining took too long: drop everything.
    pub const fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// Spawns a task on `runtime` that [`Shutdown::finish`] waits for.
    pub fn spawn<F>(&self, runtime: &tokio::runtime::Handle, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn_on(task, runtime)
    }

    /// Begins draining.
    pub fn start_drain(&self) {
        self.drain.cancel();
    }

    /// Begins to let viewers go.
    pub fn start_close(&self) {
        self.close.cancel();
    }

    /// Waits until every tracked task is done, or until `deadline` has passed or [`Shutdown::end`] is cancelled. True when all were done.
    pub async fn finish(&self, deadline: Duration) -> bool {
        self.drain.cancel();
        self.close.cancel();
        self.tasks.close();
        let clean = tokio::select! {
            () = self.tasks.wait() => true,
            () = self.end.cancelled() => false,
            () = tokio::time::sleep(deadline) => false,
        };
        self.end.cancel();
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_drains_ends_the_wait_and_one_that_hangs_meets_the_deadline() {
        let shutdown = Shutdown::new();
        let token = shutdown.drain().clone();
        shutdown.spawn(
            &tokio::runtime::Handle::current(),
            async move { token.cancelled().await },
        );
        assert!(shutdown.finish(Duration::from_secs(60)).await);

        let shutdown = Shutdown::new();
        shutdown.spawn(&tokio::runtime::Handle::current(), std::future::pending::<()>());
        assert!(!shutdown.finish(Duration::from_secs(60)).await);
        assert!(shutdown.end().is_cancelled());
    }
}
