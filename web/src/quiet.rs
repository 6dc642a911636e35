//! When a connection has been of no use for too long: no request is being answered, nothing is being read of an answer, and no new request comes.
//! One slow tick a connection looks, so that a request costs two atomic stores where a timer each would be set and cleared.
//!
//! Bytes that come in do not count: a head that trickles in byte by byte is no request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{MissedTickBehavior, interval};

/// Ticks within the limit: a connection is let go between the limit and a quarter more.
const TICKS: u32 = 4;

/// What has happened on one connection. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Activity(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Requests whose answers have not been handed over whole.
    open: AtomicUsize,
    /// A request came, or bytes of an answer went, since the last tick.
    moved: AtomicBool,
}

impl Activity {
    /// A request has come; it is open until what is returned is dropped.
    pub(crate) fn request(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    fn note(&self) {
        self.0.moved.store(true, Ordering::Relaxed);
    }

    /// Returns when nothing has happened for `limit`.
    pub(crate) async fn quiet_for(&self, limit: Duration) {
        let mut tick = interval((limit / TICKS).max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        let mut quiet = 0;
        while quiet < TICKS {
            tick.tick().await;
            let moved = self.0.moved.swap(false, Ordering::Relaxed);
            let busy = moved || self.0.open.load(Ordering::Relaxed) > 0;
            quiet = if busy { 0 } else { quiet + 1 };
        }
    }
}

/// An open request: travels with its answer's body.
pub(crate) struct Open(Activity);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.note();
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The socket of a connection; what leaves it is noted.
pub(crate) struct Watched<S> {
    pub(crate) socket: S,
    pub(crate) activity: Activity,
}

impl<S> Watched<S> {
    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.activity.note();
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(8);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_connection_and_requests_and_answers_keep_it() {
        let activity = Activity::default();
        let (mut near, _far) = tokio::io::duplex(1 << 10);
        let mut socket = Watched {
            socket: &mut near,
            activity: activity.clone(),
        };
        let mut quiet = pin!(activity.quiet_for(LIMIT));
        let mut within = async |time: Duration| tokio::time::timeout(time, quiet.as_mut()).await.is_ok();

        // A request that is answered for a minute, an answer of which a piece is taken now and then.
        let open = activity.request();
        assert!(!within(Duration::from_secs(60)).await);
        drop(open);
        for _ in 0..10 {
            assert!(!within(Duration::from_secs(7)).await);
            socket.write_all(b"piece").await.unwrap();
        }
        let silent = Instant::now();
        assert!(within(LIMIT * 2).await);
        let waited = silent.elapsed();
        assert!(waited >= LIMIT && waited <= LIMIT + LIMIT / 2, "{waited:?}");
    }
}
