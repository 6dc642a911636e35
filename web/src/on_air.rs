//! What the platform may ask about a stream on air: joins the hub, the packager and the audience into what `nova_media` shows.

use std::sync::Arc;

use nova_core::clock::Clock;
use nova_core::config::CdnConfig;
use nova_core::delivery::Presentation;
use nova_core::live::{Hub, Status};
use nova_core::media::Media;
use nova_core::store::ObjectStore;
use nova_media::{Audio, Health, Live, OnAir, Video};

use crate::library::VideoLibrary;
use crate::live::{LiveService, LiveStream};
use crate::pictures::Pictures;
use crate::{purging, signing};

/// The live side as the media domain sees it.
pub(crate) async fn live(
    hub: Arc<Hub>,
    service: Arc<LiveService>,
    library: Arc<VideoLibrary>,
    store: Arc<dyn ObjectStore>,
    clock: Clock,
    ingest_url: String,
    cdn: &CdnConfig,
) -> anyhow::Result<Live> {
    let purge = purging::purge(&cdn.cloudfront, clock.clone()).await;
    Ok(Live {
        hub,
        look: Arc::new(move |name| service.get(name).map(|live| describe(&live, &clock))),
        library,
        pictures: Arc::new(Pictures::new()),
        store,
        ingest_url,
        media_url: cdn.base_url.clone(),
        sign: signing::signer(cdn)?,
        purge,
    })
}

fn describe(live: &LiveStream, clock: &Clock) -> OnAir {
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
                video = Some(Video {
                    codec,
                    width: width.into(),
                    height: height.into(),
                    frame_rate,
                    bitrate,
                });
            }
            Media::Audio {
                sample_rate, channels, ..
            } if audio.is_none() => {
                audio = Some(Audio {
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
    let health = live.broadcast.health();
    OnAir {
        status: match live.broadcast.status() {
            Status::Starting | Status::Live if !ready => "starting",
            Status::Starting | Status::Reconnecting => "reconnecting",
            Status::Live => "live",
            Status::Ended => "ended",
        },
        viewers: live.stream.audience().count(clock.monotonic_micros() / 1_000_000) as u64,
        started_at: live.broadcast.started(),
        video,
        audio,
        health: Health {
            keyframe_interval_ms: health.keyframe_interval_us.and_then(|us| u32::try_from(us / 1000).ok()),
            drift_ms: health.drift_us() / 1000,
            dropped_frames: health.repairs.dropped,
            timeline_repairs: health.repairs.jumps,
        },
    }
}
