//! Clips: drives `nova_packager::Clip`. What is whole is shared with its source in the store, the two ends are read, cut, and where they have to be
//! encoded anew by a worker.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use nova_core::store::StoreError;
use nova_media::{Cut, Facts, MakeError};
use nova_packager::clip::{self, Clip, End};
use nova_packager::{Recording, Stream};
use nova_transcode::{EdgeJob, Transcoder, edge};
use tokio::runtime::Handle;

use crate::library::VideoLibrary;
use crate::picture::picture_at;

/// How often it is looked whether what is on air has come to the end of a clip, and how long.
const LOOK: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(60);
/// How much more bits the pictures at the ends get than the rendition has in the mean: a short span has no run-up, and begins with a keyframe.
const GENEROSITY: u64 = 2;
/// Least and most of them, bits a second.
const BIT_RATES: (u64, u64) = (300_000, 40_000_000);

/// Makes a clip in `folder`.
pub(crate) async fn make(
    library: &VideoLibrary,
    transcoder: Option<&Arc<Transcoder>>,
    folder: &str,
    cut: &Cut,
) -> Result<Facts, MakeError> {
    let (source, mut clip, ends) = plan(library, cut).await?;
    // What an earlier try left is not what this one makes.
    library.clear(folder).await.map_err(machine)?;
    let prefix = VideoLibrary::prefix(folder);
    for end in &ends {
        if let Some((name, bytes)) = make_end(library, transcoder, &mut clip, end).await? {
            let key = format!("{prefix}/{name}");
            library.put(&key, vec![bytes]).await.map_err(machine)?;
        }
    }
    for (from, name) in clip.shared() {
        library.copy(from, &format!("{prefix}/{name}")).await.map_err(gone)?;
    }
    if let Some(transcoder) = transcoder {
        let at_us = cut.start_us + cut.cover_us;
        match picture_at(library, transcoder, &source, at_us, cut.is_reel).await {
            Ok(Some(jpeg)) => library.keep_thumbnail(folder, jpeg).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(folder, %error, "a clip has no picture"),
        }
    }
    let index = clip.index(folder, &prefix);
    let recording = Recording::read(&index)
        .context("the index of a clip")
        .map_err(MakeError::Machine)?;
    let facts = crate::library::facts(&recording);
    library.put_index(folder, index).await.map_err(machine)?;
    Ok(facts)
}

fn machine(error: impl Into<anyhow::Error>) -> MakeError {
    MakeError::Machine(error.into())
}

/// An object of the source that is not there was deleted with it.
fn gone(error: StoreError) -> MakeError {
    match error {
        StoreError::NotFound(_) => MakeError::Input("the video that it is cut from is gone".into()),
        other => machine(other),
    }
}

/// Waits until the source has all of it: of what is on air, the newest segment may not be whole yet.
async fn plan(library: &VideoLibrary, cut: &Cut) -> Result<(Arc<Stream>, Clip, Vec<End>), MakeError> {
    let waiting = async {
        loop {
            let (source, grows) = library.source(&cut.source).await.map_err(machine)?;
            match source.map(|source| (Clip::plan(&source, cut.start_us, cut.end_us), source)) {
                Some((Ok((clip, ends)), source)) if !grows || clip.is_complete() => return Ok((source, clip, ends)),
                Some((Err(clip::Error::Beyond { .. } | clip::Error::Empty), _)) if grows => {}
                Some((Err(error), _)) => return Err(MakeError::Input(error.to_string())),
                // A broadcast that has just begun has nothing in the library yet.
                None if !cut.grows => return Err(gone(StoreError::NotFound(cut.source.clone()))),
                Some((Ok(_), _)) | None => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_elapsed| Err(MakeError::Input("it has not come so far yet".into())))
}

/// Cuts one segment. Its object's name and bytes, when it is not shared after all.
async fn make_end(
    library: &VideoLibrary,
    transcoder: Option<&Arc<Transcoder>>,
    clip: &mut Clip,
    end: &End,
) -> Result<Option<(String, Bytes)>, MakeError> {
    let segment = library.get(&end.key).await.map_err(gone)?;
    let recode = match clip.cut(end, &segment).map_err(machine)? {
        clip::Cut::Whole | clip::Cut::Nothing => return Ok(None),
        clip::Cut::Frames(frames) => return Ok(Some(clip.put(end, &frames, None).map_err(machine)?)),
        clip::Cut::Recode(recode) => recode,
    };
    let transcoder = transcoder.ok_or_else(|| {
        machine(anyhow!(
            "this server has no worker program to cut between keyframes with"
        ))
    })?;
    let bit_rate = (recode.bit_rate * GENEROSITY).clamp(BIT_RATES.0, BIT_RATES.1);
    let job = EdgeJob {
        track: recode.track.clone(),
        frames: recode.frames.clone(),
        from: recode.from,
        until: recode.until,
        frame_rate: recode.frame_rate,
        bit_rate: u32::try_from(bit_rate).unwrap_or(u32::MAX),
        parameter_set: recode.parameter_set,
    };
    let (track, frames) = edge(transcoder.settings(), &Handle::current(), job)
        .await
        .map_err(machine)?;
    let put = clip
        .put(end, &recode.fit(frames), Some(&track.config))
        .map_err(machine)?;
    Ok(Some(put))
}
