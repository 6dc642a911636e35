//! Captions of videos: their rows, and what the delivery side wants to know of them.

use std::sync::Arc;

use nova_core::webvtt::{self, Cue};
use nova_domain::db::{Db, Error, Tx};

use crate::domain::State;
use crate::video::{Row, VideoId};

/// Languages of one video.
pub(crate) const MOST: i64 = 50;

/// A track of captions, without its text.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Caption {
    /// BCP 47, in small letters.
    pub language: String,
    /// What players show in their menus.
    pub label: String,
    /// How many there are.
    pub cues: i64,
    /// Microseconds; another for another text.
    pub created_at: i64,
}

/// Those of a video, by language.
pub(crate) async fn of(db: &Db, video: VideoId) -> Result<Vec<Caption>, Error> {
    Ok(sqlx::query_as(
        "SELECT c.language, c.label, c.cues, c.created_at FROM media_captions c WHERE c.video_id = $1 ORDER BY c.language",
    )
    .bind(video)
    .fetch_all(db.read())
    .await?)
}

/// The text of one, unless there is another in its place.
pub(crate) async fn cues(db: &Db, video: VideoId, known: &Caption) -> Result<Option<Arc<[Cue]>>, Error> {
    let body: Option<String> = sqlx::query_scalar(
        "SELECT c.body FROM media_captions c WHERE c.video_id = $1 AND c.language = $2 AND c.created_at = $3",
    )
    .bind(video)
    .bind(known.language.as_str())
    .bind(known.created_at)
    .fetch_optional(db.read())
    .await?;
    // It was read before it was kept.
    Ok(body
        .and_then(|body| webvtt::parse(body.as_bytes()).ok())
        .map(Into::into))
}

/// Gives a clip those captions of its source that are shown in it, with its own times. Done again, nothing changes.
pub(crate) async fn carry(state: &State, clip: &Row) -> Result<(), Error> {
    let Some(source) = &clip.clip_of else { return Ok(()) };
    let tracks: Vec<(String, String, String)> =
        sqlx::query_as("SELECT c.language, c.label, c.body FROM media_captions c WHERE c.video_id = $1")
            .bind(source.as_str())
            .fetch_all(state.db.read())
            .await?;
    let millis = |us: i64| u64::try_from(us / 1000).unwrap_or(0);
    let (from, until) = (millis(clip.clip_start_us), millis(clip.clip_end_us));
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    for (language, label, body) in tracks {
        let cues = webvtt::parse(body.as_bytes()).unwrap_or_default();
        let part = webvtt::write(&cues, from, until, None);
        // None that is shown in it is no track.
        let Ok(kept) = webvtt::parse(part.as_bytes()) else {
            continue;
        };
        sqlx::query(
            "INSERT INTO media_captions (video_id, language, label, body, cues, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (video_id, language) DO NOTHING",
        )
        .bind(clip.id)
        .bind(language)
        .bind(label)
        .bind(part)
        .bind(i64::try_from(kept.len()).unwrap_or(i64::MAX))
        .bind(now.0)
        .execute(tx.conn())
        .await?;
    }
    tx.commit().await
}

/// Removes all of a video that is going.
pub(crate) async fn forget(tx: &mut Tx, folder: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM media_captions WHERE video_id IN (SELECT v.id FROM media_videos v WHERE v.folder = $1)")
        .bind(folder)
        .execute(tx.conn())
        .await?;
    Ok(())
}
