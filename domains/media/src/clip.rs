//! The job that makes a clip of a video.

use std::time::Duration;

use nova_domain::outbox::{Job, Leased};
use serde::{Deserialize, Serialize};

use crate::caption;
use crate::domain::State;
use crate::library::{Cut, MakeError};
use crate::make::{TELL, TRIES, fail, finish, goes_on};
use crate::video::{self, Row, VideoId};

/// A clip is made; what it is cut from, its row says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MakeClip {
    pub(crate) video: VideoId,
}

impl Job for MakeClip {
    const TYPE: &'static str = "media.make_clip";
    /// It takes seconds: one whose process was killed is not waited for longer.
    const LEASE: Duration = Duration::from_secs(10);
}

pub(crate) async fn make(state: State, leased: Leased, job: MakeClip) -> anyhow::Result<()> {
    let id = job.video.to_string();
    let Some(row) = video::find(state.db.read(), &id)
        .await?
        .filter(|row| row.status == "processing")
    else {
        return Ok(());
    };
    let Ok(_turn) = state.clipping.acquire().await else {
        return Ok(());
    };
    let Some(cut) = cut_of(&state, &row).await? else {
        return give_up(&state, &row, "the video that it is cut from is gone").await;
    };
    let making = state.live.library.clip(&row.folder, &cut);
    tokio::pin!(making);
    let made = loop {
        tokio::select! {
            made = &mut making => break made,
            () = tokio::time::sleep(TELL) => {
                if !goes_on(&state, job.video, 0).await? {
                    // Given up or deleted: the future is dropped, and the workers with it.
                    state.live.library.remove(&row.folder).await?;
                    return Ok(());
                }
            }
        }
    };
    match made {
        Ok(facts) => {
            caption::carry(&state, &row).await?;
            finish(&state, job.video, &row.folder, &facts).await?;
        }
        Err(MakeError::Input(why)) => give_up(&state, &row, &why).await?,
        Err(MakeError::Machine(error)) if leased.attempt >= TRIES => {
            tracing::error!(clip = id, %error, "a clip cannot be made");
            give_up(&state, &row, "this server could not make it; try again later").await?;
        }
        Err(MakeError::Machine(error)) => return Err(error),
    }
    if video::find(state.db.read(), &id).await?.is_none() {
        state.live.library.remove(&row.folder).await?;
    }
    Ok(())
}

/// It could not be made: nothing of it stays but its row.
async fn give_up(state: &State, row: &Row, why: &str) -> anyhow::Result<()> {
    fail(state, row.id, why).await?;
    state.live.library.remove(&row.folder).await
}

/// What is cut from where; `None` when that is gone.
async fn cut_of(state: &State, row: &Row) -> anyhow::Result<Option<Cut>> {
    let Some(source) = &row.clip_of else { return Ok(None) };
    let source = video::find(state.db.read(), source).await?;
    Ok(source.map(|source| Cut {
        grows: source.status == "live",
        source: source.folder,
        start_us: row.clip_start_us,
        end_us: row.clip_end_us,
        cover_us: row.cover_us,
        is_reel: row.reel.0,
    }))
}
