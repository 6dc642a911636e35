//! What this domain asks of the live side. The binary fills it in, since packaging and audiences are not known here.

use std::sync::Arc;

use nova_core::live::Hub;
use nova_core::store::ObjectStore;
use serde::Serialize;
use utoipa::ToSchema;

use crate::library::Library;
use crate::pictures::Pictures;
use crate::purge::Purge;

/// The picture of a stream on air.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = StreamVideo)]
pub struct Video {
    /// As in HLS's `CODECS`, for example `avc1.640028`.
    pub codec: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures a second, as measured; nothing before that.
    pub frame_rate: Option<f64>,
    /// Bits a second, as measured.
    pub bitrate: u64,
}

/// The sound of a stream on air.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = StreamAudio)]
pub struct Audio {
    /// As in HLS's `CODECS`, for example `mp4a.40.2`.
    pub codec: String,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
    /// Bits a second, as measured.
    pub bitrate: u64,
}

/// How well the encoder does, for the stream's owner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = StreamHealth)]
pub struct Health {
    /// Milliseconds between the last two keyframes.
    pub keyframe_interval_ms: Option<u32>,
    /// Milliseconds by which the newest sound is ahead of the newest picture; negative when it is behind.
    pub drift_ms: i64,
    /// Frames that came and could not be used: without a keyframe before them, or of a track that does not exist.
    pub dropped_frames: u64,
    /// How often the encoder's clock jumped and was mended.
    pub timeline_repairs: u64,
}

/// A stream that can be watched, or has just ended.
#[derive(Clone, Debug)]
pub struct OnAir {
    /// `starting`, `live`, `reconnecting` or `ended`.
    pub status: &'static str,
    /// Viewers now.
    pub viewers: u64,
    /// When the broadcast began.
    pub started_at: nova_core::clock::Timestamp,
    /// Its picture.
    pub video: Option<Video>,
    /// Its sound.
    pub audio: Option<Audio>,
    /// How well the encoder does.
    pub health: Health,
}

/// Looks at the stream that the hub knows by this name.
type Look = dyn Fn(&str) -> Option<OnAir> + Send + Sync;

/// What a CDN takes as leave to give something out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What the addresses that it opens begin with, up to a `/`.
    pub base: String,
    /// For the query of an address.
    pub query: String,
    /// Names with values: the same for a player that sends cookies.
    pub cookies: Vec<(&'static str, String)>,
}

/// Signs all that lies behind a base such as `https://cdn.example` in a place such as `/vod/{video}/`, until then (seconds since the Unix epoch).
pub type Sign = dyn Fn(&str, &str, i64) -> Option<Signature> + Send + Sync;

/// The live side.
#[derive(Clone)]
pub struct Live {
    /// What is on air in this process.
    pub hub: Arc<Hub>,
    /// Looks at one stream.
    pub look: Arc<Look>,
    /// Where recordings lie.
    pub library: Arc<dyn Library>,
    /// What makes pictures.
    pub pictures: Arc<dyn Pictures>,
    /// Where the objects of pictures lie.
    pub store: Arc<dyn ObjectStore>,
    /// What encoders publish to: `rtmp://HOST:PORT/live`.
    pub ingest_url: String,
    /// What playback addresses begin with where a CDN stands before this server; empty is the public URL.
    pub media_url: String,
    /// Signs for a CDN that checks signatures; nothing where there is none.
    pub sign: Option<Arc<Sign>>,
    /// A CDN that can be made to forget; nothing where there is none.
    pub purge: Option<Arc<dyn Purge>>,
}
