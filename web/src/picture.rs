//! The picture of a video at a time, as a JPEG.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use nova_core::media::{Frame, Track};
use nova_packager::Stream;
use nova_packager::clip::Moment;
use nova_picture::{Kind, Limits};
use nova_transcode::{EdgeJob, Transcoder, edge};
use tokio::runtime::Handle;

use crate::library::VideoLibrary;

/// Width of the picture that stands for a video.
pub(crate) const THUMBNAIL_WIDTH: u16 = 640;
/// Width of the picture that a cover is cut out of.
const COVER_WIDTH: u16 = 1920;
/// Bits a second for the one picture that is encoded: it is not kept.
const BIT_RATE: u32 = 40_000_000;

/// The picture of `stream` that is shown at this position, microseconds; upright, nine to sixteen, from the middle, for a cover. `None` where there are
/// no pictures.
pub(crate) async fn picture_at(
    library: &VideoLibrary,
    transcoder: &Arc<Transcoder>,
    stream: &Stream,
    at_us: i64,
    is_cover: bool,
) -> anyhow::Result<Option<Bytes>> {
    let Some(moment) = Moment::at(stream, at_us) else {
        return Ok(None);
    };
    let segment = library.get(&moment.key).await?;
    let (track, keyframe) = exact(transcoder, &moment, &segment).await?;
    if !is_cover {
        return Ok(Some(transcoder.still(&track, &keyframe, THUMBNAIL_WIDTH).await?));
    }
    let jpeg = transcoder.still(&track, &keyframe, COVER_WIDTH).await?;
    let made = library.studio().make(jpeg, Kind::Cover, Limits::default()).await?;
    let largest = made.variants.into_iter().next().context("a cover without a size")?;
    Ok(Some(largest.bytes))
}

/// A keyframe that shows the moment: it is made where the segment has none there.
async fn exact(transcoder: &Transcoder, moment: &Moment, segment: &Bytes) -> anyhow::Result<(Track, Frame)> {
    let (frames, shown) = moment.frames(segment).context("the segment cannot be read")?;
    let first = frames.first().context("a segment without pictures")?.clone();
    if first.pts() == shown || !moment.can_be_cut {
        return Ok((Track::clone(&moment.track), first));
    }
    let job = EdgeJob {
        track: Track::clone(&moment.track),
        frames,
        from: shown,
        until: shown + 1,
        frame_rate: moment.frame_rate,
        bit_rate: BIT_RATE,
        parameter_set: 0,
    };
    let (track, made) = edge(transcoder.settings(), &Handle::current(), job).await?;
    let picture = made.into_iter().next().context("no picture came out")?;
    Ok((track, picture))
}
