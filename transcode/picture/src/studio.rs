//! The few threads that pictures are made on. A picture takes a core for some hundredths of a second up to a second, and some hundred
//! megabytes at worst: never on a runtime's workers, never many at once, and behind the media threads (Linux: a lower priority).

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use crate::kind::Kind;
use crate::render::{Picture, render};
use crate::sheet::{Sheet, sheet};
use crate::source::{Error, Limits};

/// How far these threads stand behind the media threads, in steps of `nice`.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Makes pictures. Clones share the threads.
#[derive(Clone)]
pub struct Studio {
    /// Those at work and those that wait: each holds a file.
    places: Arc<Semaphore>,
    /// Those at work.
    turns: Arc<Semaphore>,
}

impl Studio {
    /// `threads` pictures at once, and `waiting` that wait for their turn; more are refused.
    pub fn new(threads: usize, waiting: usize) -> Self {
        let threads = threads.max(1);
        Self {
            places: Arc::new(Semaphore::new(threads + waiting)),
            turns: Arc::new(Semaphore::new(threads)),
        }
    }

    /// Makes the sizes of `kind` from a file. Giving up waiting gives up the turn; a picture at work is finished.
    pub async fn make(&self, file: Bytes, kind: Kind, limits: Limits) -> Result<Picture, Error> {
        self.run(move || render(&file, kind, limits)).await
    }

    /// Puts small pictures on a sheet, see [`sheet`].
    pub async fn sheet(&self, pictures: Vec<Option<Bytes>>, columns: u32) -> Result<Sheet, Error> {
        self.run(move || sheet(&pictures, columns)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        paint: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_full| Error::Busy)?;
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_closed| Error::Busy)?;
        let (tell, made) = oneshot::channel();
        let thread = std::thread::Builder::new().name("picture".into());
        let work = move || {
            yield_to_media();
            // The asker may be gone.
            let _unheard = tell.send(paint());
            drop((turn, place));
        };
        if let Err(error) = thread.spawn(work) {
            tracing::warn!(%error, "no thread for a picture");
            return Err(Error::Busy);
        }
        // A decoder that panics ends its thread and nothing else.
        made.await
            .unwrap_or_else(|_panicked| Err(Error::Damaged("it cannot be decoded".into())))
    }
}

#[cfg(target_os = "linux")]
fn yield_to_media() {
    // setpriority(2), "C library/kernel differences": on Linux the nice value belongs to the thread, and 0 is the calling one.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "picture threads keep the priority of the process");
    }
}

#[cfg(not(target_os = "linux"))]
fn yield_to_media() {}
