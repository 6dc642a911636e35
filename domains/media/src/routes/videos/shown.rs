//! A video as the API shows it, and who may see and change it.

use nova_core::clock::Timestamp;
use nova_domain::accounts::Card;
use nova_domain::db::{Error, Id};
use nova_domain::policy::{Visibility, not_hidden};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::State;
use crate::video::{self, Row};

/// How a video stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = VideoStatus)]
pub(crate) enum Status {
    /// The recording of what is on air: it can be watched from its beginning, and grows.
    Live,
    /// Its file is still coming.
    Uploading,
    /// It is being made ready.
    Processing,
    /// It can be watched.
    Ready,
    /// It could not be made; `error` says why.
    Failed,
    /// Its owner gave it up.
    Cancelled,
}

impl Status {
    fn parse(text: &str) -> Self {
        match text {
            "live" => Self::Live,
            "uploading" => Self::Uploading,
            "processing" => Self::Processing,
            "ready" => Self::Ready,
            "cancelled" => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// Where a video comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = VideoSource)]
pub(crate) enum Source {
    /// A broadcast.
    Recording,
    /// A file.
    Upload,
    /// A part of another video.
    Clip,
}

impl Source {
    fn parse(text: &str) -> Self {
        match text {
            "upload" => Self::Upload,
            "clip" => Self::Clip,
            _ => Self::Recording,
        }
    }
}

/// Where to watch.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = VideoPlayback)]
pub(crate) struct Playback {
    pub(crate) hls_url: String,
    pub(crate) dash_url: String,
    pub(crate) watch_url: String,
    /// For the owner of a private video: append `?token=` to the first two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// What a clip was cut from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ClipOf {
    /// The video, which may be gone.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) video_id: String,
    /// Seconds from that video's beginning.
    pub(crate) start_s: f64,
    /// The same.
    pub(crate) end_s: f64,
}

/// A video.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Video)]
pub(crate) struct Shown {
    #[schema(value_type = String, format = Uuid)]
    pub(crate) id: Uuid,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) visibility: Visibility,
    pub(crate) status: Status,
    pub(crate) source: Source,
    /// Hundredths of what has to be done.
    #[schema(minimum = 0, maximum = 100)]
    pub(crate) progress: i64,
    /// Whose it is.
    pub(crate) owner: Option<Card>,
    /// The stream it was broadcast on.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub(crate) stream_id: Option<String>,
    /// Seconds; 0 while it is not whole.
    pub(crate) duration_s: f64,
    /// Pixels of the largest picture; 0 while it is not known, or where there is none.
    pub(crate) width: i64,
    /// Pixels.
    pub(crate) height: i64,
    /// What it was cut from, of a clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clip: Option<ClipOf>,
    /// A short clip with an upright picture.
    pub(crate) reel: bool,
    /// The picture that stands for it; 404 where there is none.
    pub(crate) picture_url: String,
    /// Small pictures of all of it: WebVTT whose texts are addresses of pictures with `#xywh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storyboard_url: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    pub(crate) playback: Playback,
    /// Bytes it takes in the store, for its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<i64>,
    /// Why it failed, for its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// A video as `caller` sees it.
pub(crate) async fn shown(state: &State, row: Row, caller: Option<&Caller>) -> Result<Shown, Error> {
    let owner = state.directory.card(row.owner_user_id).await?;
    Ok(shown_by(state, row, owner, caller))
}

/// The same, where the owner's card is at hand.
pub(crate) fn shown_by(state: &State, row: Row, owner: Option<Card>, caller: Option<&Caller>) -> Shown {
    let mine = caller.is_some_and(|caller| caller.user == row.owner_user_id);
    let (base, media) = (&state.public_url, &state.media_url);
    let visibility = row.visibility();
    let token = match caller {
        Some(caller) if mine && visibility == Visibility::Private => Some(playback_token(state, &row, caller).0),
        _ => None,
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of any video")]
    let seconds = |us: i64| (us / 1000) as f64 / 1000.0;
    Shown {
        id: row.id.uuid(),
        status: Status::parse(&row.status),
        source: Source::parse(&row.source),
        progress: row.progress.clamp(0, 100),
        owner,
        duration_s: seconds(row.duration_us),
        clip: row.clip_of.map(|video_id| ClipOf {
            video_id,
            start_s: seconds(row.clip_start_us),
            end_s: seconds(row.clip_end_us),
        }),
        reel: row.reel.0,
        picture_url: format!("{media}/vod/{}/thumbnail.jpg", row.id),
        storyboard_url: row.storyboard.0.then(|| {
            let token = token.as_ref().map(|token| format!("?token={token}"));
            format!("{media}/vod/{}/storyboard.vtt{}", row.id, token.unwrap_or_default())
        }),
        width: row.width,
        height: row.height,
        created_at: Timestamp(row.created_at),
        playback: Playback {
            hls_url: format!("{media}/vod/{}/master.m3u8", row.id),
            dash_url: format!("{media}/vod/{}/manifest.mpd", row.id),
            watch_url: format!("{base}/watch/v/{}", row.id),
            token,
        },
        bytes: mine.then_some(row.bytes),
        error: (mine && !row.error.is_empty()).then_some(row.error),
        visibility,
        stream_id: row.stream_id,
        title: row.title,
        description: row.description,
    }
}

/// A token for a viewer of a private video, and when it ends.
pub(crate) fn playback_token(state: &State, row: &Row, viewer: &Caller) -> (String, Timestamp) {
    let ends = state
        .clock
        .now()
        .plus_micros(i64::from(state.config.playback_minutes) * 60_000_000);
    let of = Id::from(row.id.uuid());
    (state.gate.tokens().sign(of, viewer.user, ends), ends)
}

/// The video, when the caller may know of it; 404 otherwise. A private one, and one that cannot be watched yet, is its owner's, and moderators
/// may look.
pub(crate) async fn visible(state: &State, id: &str, caller: Option<&Caller>) -> Result<Row, Problem> {
    let row = video::find(state.db.read(), id).await?.ok_or_else(Problem::not_found)?;
    let viewer = caller.map(|caller| caller.user);
    if viewer == Some(row.owner_user_id) || caller.is_some_and(|caller| caller.may_moderate(row.owner_user_id)) {
        return Ok(row);
    }
    if row.visibility() == Visibility::Private || !matches!(row.status.as_str(), "live" | "ready") {
        return Err(Problem::not_found());
    }
    let sql = format!(
        "SELECT CAST(1 AS BIGINT) FROM media_videos v WHERE v.id = $1 AND {}",
        not_hidden("v.owner_user_id", "$2")
    );
    let met: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(row.id)
        .bind(viewer.map(|viewer| viewer.to_string()).unwrap_or_default())
        .fetch_optional(state.db.read())
        .await?;
    met.map(|_| row).ok_or_else(Problem::not_found)
}

/// The video, when it is the caller's own; 403 when they may see it and 404 when they may not.
pub(crate) async fn mine(state: &State, id: &str, caller: &Caller) -> Result<Row, Problem> {
    let row = visible(state, id, Some(caller)).await?;
    if row.owner_user_id == caller.user {
        return Ok(row);
    }
    Err(Problem::forbidden("this video belongs to somebody else"))
}
