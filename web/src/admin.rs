//! The operator's listener: metrics, health, readiness.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use nova_core::clock::Clock;
use nova_core::delivery::Presentation;
use nova_core::live::Status;
use nova_core::shutdown::Shutdown;

use crate::live::LiveService;

/// Health on any listener: `/healthz` says the process runs, `/readyz` that it takes new work.
pub(crate) fn health(shutdown: &Shutdown) -> Router {
    let draining = shutdown.drain().clone();
    Router::new().route("/healthz", get(|| async { "ok\n" })).route(
        "/readyz",
        get(move || {
            let ready = !draining.is_cancelled();
            async move {
                if ready {
                    (http::StatusCode::OK, "ready\n")
                } else {
                    (http::StatusCode::SERVICE_UNAVAILABLE, "draining\n")
                }
            }
        }),
    )
}

/// | metric | meaning |
/// | --- | --- |
/// | `nova_streams` by `status` | broadcasts in each state |
/// | `nova_viewers` | viewers of all streams |
/// | `nova_media_memory_bytes` | memory of parts and segments that sockets take without a copy |
pub(crate) fn router(shutdown: &Shutdown, handle: PrometheusHandle, live: Arc<LiveService>, clock: Clock) -> Router {
    health(shutdown).route(
        "/metrics",
        get(move || {
            let streams = live.list();
            let count = |status: Status| streams.iter().filter(|live| live.broadcast.status() == status).count();
            for (name, status) in [
                ("starting", Status::Starting),
                ("live", Status::Live),
                ("reconnecting", Status::Reconnecting),
                ("ended", Status::Ended),
            ] {
                set("nova_streams", Some(name), count(status));
            }
            let now_s = clock.monotonic_micros() / 1_000_000;
            set(
                "nova_viewers",
                None,
                streams.iter().map(|live| live.stream.audience().count(now_s)).sum(),
            );
            set(
                "nova_media_memory_bytes",
                None,
                usize::try_from(nova_pages::in_use()).unwrap_or(usize::MAX),
            );
            let text = handle.render();
            async move { text }
        }),
    )
}

fn set(name: &'static str, status: Option<&'static str>, value: usize) {
    let gauge = match status {
        Some(status) => metrics::gauge!(name, "status" => status),
        None => metrics::gauge!(name),
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts and bytes of one machine are below 2^52"
    )]
    gauge.set(value as f64);
}
