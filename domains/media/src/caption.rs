//! Captions of videos: their rows, and what the delivery side wants to know of them.

use std::sync::Arc;

use nova_core::webvtt::{self, Cue};
use nova_domain::db::{Db, Error, Tx};

use crate::video::VideoId;

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

/// The text of one.
pub(crate) async fn cues(db: &Db, video: VideoId, language: &str) -> Result<Arc<[Cue]>, Error> {
    let body: Option<String> =
        sqlx::query_scalar("SELECT c.body FROM media_captions c WHERE c.video_id = $1 AND c.language = $2")
            .bind(video)
            .bind(language)
            .fetch_optional(db.read())
            .await?;
    // It was read before it was kept.
    let cues = body.and_then(|body| webvtt::parse(body.as_bytes()).ok());
    Ok(cues.unwrap_or_default().into())
}

/// Removes all of a video that is going.
pub(crate) async fn forget(tx: &mut Tx, folder: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM media_captions WHERE video_id IN (SELECT v.id FROM media_videos v WHERE v.folder = $1)")
        .bind(folder)
        .execute(tx.conn())
        .await?;
    Ok(())
}
