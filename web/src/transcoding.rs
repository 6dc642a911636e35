//! The ladder as this process runs it: where the worker program is, and what it may take of the machine.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use nova_core::clock::Clock;
use nova_core::config::TranscodeConfig;
use nova_transcode::{Ladder, Settings, Transcoder};
use tokio::runtime::Handle;

/// How workers are run, by the configuration.
pub(crate) fn settings(config: &TranscodeConfig, clock: &Clock) -> anyhow::Result<Settings> {
    let worker = if config.worker.as_os_str().is_empty() {
        beside()?
    } else {
        config.worker.clone()
    };
    let machine = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    let cores = if config.cores > 0.0 {
        config.cores
    } else {
        machine as f32 * 0.75
    };
    Ok(Settings {
        worker,
        memory_mb: config.memory_mb,
        cores,
        clock: clock.clone(),
    })
}

/// The worker program beside this one.
fn beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program lies")?;
    Ok(own.with_file_name("nova-transcode"))
}

/// The process's transcoder; `None` where there is no worker program and none was asked for by name.
pub(crate) fn transcoder(
    config: &TranscodeConfig,
    clock: &Clock,
    runtime: &Handle,
) -> anyhow::Result<Option<Arc<Transcoder>>> {
    let ladder: Ladder = config.ladder.parse().context("transcode.ladder")?;
    let settings = settings(config, clock)?;
    if !settings.worker.exists() {
        let asked = matches!(ladder, Ladder::List(_));
        anyhow::ensure!(
            !asked,
            "transcode.ladder needs the worker program {}",
            settings.worker.display()
        );
        tracing::warn!(worker = %settings.worker.display(), "there is no worker program: no ladder, no stills");
        return Ok(None);
    }
    Ok(Some(Transcoder::new(settings, ladder, runtime.clone())))
}
