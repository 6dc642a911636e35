//! The rows of videos: recordings, uploads and clips.

use nova_core::clock::Timestamp;
use nova_domain::db::{Db, Engine, Error, Executor, Flag, Id, Tx, UserId};
use nova_domain::outbox::Job;
use nova_domain::policy::Visibility;
use nova_domain::secret::random;
use serde::{Deserialize, Serialize};

use crate::caption;
use crate::domain::State;
use crate::library::Facts;
use crate::stream::{self, StreamId};

/// Something to watch again: the marker of its id.
pub(crate) enum Video {}

/// The id of a video.
pub(crate) type VideoId = Id<Video>;

/// A video as it is kept.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: VideoId,
    pub(crate) owner_user_id: UserId,
    pub(crate) stream_id: Option<String>,
    pub(crate) source: String,
    pub(crate) folder: String,
    pub(crate) title: String,
    pub(crate) description: String,
    visibility: String,
    pub(crate) status: String,
    pub(crate) progress: i64,
    pub(crate) error: String,
    pub(crate) duration_us: i64,
    pub(crate) width: i64,
    pub(crate) height: i64,
    pub(crate) bytes: i64,
    pub(crate) upload_id: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) clip_of: Option<String>,
    pub(crate) clip_start_us: i64,
    pub(crate) clip_end_us: i64,
    pub(crate) reel: Flag,
    pub(crate) cover_us: i64,
    pub(crate) storyboard: Flag,
}

impl Row {
    pub(crate) fn visibility(&self) -> Visibility {
        Visibility::parse(&self.visibility)
    }
}

/// The columns of a [`Row`], of a table called `v`.
pub(crate) const COLUMNS: &str = "v.id, v.owner_user_id, v.stream_id, v.source, v.folder, v.title, v.description, v.visibility, v.status, \
                                  v.progress, v.error, v.duration_us, v.width, v.height, v.bytes, v.upload_id, v.created_at, v.clip_of, \
                                  v.clip_start_us, v.clip_end_us, v.reel, v.cover_us, v.storyboard";

/// Where the objects of a new video will lie: nobody can guess it. `kind` is one letter for whoever looks into the store.
pub(crate) fn new_folder(kind: char) -> String {
    let bytes = random::<16>();
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once(kind.to_string()).chain(digits).collect()
}

/// The video with this id.
pub(crate) async fn find(on: impl Executor<'_>, id: &str) -> Result<Option<Row>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let sql = format!("SELECT {COLUMNS} FROM media_videos v WHERE v.id = $1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id.to_lowercase())
        .fetch_optional(on)
        .await?)
}

/// The video whose objects lie in this folder.
pub(crate) async fn by_folder(db: &Db, folder: &str) -> Result<Option<Row>, Error> {
    if folder.contains('\0') {
        return Ok(None);
    }
    let sql = format!("SELECT {COLUMNS} FROM media_videos v WHERE v.folder = $1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(folder)
        .fetch_optional(db.read())
        .await?)
}

/// The video with this id, its row locked until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: VideoId) -> Result<Option<Row>, Error> {
    let lock = match tx.engine() {
        Engine::Postgres => " FOR UPDATE",
        Engine::Sqlite => "",
    };
    let sql = format!("SELECT {COLUMNS} FROM media_videos v WHERE v.id = $1{lock}");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(tx.conn())
        .await?)
}

/// A broadcast that is recorded has begun: its recording is a video from then on, with the stream's words and visibility.
pub(crate) async fn begin_recording(
    tx: &mut Tx,
    stream: StreamId,
    owner: UserId,
    folder: &str,
    at: Timestamp,
) -> Result<(), Error> {
    let Some(row) = stream::lock(tx, stream).await? else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO media_videos (id, owner_user_id, stream_id, source, folder, title, description, visibility, status, progress, error, \
         duration_us, width, height, bytes, created_at) VALUES ($1, $2, $3, 'recording', $4, $5, $6, $7, 'live', 0, '', 0, 0, 0, 0, $8)",
    )
    .bind(VideoId::new(at))
    .bind(owner)
    .bind(stream)
    .bind(folder)
    .bind(row.title.as_str())
    .bind(row.description.as_str())
    .bind(row.visibility().as_str())
    .bind(at.0)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Folders of recordings whose broadcast is over for all that the database knows, and when the stream was on air last.
pub(crate) async fn unfinished(db: &Db, before: Timestamp) -> Result<Vec<(String, i64)>, Error> {
    Ok(sqlx::query_as(
        "SELECT v.folder, CAST(COALESCE((SELECT MAX(b.ended_at) FROM media_broadcasts b WHERE b.stream_id = v.stream_id), 0) AS BIGINT) \
         FROM media_videos v WHERE v.status = 'live' AND v.created_at < $1 AND NOT EXISTS (SELECT 1 FROM media_broadcasts b \
         WHERE b.stream_id = v.stream_id AND b.ended_at IS NULL) ORDER BY v.created_at LIMIT 100",
    )
    .bind(before.0)
    .fetch_all(db.read())
    .await?)
}

/// A recording is whole.
pub(crate) async fn finish(tx: &mut Tx, folder: &str, facts: &Facts, now: Timestamp) -> Result<(), Error> {
    sqlx::query(
        "UPDATE media_videos SET status = 'ready', progress = 100, duration_us = $1, width = $2, height = $3, bytes = $4, upload_id = NULL, ready_at = $5 \
         WHERE folder = $6",
    )
    .bind(facts.duration_us)
    .bind(i64::from(facts.width))
    .bind(i64::from(facts.height))
    .bind(i64::try_from(facts.bytes).unwrap_or(i64::MAX))
    .bind(now.0)
    .bind(folder)
    .execute(tx.conn())
    .await?;
    let folder = folder.to_owned();
    tx.enqueue(&MakeStoryboard { folder }, now, now).await
}

/// Nothing of a broadcast was kept: there is no video of it.
pub(crate) async fn forget(tx: &mut Tx, folder: &str) -> Result<(), Error> {
    caption::forget(tx, folder).await?;
    sqlx::query("DELETE FROM media_videos WHERE folder = $1")
        .bind(folder)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The storyboard of a video that is whole is made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MakeStoryboard {
    pub(crate) folder: String,
}

impl Job for MakeStoryboard {
    const TYPE: &'static str = "media.make_storyboard";
}

impl MakeStoryboard {
    pub(crate) async fn run(self, state: State) -> anyhow::Result<()> {
        let Some(row) = by_folder(&state.db, &self.folder).await? else {
            return Ok(());
        };
        // Videos are made first: it takes its turn behind them.
        let Ok(_turn) = state.clipping.acquire().await else {
            return Ok(());
        };
        if !state.live.library.storyboard(&self.folder).await? {
            return Ok(());
        }
        let mut tx = state.db.begin().await?;
        let told = sqlx::query("UPDATE media_videos SET storyboard = 1 WHERE id = $1")
            .bind(row.id)
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        if told.rows_affected() == 0 {
            // Deleted meanwhile.
            state.live.library.remove(&self.folder).await?;
        }
        Ok(())
    }
}

/// The objects of a video that is gone are removed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RemoveObjects {
    pub(crate) folder: String,
    /// The upload whose file was still here.
    #[serde(default)]
    pub(crate) upload: Option<String>,
    /// The video, where it could be watched: a CDN may have copies.
    #[serde(default)]
    pub(crate) watched: Option<VideoId>,
}

impl Job for RemoveObjects {
    const TYPE: &'static str = "media.remove_objects";
}
