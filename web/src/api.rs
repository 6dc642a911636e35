//! The part of `/api/v1` that live streams need before there are accounts: which streams are on air, and what they are made of.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderValue, StatusCode};
use nova_core::clock::Clock;
use nova_core::delivery::Presentation;
use nova_core::live::Status;
use nova_core::media::Media;
use serde::{Deserialize, Serialize};

use crate::live::{LiveService, LiveStream};

#[derive(Clone)]
struct Api {
    live: Arc<LiveService>,
    clock: Clock,
}

/// Routes below `/api/v1`.
pub(crate) fn router(live: Arc<LiveService>, clock: Clock) -> Router {
    Router::new()
        .route("/api/v1/streams", get(list))
        .route("/api/v1/streams/{stream}", get(one))
        .with_state(Api { live, clock })
}

#[derive(Debug, Serialize)]
struct StreamJson {
    id: String,
    name: String,
    title: String,
    status: &'static str,
    viewer_count: usize,
    started_at: String,
    video: Option<VideoJson>,
    audio: Option<AudioJson>,
    playback: PlaybackJson,
}

#[derive(Debug, Serialize)]
struct VideoJson {
    codec: String,
    width: u16,
    height: u16,
    frame_rate: Option<f64>,
    bitrate: u64,
}

#[derive(Debug, Serialize)]
struct AudioJson {
    codec: String,
    sample_rate: u32,
    channels: u8,
    bitrate: u64,
}

#[derive(Debug, Serialize)]
struct PlaybackJson {
    hls_url: String,
    dash_url: String,
}

#[derive(Debug, Serialize)]
struct Page {
    items: Vec<StreamJson>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    status: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list(State(api): State<Api>, Query(query): Query<ListQuery>) -> Response {
    let limit = query.limit.unwrap_or(50).clamp(1, 200);
    let mut streams: Vec<StreamJson> = api.live.list().iter().map(|live| describe(live, &api.clock)).collect();
    if let Some(status) = &query.status {
        // A broadcaster's blip does not take a stream off the list.
        streams.retain(|stream| stream.status == status || status == "live" && stream.status == "reconnecting");
    }
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(cursor) = &query.cursor {
        streams.retain(|stream| stream.name > *cursor);
    }
    let more = streams.len() > limit;
    streams.truncate(limit);
    let next_cursor = more.then(|| streams.last().map(|last| last.name.clone())).flatten();
    answer(Page {
        items: streams,
        next_cursor,
    })
}

async fn one(State(api): State<Api>, Path(name): Path<String>) -> Response {
    match api.live.get(&name) {
        Some(live) => answer(describe(&live, &api.clock)),
        None => problem(StatusCode::NOT_FOUND, "no stream of this name is on air"),
    }
}

fn answer(body: impl Serialize) -> Response {
    (
        [(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        Json(body),
    )
        .into_response()
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail,
    });
    (
        status,
        [(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        )],
        body.to_string(),
    )
        .into_response()
}

fn describe(live: &LiveStream, clock: &Clock) -> StreamJson {
    let name = live.broadcast.stream().to_owned();
    let (mut video, mut audio) = (None, None);
    for rendition in live.stream.renditions().iter() {
        let view = rendition.view();
        let bitrate = rendition.bit_rate().average;
        let codec = view.track.codec_string.clone();
        match view.track.media {
            Media::Video { width, height, .. } if video.is_none() => {
                let frame_rate = rendition
                    .frame_rate()
                    .map(|(n, d)| (f64::from(n) / f64::from(d) * 1000.0).round() / 1000.0);
                video = Some(VideoJson {
                    codec,
                    width,
                    height,
                    frame_rate,
                    bitrate,
                });
            }
            Media::Audio {
                sample_rate, channels, ..
            } if audio.is_none() => {
                audio = Some(AudioJson {
                    codec,
                    sample_rate,
                    channels,
                    bitrate,
                });
            }
            _ => {}
        }
    }
    let ready = live.stream.timing().is_some();
    StreamJson {
        id: live.broadcast.id().to_owned(),
        title: name.clone(),
        status: match live.broadcast.status() {
            Status::Starting | Status::Live if !ready => "starting",
            Status::Starting | Status::Reconnecting => "reconnecting",
            Status::Live => "live",
            Status::Ended => "ended",
        },
        viewer_count: live.stream.audience().count(clock.monotonic_micros() / 1_000_000),
        started_at: live.broadcast.started().to_rfc3339_millis(),
        video,
        audio,
        playback: PlaybackJson {
            hls_url: format!("/live/{name}/master.m3u8"),
            dash_url: format!("/live/{name}/manifest.mpd"),
        },
        name,
    }
}
