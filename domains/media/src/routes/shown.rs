//! A stream as the API shows it, and who may see and change it.

use nova_core::clock::Timestamp;
use nova_core::live::Broadcast;
use nova_domain::accounts::Card;
use nova_domain::db::Error;
use nova_domain::policy::{Visibility, not_hidden};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::State;
use crate::live::{Audio, Health, OnAir, Video};
use crate::stream::{self, Row};

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = StreamStatus)]
pub(crate) enum Status {
    /// Nobody publishes.
    Idle,
    /// A publisher is there, and nothing to watch yet.
    Starting,
    /// On air.
    Live,
    /// The publisher is gone and expected back.
    Reconnecting,
    /// It was on air a moment ago.
    Ended,
    /// The publisher sends what cannot be used.
    Error,
}

/// What an encoder is told, for the owner.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StreamIngest)]
pub(crate) struct Ingest {
    /// What OBS calls the server. The key goes into a field of its own, or behind a `/` for an encoder that takes one URL.
    pub(crate) rtmp_url: String,
}

/// Where to watch.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StreamPlayback)]
pub(crate) struct Playback {
    pub(crate) hls_url: String,
    pub(crate) dash_url: String,
    pub(crate) watch_url: String,
    /// For the owner of a private stream: append `?token=` to the first two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// A stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Stream)]
pub(crate) struct Shown {
    #[schema(value_type = String, format = Uuid)]
    pub(crate) id: Uuid,
    /// The name in addresses; as good as the id there.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) visibility: Visibility,
    /// Whether what is broadcast is kept.
    pub(crate) record: bool,
    pub(crate) status: Status,
    pub(crate) viewer_count: u64,
    /// Whose it is; `null` when anybody may publish it.
    pub(crate) owner: Option<Card>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When the broadcast that is on air began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) video: Option<Video>,
    pub(crate) audio: Option<Audio>,
    pub(crate) playback: Playback,
    /// For the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ingest: Option<Ingest>,
    /// For the owner, while it is on air.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<Health>,
    /// For the owner, in the answer that made it and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_key: Option<String>,
}

fn status(on_air: Option<&OnAir>) -> Status {
    match on_air.map(|on_air| on_air.status) {
        None => Status::Idle,
        Some("starting") => Status::Starting,
        Some("live") => Status::Live,
        Some("reconnecting") => Status::Reconnecting,
        Some("ended") => Status::Ended,
        Some(_) => Status::Error,
    }
}

fn playback(state: &State, name: &str) -> Playback {
    let (base, media) = (&state.public_url, &state.media_url);
    Playback {
        hls_url: format!("{media}/live/{name}/master.m3u8"),
        dash_url: format!("{media}/live/{name}/manifest.mpd"),
        watch_url: format!("{base}/watch/{name}"),
        token: None,
    }
}

/// A stream that somebody owns, as `caller` sees it.
pub(crate) async fn owned(state: &State, row: Row, caller: Option<&Caller>) -> Result<Shown, Error> {
    let owner = state.directory.card(row.owner_user_id).await?;
    Ok(owned_by(state, row, owner, caller))
}

/// The same, where the owner's card is at hand.
pub(crate) fn owned_by(state: &State, row: Row, owner: Option<Card>, caller: Option<&Caller>) -> Shown {
    let mine = caller.is_some_and(|caller| caller.user == row.owner_user_id);
    let name = state.gate.name_of(row.id).unwrap_or_else(|| row.name.clone());
    let on_air = (state.live.look)(&name);
    let mut playback = playback(state, &row.name);
    let visibility = row.visibility();
    if mine && visibility == Visibility::Private {
        playback.token = Some(playback_token(state, &row, row.owner_user_id).0);
    }
    Shown {
        id: row.id.uuid(),
        status: status(on_air.as_ref()),
        viewer_count: on_air.as_ref().map_or(0, |on_air| on_air.viewers),
        owner,
        created_at: Timestamp(row.created_at),
        started_at: on_air.as_ref().map(|on_air| on_air.started_at),
        video: on_air.as_ref().and_then(|on_air| on_air.video.clone()),
        audio: on_air.as_ref().and_then(|on_air| on_air.audio.clone()),
        ingest: mine.then(|| Ingest {
            rtmp_url: state.live.ingest_url.clone(),
        }),
        health: on_air.filter(|_| mine).map(|on_air| on_air.health),
        stream_key: None,
        playback,
        visibility,
        record: row.record.0,
        name: row.name,
        title: row.title,
        description: row.description,
    }
}

