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
    gauge.set(u32::try_from(value).map_or(f64::INFINITY, f64::from));
}
