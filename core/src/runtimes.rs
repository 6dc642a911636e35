//! Four named tokio runtimes, each with its promise, so that a flood in one cannot delay another.

use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::config::RuntimeConfig;

/// The process's runtimes. Built once by the binary, dropped last.
pub struct Runtimes {
    ingest: Runtime,
    media: Runtime,
    delivery: Runtime,
    api: Runtime,
}

impl Runtimes {
    /// Builds all four with `config`'s worker counts.
    pub fn build(config: &RuntimeConfig) -> std::io::Result<Self> {
        Ok(Self {
            ingest: builder("nova-ingest", config.ingest_workers)
                .on_thread_park(gather_events)
                .build()?,
            media: builder("nova-media", config.media_workers).build()?,
            delivery: builder("nova-delivery", config.delivery_workers).build()?,
            api: builder("nova-api", config.api_workers).build()?,
        })
    }

    /// Encoders' sockets: reads and parses. Promise: no viewer, disk or database work, so a publisher is always drained.
    pub fn ingest(&self) -> &Handle {
        self.ingest.handle()
    }

    /// Packaging and upload. Promise: a part is closed within milliseconds of its last frame.
    pub fn media(&self) -> &Handle {
        self.media.handle()
    }

    /// HTTP connections and media responses. Promise: nothing here blocks, so a part leaves at once.
    pub fn delivery(&self) -> &Handle {
        self.delivery.handle()
    }

    /// API handlers, pages, metrics, housekeeping: whatever may be slow.
    pub fn api(&self) -> &Handle {
        self.api.handle()
    }
}

/// How long a worker that has run out of work lets events gather before it asks for them.
const GATHER: Duration = Duration::from_millis(3);

/// Encoders send some seventy messages a second each, and waking for every one costs more than reading it. A worker about to sleep waits
/// [`GATHER`] first and then takes what all of its sockets have: fewer wake-ups, for half of that in delay on average.
/// An idle worker sleeps as long as any.
fn gather_events() {
    std::thread::sleep(GATHER);
}

fn builder(name: &'static str, workers: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    // The blocking pool serves file reads and writes; its bound keeps a dead disk from taking thousands of threads.
    builder
        .thread_name(name)
        .worker_threads(workers.max(1))
        .max_blocking_threads(16)
        .enable_all();
    builder
}
