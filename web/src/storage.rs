//! The object store that the configuration names.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nova_cdn::{LocalStore, S3Store, Spool, spool};
use nova_core::clock::Clock;
use nova_core::config::{Config, StorageBackend};
use nova_core::store::ObjectStore;
use tokio::runtime::Handle;

/// How long a bucket may take for a small object before the spool has it: well below `live.memory_s`, so that no segment leaves the playlists for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Opens the store; a bucket is not asked anything yet, and stands behind a spool in the data folder.
pub(crate) fn open(config: &Config, clock: &Clock, runtime: &Handle) -> anyhow::Result<Arc<dyn ObjectStore>> {
    match config.storage.backend {
        StorageBackend::Local => {
            let folder = config.data_dir.join("media");
            let store = LocalStore::open(&folder).with_context(|| format!("data directory {}", folder.display()))?;
            Ok(Arc::new(store))
        }
        StorageBackend::S3 => {
            let bucket = runtime.block_on(S3Store::connect(&config.storage, clock.clone()));
            let settings = spool::Settings {
                folder: config.data_dir.join("spool"),
                limit: u64::from(config.storage.spool_mb) << 20,
                patience: PATIENCE,
            };
            let folder = settings.folder.clone();
            let spool = Spool::open(Arc::new(bucket), settings, clock.clone(), runtime);
            Ok(Arc::new(spool.with_context(|| format!("spool {}", folder.display()))?))
        }
    }
}

/// Seconds of newest segments in memory. Before a bucket that is all of the window: when it is away, who watches does not notice.
pub(crate) fn memory_s(config: &Config) -> u32 {
    match config.storage.backend {
        StorageBackend::Local => config.live.memory_s,
        StorageBackend::S3 => config.live.memory_s.max(config.live.window_s),
    }
}

/// Objects that are written at once: a slow disk is not made faster by more, while a bucket takes its time for each.
pub(crate) const fn writers(config: &Config) -> usize {
    match config.storage.backend {
        StorageBackend::Local => 4,
        StorageBackend::S3 => 32,
    }
}