/// A token for a viewer of a private stream, and when it ends.
pub(crate) fn playback_token(state: &State, row: &Row, viewer: nova_domain::db::UserId) -> (String, Timestamp) {
    let ends = state
        .clock
        .now()
        .plus_micros(i64::from(state.config.playback_minutes) * 60_000_000);
    (state.gate.tokens().sign(row.id, viewer, ends), ends)
}

/// A broadcast of open publishing, which nobody owns. Its id is made of its name, always the same.
pub(crate) fn open(state: &State, broadcast: &Broadcast) -> Option<Shown> {
    open_named(state, broadcast.stream())
}

/// The same by name, as long as it can be watched.
pub(crate) fn open_named(state: &State, name: &str) -> Option<Shown> {
    if state.gate.get(name).is_some() {
        return None;
    }
    let on_air = (state.live.look)(name)?;
    let digest = Sha256::digest(format!("open stream {name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Some(Shown {
        id: uuid::Builder::from_custom_bytes(bytes).into_uuid(),
        name: name.to_owned(),
        title: name.to_owned(),
        description: String::new(),
        visibility: Visibility::Public,
        record: false,
        status: status(Some(&on_air)),
        viewer_count: on_air.viewers,
        owner: None,
        created_at: on_air.started_at,
        started_at: Some(on_air.started_at),
        video: on_air.video,
        audio: on_air.audio,
        playback: playback(state, name),
        ingest: None,
        health: None,
        stream_key: None,
    })
}

/// The stream, when the caller may know of it; 404 otherwise. A private one is its owner's, and moderators may look.
pub(crate) async fn visible(state: &State, id_or_name: &str, caller: Option<&Caller>) -> Result<Row, Problem> {
    let row = stream::find(state.db.read(), id_or_name)
        .await?
        .ok_or_else(Problem::not_found)?;
    let viewer = caller.map(|caller| caller.user);
    if viewer == Some(row.owner_user_id) || caller.is_some_and(|caller| caller.may_moderate(row.owner_user_id)) {
        return Ok(row);
    }
    if row.visibility() == Visibility::Private {
        return Err(Problem::not_found());
    }
    let sql = format!(
        "SELECT CAST(1 AS BIGINT) FROM media_streams s WHERE s.id = $1 AND {}",
        not_hidden("s.owner_user_id", "$2")
    );
    let met: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(row.id)
        .bind(viewer.map(|viewer| viewer.to_string()).unwrap_or_default())
        .fetch_optional(state.db.read())
        .await?;
    met.map(|_| row).ok_or_else(Problem::not_found)
}

/// The stream, when it is the caller's own or they moderate; 403 when they may see it and 404 when they may not.
pub(crate) async fn moderated(state: &State, id_or_name: &str, caller: &Caller) -> Result<Row, Problem> {
    let row = visible(state, id_or_name, Some(caller)).await?;
    if caller.may_moderate(row.owner_user_id) {
        return Ok(row);
    }
    Err(Problem::forbidden("this stream belongs to somebody else"))
}

/// The stream, when it is the caller's own; 403 when they may see it and 404 when they may not.
pub(crate) async fn mine(state: &State, id_or_name: &str, caller: &Caller) -> Result<Row, Problem> {
    let row = visible(state, id_or_name, Some(caller)).await?;
    if row.owner_user_id == caller.user {
        return Ok(row);
    }
    Err(Problem::forbidden("this stream belongs to somebody else"))
}
