//! Storyboards: small pictures of a whole video on a few sheets, and WebVTT that says which is of when (`#xywh`, Media Fragments URI 4.2.2).
//!
//! The pictures are the keyframes at the beginnings of segments: they lie in the store, and decoding one of them alone costs some
//! milliseconds, whatever the length of the video.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use nova_core::webvtt;
use nova_packager::Stream;
use nova_packager::clip::Moment;
use nova_transcode::Transcoder;

use crate::library::VideoLibrary;

/// Pictures of one video.
const MOST: i64 = 200;
/// Pictures are not nearer than this, microseconds.
const NEAREST_US: i64 = 2_000_000;
/// Width of one.
const WIDTH: u16 = 160;
/// Pictures in a row of a sheet.
const COLUMNS: u32 = 10;
/// Pictures of a sheet.
const PER_SHEET: usize = 100;

/// Makes the storyboard of a whole video; false where there are no pictures.
pub(crate) async fn make(
    library: &VideoLibrary,
    transcoder: &Arc<Transcoder>,
    folder: &str,
    stream: &Stream,
    length_us: i64,
) -> anyhow::Result<bool> {
    let step_us = (length_us / MOST).max(NEAREST_US);
    let mut pictures: Vec<Shot> = Vec::new();
    let mut at_us = 0;
    while at_us < length_us {
        let Some(moment) = Moment::small(stream, at_us) else {
            return Ok(false);
        };
        at_us += step_us;
        // Several may be of one long segment: its keyframe stands for all of them.
        if pictures.last().is_some_and(|last| last.key == moment.key) {
            continue;
        }
        let jpeg = still(library, transcoder, &moment).await;
        pictures.push(Shot {
            at_us: at_us - step_us,
            key: moment.key,
            jpeg,
        });
    }
    if pictures.iter().all(|shot| shot.jpeg.is_none()) {
        return Ok(false);
    }
    let prefix = VideoLibrary::prefix(folder);
    let mut size = (0, 0);
    for (number, shots) in pictures.chunks(PER_SHEET).enumerate() {
        let tiles = shots.iter().map(|shot| shot.jpeg.clone()).collect();
        let sheet = library.studio().sheet(tiles, COLUMNS).await?;
        size = sheet.tile;
        let key = format!("{prefix}/storyboard/{number}.jpg");
        library.put(&key, vec![sheet.bytes]).await?;
    }
    let mut text = String::from("WEBVTT\n");
    for (number, shot) in pictures.iter().enumerate() {
        let ends_us = pictures.get(number + 1).map_or(length_us, |next| next.at_us);
        let (sheet, place) = (number / PER_SHEET, u32::try_from(number % PER_SHEET).unwrap_or(0));
        let (x, y) = (place % COLUMNS * size.0, place / COLUMNS * size.1);
        text.push('\n');
        webvtt::write_time(&mut text, u64::try_from(shot.at_us / 1000).unwrap_or(0));
        text.push_str(" --> ");
        webvtt::write_time(&mut text, u64::try_from(ends_us / 1000).unwrap_or(0));
        let _infallible = writeln!(
            text,
            "\n{folder}/storyboard/{sheet}.jpg#xywh={x},{y},{},{}",
            size.0, size.1
        );
    }
    library
        .put(&format!("{prefix}/storyboard.vtt"), vec![text.into()])
        .await?;
    Ok(true)
}

struct Shot {
    at_us: i64,
    /// Its segment.
    key: String,
    jpeg: Option<Bytes>,
}

/// A picture that cannot be made stays black: the others are none the worse.
async fn still(library: &VideoLibrary, transcoder: &Transcoder, moment: &Moment) -> Option<Bytes> {
    let made = async {
        let segment = library.get(&moment.key).await?;
        let (frames, _) = moment.frames(&segment).context("the segment cannot be read")?;
        let first = frames.first().context("a segment without pictures")?;
        anyhow::Ok(transcoder.still(&moment.track, first, WIDTH).await?)
    };
    made.await
        .inspect_err(|error| tracing::debug!(key = moment.key, %error, "a storyboard lacks a picture"))
        .ok()
}
