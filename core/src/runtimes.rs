//! Four named tokio runtimes, each with its promise, so that a flood in one cannot delay another.

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
            ingest: build("nova-ingest", config.ingest_workers)?,
            media: build("nova-media", config.media_workers)?,
            delivery: build("nova-delivery", config.delivery_workers)?,
            api: build("nova-api", config.api_workers)?,
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

fn build(name: &'static str, workers: usize) -> std::io::Result<Runtime> {
    // The blocking pool serves file reads and writes; its bound keeps a dead disk from taking thousands of threads.
    Builder::new_multi_thread()
        .thread_name(name)
        .worker_threads(workers.max(1))
        .max_blocking_threads(16)
        .enable_all()
        .build()
}
