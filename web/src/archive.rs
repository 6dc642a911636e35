//! Writes finished segments to the object store, behind a bounded queue that nobody waits for.
//!
//! A segment that cannot be stored stays in memory and leaves the playlists early; the stream goes on. When the store works again, so does
//! everything after. One that is recorded is tried again for as long as memory holds it: a disk that is full for some seconds costs a recording nothing.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge};
use nova_core::clock::Clock;
use nova_core::store::{ObjectStore, StoreError};
use nova_packager::rendition::Segment;
use tokio::sync::{Notify, Semaphore, mpsc};

/// Segments that may wait to be written: about 20 s of 50 streams with sound.
const QUEUE: usize = 1024;
/// Between two tries of a segment that is recorded.
const AGAIN: Duration = Duration::from_secs(1);
/// Seconds between two log lines about the same trouble.
const QUIET_S: i64 = 30;

pub(crate) enum Job {
    /// Put the segment's pieces under its key, and tell who waits for it.
    Store(Arc<Segment>, Option<Arc<Notify>>),
    Delete(String),
    DeletePrefix(String),
}

/// The queue's entrance.
#[derive(Clone)]
pub(crate) struct Archive {
    queue: mpsc::Sender<Job>,
    dropped: Counter,
}

impl Archive {
    /// | metric | meaning |
    /// | --- | --- |
    /// | `nova_store_queue` | jobs waiting |
    /// | `nova_store_dropped_total` | segments that were not stored because the queue was full |
    /// | `nova_store_errors_total` by `kind` | writes that failed: `full`, `io` |
    ///
    /// At most `writers` objects are written at once.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        writers: usize,
        clock: Clock,
        runtime: &tokio::runtime::Handle,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        runtime.spawn(run(store, writers, clock, jobs));
        Self {
            queue,
            dropped: metrics::counter!("nova_store_dropped_total"),
        }
    }

    /// Hands a job over; a full queue loses it, which costs a segment's place on disk and nothing else.
    pub(crate) fn offer(&self, job: Job) {
        if self.queue.try_send(job).is_err() {
            self.dropped.increment(1);
        }
    }
}

async fn run(store: Arc<dyn ObjectStore>, writers: usize, clock: Clock, mut jobs: mpsc::Receiver<Job>) {
    let waiting: Gauge = metrics::gauge!("nova_store_queue");
    let trouble = Arc::new(Trouble {
        clock,
        last: std::sync::atomic::AtomicI64::new(i64::MIN / 2),
    });
    let writers = Arc::new(Semaphore::new(writers));
    while let Some(job) = jobs.recv().await {
        #[expect(clippy::cast_precision_loss, reason = "the queue is bounded far below 2^52")]
        waiting.set(jobs.len() as f64);
        let Ok(permit) = Arc::clone(&writers).acquire_owned().await else {
            return;
        };
        let (store, trouble, writers) = (Arc::clone(&store), Arc::clone(&trouble), Arc::clone(&writers));
        tokio::spawn(async move {
            let done = match job {
                Job::Store(segment, None) => put(&*store, &segment).await,
                Job::Store(segment, Some(waits)) => {
                    let mut done = put(&*store, &segment).await;
                    drop(permit);
                    // Bounded by what memory holds: the packager lets go of what is old, stored or not.
                    while let Err(error) = done {
                        trouble.tell(&error);
                        waits.notify_one();
                        tokio::time::sleep(AGAIN).await;
                        let Ok(_permit) = writers.acquire().await else { return };
                        done = put(&*store, &segment).await;
                    }
                    waits.notify_one();
                    return;
                }
                Job::Delete(key) => store.delete(&key).await,
                Job::DeletePrefix(prefix) => store.delete_prefix(&prefix).await,
            };
            if let Err(error) = done {
                trouble.tell(&error);
            }
            drop(permit);
        });
    }
}

/// Stores a segment that is still in memory.
async fn put(store: &dyn ObjectStore, segment: &Segment) -> Result<(), StoreError> {
    if let Some(pieces) = segment.pieces() {
        store.put(&segment.key, pieces.to_vec()).await?;
        segment.mark_stored();
    }
    Ok(())
}

struct Trouble {
    clock: Clock,
    last: std::sync::atomic::AtomicI64,
}

impl Trouble {
    fn tell(&self, error: &StoreError) {
        let full = matches!(error, StoreError::Full { .. });
        metrics::counter!("nova_store_errors_total", "kind" => if full { "full" } else { "io" }).increment(1);
        let now = self.clock.monotonic_micros() / 1_000_000;
        if now - self.last.swap(now, std::sync::atomic::Ordering::Relaxed) < QUIET_S {
            return;
        }
        if full {
            tracing::error!(%error, "the disk is full: live streams go on from memory with a shorter window until there is space");
        } else {
            tracing::error!(%error, "segments cannot be stored: live streams go on from memory with a shorter window");
        }
    }
}
