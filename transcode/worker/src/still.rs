//! One keyframe to one JPEG.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use nova_core::media::{Frame, Media, Track};

use crate::source;

/// A little less than the server waits.
const PATIENCE: Duration = Duration::from_millis(1500);
const STEP: Duration = Duration::from_millis(50);

pub(crate) fn jpeg(track: &Track, frame: Frame, width: u16) -> anyhow::Result<Bytes> {
    let (width, height) = size(&track.media, width).context("no picture")?;
    let decoder = source::decoder(track).context("no decoder")?;
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=in format=time ! {decoder} ! videoconvertscale add-borders=false ! \
         video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1 ! jpegenc quality=82 ! \
         appsink name=out sync=false async=false"
    ))?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().ok().context("pipeline")?;
    let result = run(&pipeline, track, frame);
    pipeline.set_state(gst::State::Null)?;
    result
}

fn run(pipeline: &gst::Pipeline, track: &Track, frame: Frame) -> anyhow::Result<Bytes> {
    let element = |name: &str| pipeline.by_name(name).context("element");
    let input = element("in")?.downcast::<AppSrc>().ok().context("appsrc")?;
    let output = element("out")?.downcast::<AppSink>().ok().context("appsink")?;
    let bus = pipeline.bus().context("bus")?;
    input.set_caps(Some(&source::caps(track)));
    pipeline.set_state(gst::State::Playing)?;
    input.push_buffer(source::buffer(frame, track.timescale))?;
    input.end_of_stream()?;
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        let step = gst::ClockTime::from_mseconds(STEP.as_millis() as u64);
        if let Some(sample) = output.try_pull_sample(step) {
            let buffer = sample.buffer().context("a sample without a picture")?;
            return Ok(Bytes::from(buffer.map_readable()?.to_vec()));
        }
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
            && let gst::MessageView::Error(error) = message.view()
        {
            bail!("{}", error.error());
        }
        if output.is_eos() {
            bail!("the keyframe does not decode");
        }
    }
    bail!("the keyframe takes too long")
}

/// Even sides in the shape that viewers see, never larger than the source.
fn size(media: &Media, width: u16) -> Option<(u32, u32)> {
    let Media::Video {
        width: w,
        height: h,
        sar,
        ..
    } = *media
    else {
        return None;
    };
    let (w, h) = (
        u64::from(w) * u64::from(sar.0.max(1)) / u64::from(sar.1.max(1)),
        u64::from(h),
    );
    let width = u64::from(width).min(w) & !1;
    let height = (width * h).checked_div(w)?.next_multiple_of(2);
    let fits = |side: u64| u32::try_from(side).ok().filter(|side| (2..=16_384).contains(side));
    fits(width).zip(fits(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_still_has_the_shape_that_viewers_see() {
        let media = |width, height, sar| Media::Video {
            width,
            height,
            sar,
            frame_rate: None,
            colour: None,
        };
        assert_eq!(size(&media(1920, 1080, (1, 1)), 640), Some((640, 360)));
        assert_eq!(size(&media(720, 576, (64, 45)), 640), Some((640, 360)));
        assert_eq!(size(&media(320, 180, (1, 1)), 640), Some((320, 180)));
        assert_eq!(size(&media(0, 0, (0, 0)), 640), None);
    }
}
