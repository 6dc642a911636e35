//! Logs and metrics of the process: human lines in development, JSON otherwise, Prometheus text on request.

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Installs the log subscriber. `filter` has `tracing`'s directive syntax; a bad one falls back to `info`.
pub fn init_logs(human: bool, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second subscriber in one process (tests) is not an error worth stopping for.
    let _already_set = if human {
        builder
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

/// Installs the metrics recorder; the handle renders what `/metrics` serves.
pub fn init_metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new().install_recorder()
}
