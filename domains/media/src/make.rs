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
use crate::video;

/// How often progress is written, and how soon giving up has effect.
const TELL: Duration = Duration::from_secs(1);
/// Tries of one video: what the machine could not do so often, it will not do.
const TRIES: i64 = 5;

pub(crate) async fn make(state: State, leased: Leased, job: MakeVideo) -> anyhow::Result<()> {
    let id = job.video.to_string();
    let Some(row) = video::find(&state.db, &id).await? else {
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
                if !goes_on(&state, &job, percent.max(told)).await? {
                    // Given up or deleted: the future is dropped, and the workers with it.
                    break Err(MakeError::Input(String::new()));
                }
                told = told.max(percent);
            }
        }
    };
    match made {
        Ok(facts) => finish(&state, &job, &row.folder, &facts).await?,
        Err(MakeError::Input(why)) if why.is_empty() => {}
        Err(MakeError::Input(why)) => {
            fail(&state, &job, &why).await?;
            state.files.remove(job.upload).await?;
        }
        Err(MakeError::Machine(error)) if leased.attempt >= TRIES => {
            tracing::error!(video = id, %error, "a video cannot be made");
            fail(&state, &job, "this server could not make it; try again later").await?;
            // The file stays for another try.
            return Ok(());
        }
        Err(MakeError::Machine(error)) => return Err(error),
    }
    if video::find(&state.db, &id).await?.is_none() {
        state.live.library.remove(&row.folder).await?;
    }
    Ok(())
}

/// Writes progress down; false when the video has been given up or deleted.
async fn goes_on(state: &State, job: &MakeVideo, percent: u8) -> Result<bool, Error> {
    let mut tx = state.db.begin().await?;
    let told = sqlx::query("UPDATE media_videos SET progress = $1 WHERE id = $2 AND status = 'processing'")
        .bind(i64::from(percent.min(99)))
        .bind(job.video)
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(told.rows_affected() == 1)
}

async fn finish(state: &State, job: &MakeVideo, folder: &str, facts: &Facts) -> anyhow::Result<()> {
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let row = video::lock(&mut tx, job.video).await?;
    if let Some(row) = row.filter(|row| row.status == "processing") {
        video::finish(&mut tx, folder, facts, now).await?;
        let event = VideoReady {
            video: job.video.to_string(),
            owner: row.owner_user_id,
        };
        tx.emit(&event, Some(row.owner_user_id), now).await?;
    }
    tx.commit().await?;
    state.files.remove(job.upload).await?;
    Ok(())
}

async fn fail(state: &State, job: &MakeVideo, why: &str) -> Result<(), Error> {
    let why: String = why.chars().take(500).collect();
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE media_videos SET status = 'failed', error = $1 WHERE id = $2 AND status = 'processing'")
        .bind(why)
        .bind(job.video)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}
