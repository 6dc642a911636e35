//! The job that makes a video of a file that has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use nova_domain::db::Error;
use nova_domain::events::VideoReady;
use nova_domain::outbox::Leased;

use crate::domain::State;
use crate::library::{Facts, MakeError};
use crate::upload::MakeVideo;
use crate::video::{self, VideoId};

/// How often progress is written, and how soon giving up has effect.
pub(crate) const TELL: Duration = Duration::from_secs(1);
/// Tries of one video: what the machine could not do so often, it will not do.
pub(crate) const TRIES: i64 = 5;

pub(crate) async fn make(state: State, leased: Leased, job: MakeVideo) -> anyhow::Result<()> {
    let id = job.video.to_string();
    let Some(row) = video::find(state.db.read(), &id).await? else {
        // Deleted meanwhile.
        state.files.remove(job.upload).await?;
        return Ok(());
    };
    if row.status != "processing" {
        return Ok(());
    }
    // One at a time in this process: each takes every core there is.
    let Ok(_turn) = state.making.acquire().await else {
        return Ok(());
    };
    let (source, progress) = (state.files.path(job.upload), Arc::new(AtomicU8::new(0)));
    let making = state.live.library.make(&row.folder, &source, Arc::clone(&progress));
    tokio::pin!(making);
    let mut told = 0;
    let made = loop {
        tokio::select! {
            made = &mut making => break made,
            () = tokio::time::sleep(TELL) => {
                let percent = progress.load(Ordering::Relaxed);
                if !goes_on(&state, job.video, percent.max(told)).await? {
                    // Given up or deleted: the future is dropped, and the workers with it.
                    break Err(MakeError::Input(String::new()));
                }
                told = told.max(percent);
            }
        }
    };
    match made {
        Ok(facts) => {
            finish(&state, job.video, &row.folder, &facts).await?;
            state.files.remove(job.upload).await?;
        }
        Err(MakeError::Input(why)) if why.is_empty() => state.live.library.remove(&row.folder).await?,
        Err(MakeError::Input(why)) => {
            // Nothing of it stays but its row, which is last: until then the job would be done again.
            state.live.library.remove(&row.folder).await?;
            state.files.remove(job.upload).await?;
            fail(&state, job.video, &why).await?;
        }
        Err(MakeError::Machine(error)) if leased.attempt >= TRIES => {
            tracing::error!(video = id, %error, "a video cannot be made");
            state.live.library.remove(&row.folder).await?;
            fail(&state, job.video, "this server could not make it; try again later").await?;
            // The file stays for another try.
            return Ok(());
        }
        Err(MakeError::Machine(error)) => return Err(error),
    }
    if video::find(state.db.read(), &id).await?.is_none() {
        state.live.library.remove(&row.folder).await?;
    }
    Ok(())
}

/// Writes progress down; false when the video has been given up or deleted.
pub(crate) async fn goes_on(state: &State, id: VideoId, percent: u8) -> Result<bool, Error> {
    let mut tx = state.db.begin().await?;
    let told = sqlx::query("UPDATE media_videos SET progress = $1 WHERE id = $2 AND status = 'processing'")
        .bind(i64::from(percent.min(99)))
        .bind(id)
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(told.rows_affected() == 1)
}

/// It can be watched from now on, unless it was given up or deleted meanwhile.
pub(crate) async fn finish(state: &State, id: VideoId, folder: &str, facts: &Facts) -> Result<(), Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let row = video::lock(&mut tx, id).await?;
    if let Some(row) = row.filter(|row| row.status == "processing") {
        video::finish(&mut tx, folder, facts, now).await?;
        let event = VideoReady {
            video: id.to_string(),
            owner: row.owner_user_id,
        };
        tx.emit(&event, Some(row.owner_user_id), now).await?;
    }
    tx.commit().await
}

/// It could not be made, and why.
pub(crate) async fn fail(state: &State, id: VideoId, why: &str) -> Result<(), Error> {
    let why: String = why.chars().take(500).collect();
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE media_videos SET status = 'failed', error = $1 WHERE id = $2 AND status = 'processing'")
        .bind(why)
        .bind(id)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}
