//! Files that are still coming: their rows, and the folder they lie in until a video has been made of them.
//!
//! A file lies in `{data_dir}/uploads/{id}` and its length is the offset: what a killed process had written is there, and nothing else has to be
//! kept in step with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashSet;
use nova_core::clock::Timestamp;
use nova_domain::db::{Db, Error, Id, Tx, UserId};
use nova_domain::outbox::Job;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::domain::State;
use crate::image;
use crate::video::VideoId;

/// How often uploads are looked through for those whose time is over.
const SWEEP: Duration = Duration::from_secs(60);

/// How long the file of a video that failed or was given up stays for another try.
const LEFT_MICROS: i64 = 7 * 86_400_000_000;

/// A file that is coming: the marker of its id.
pub(crate) enum Upload {}

/// The id of an upload.
pub(crate) type UploadId = Id<Upload>;

/// An upload as it is kept.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: UploadId,
    pub(crate) owner_user_id: UserId,
    pub(crate) video_id: VideoId,
    pub(crate) length: i64,
    pub(crate) metadata: String,
    pub(crate) expires_at: i64,
}

const COLUMNS: &str = "u.id, u.owner_user_id, u.video_id, u.length, u.metadata, u.expires_at";

/// The upload with this id.
pub(crate) async fn find(db: &Db, id: &str) -> Result<Option<Row>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let sql = format!("SELECT {COLUMNS} FROM media_uploads u WHERE u.id = $1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id.to_lowercase())
        .fetch_optional(db.read())
        .await?)
}

/// The folder of files that are coming, and which of them are being written.
#[derive(Clone)]
pub(crate) struct Files {
    folder: Arc<Path>,
    busy: Arc<DashSet<UploadId>>,
}

/// A file that nobody else writes for now.
pub(crate) struct Writing {
    files: Files,
    id: UploadId,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.files.busy.remove(&self.id);
    }
}

impl Files {
    pub(crate) fn new(data_dir: &Path) -> std::io::Result<Self> {
        let folder = data_dir.join("uploads");
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            folder: folder.into(),
            busy: Arc::default(),
        })
    }

    /// Where the file of an upload lies.
    pub(crate) fn path(&self, id: impl std::fmt::Display) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Bytes of it that are here.
    pub(crate) async fn offset(&self, id: UploadId) -> std::io::Result<u64> {
        match tokio::fs::metadata(self.path(id)).await {
            Ok(file) => Ok(file.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Keeps others from writing it; `None` when one does.
    pub(crate) fn lock(&self, id: UploadId) -> Option<Writing> {
        self.busy.insert(id).then(|| Writing {
            files: self.clone(),
            id,
        })
    }

    /// Removes the file; one that is not there is no error.
    pub(crate) async fn remove(&self, id: impl std::fmt::Display) -> std::io::Result<()> {
        match tokio::fs::remove_file(self.path(id)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// A video is made of a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MakeVideo {
    pub(crate) video: VideoId,
    /// The upload whose file it is.
    pub(crate) upload: UploadId,
}

impl Job for MakeVideo {
    const TYPE: &'static str = "media.make_video";
}

/// The file has come whole: its video is to be made.
pub(crate) async fn complete(tx: &mut Tx, row: &Row, now: Timestamp) -> Result<(), Error> {
    sqlx::query("DELETE FROM media_uploads WHERE id = $1")
        .bind(row.id)
        .execute(tx.conn())
        .await?;
    let waiting = sqlx::query("UPDATE media_videos SET status = 'processing' WHERE id = $1 AND status = 'uploading'")
        .bind(row.video_id)
        .execute(tx.conn())
        .await?;
    if waiting.rows_affected() == 1 {
        let job = MakeVideo {
            video: row.video_id,
            upload: row.id,
        };
        tx.enqueue(&job, now, now).await?;
    }
    Ok(())
}

/// Gives an upload up: nothing of it stays.
pub(crate) async fn give_up(tx: &mut Tx, row: &Row) -> Result<(), Error> {
    sqlx::query("DELETE FROM media_uploads WHERE id = $1")
        .bind(row.id)
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM media_videos WHERE id = $1 AND status = 'uploading'")
        .bind(row.video_id)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The task: gives up what nobody goes on with, takes up what came whole just before its process was killed, and removes files without a row.
pub(crate) async fn sweep(state: State, stop: CancellationToken) {
    loop {
        if let Err(error) = sweep_once(&state).await {
            tracing::warn!(%error, "uploads could not be looked through");
        }
        if let Err(error) = image::sweep(&state).await {
            tracing::warn!(%error, "pictures could not be looked through");
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn sweep_once(state: &State) -> anyhow::Result<()> {
    let now = state.clock.now();
    let sql = format!("SELECT {COLUMNS} FROM media_uploads u ORDER BY u.expires_at LIMIT 1000");
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .fetch_all(state.db.read())
        .await?;
    for row in rows {
        let Some(_writing) = state.files.lock(row.id) else {
            continue;
        };
        let offset = state.files.offset(row.id).await?;
        if i64::try_from(offset).unwrap_or(i64::MAX) >= row.length {
            let mut tx = state.db.begin().await?;
            complete(&mut tx, &row, now).await?;
            tx.commit().await?;
        } else if row.expires_at < now.0 {
            let mut tx = state.db.begin().await?;
            give_up(&mut tx, &row).await?;
            tx.commit().await?;
            state.files.remove(row.id).await?;
        }
    }
    remove_left(state, now).await
}

/// Removes files that nothing is made of any more: of videos that were given up, and of processes that were killed between row and file.
async fn remove_left(state: &State, now: Timestamp) -> anyhow::Result<()> {
    let mut folder = tokio::fs::read_dir(&state.files.folder).await?;
    while let Some(file) = folder.next_entry().await? {
        let touched = file
            .metadata()
            .await?
            .modified()?
            .duration_since(std::time::UNIX_EPOCH)?;
        if i64::try_from(touched.as_micros()).unwrap_or(i64::MAX) > now.0 - LEFT_MICROS {
            continue;
        }
        let name = file.file_name().to_string_lossy().into_owned();
        let used: Option<i64> = sqlx::query_scalar(
            "SELECT CAST(1 AS BIGINT) FROM media_videos WHERE upload_id = $1 AND status IN ('uploading', 'processing')",
        )
        .bind(name.as_str())
        .fetch_optional(state.db.read())
        .await?;
        if used.is_none() {
            state.files.remove(name).await?;
        }
    }
    Ok(())
}
