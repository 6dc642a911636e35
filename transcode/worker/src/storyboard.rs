//! Pictures of a file at given times, as JPEGs: thumbnails and storyboards.

use std::io::Write;

use anyhow::Context;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

/// How long one picture may take.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// Writes a JPEG for each time, in order: its length as a big-endian `u32`, then its bytes. Length 0 stands for a picture that is not there.
/// `how` is width, height, and `exact` or `near` (the nearest keyframe, which costs far less), `times` are microseconds with commas.
pub(crate) fn print(path: &str, how: &[String], times: &str) -> anyhow::Result<()> {
    let [width, height, precision] = how else {
        anyhow::bail!("width, height and precision");
    };
    let (width, height): (u16, u16) = (width.parse()?, height.parse()?);
    let pipeline = gst::parse::launch(&format!(
        "filesrc name=file ! decodebin ! deinterlace mode=auto fields=top method=vfir ! videoflip video-direction=auto ! videoconvertscale add-borders=false ! \
         video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1 ! jpegenc quality=82 ! appsink name=out sync=false"
    ))?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().ok().context("pipeline")?;
    pipeline
        .by_name("file")
        .context("source")?
        .set_property("location", path);
    let sink = pipeline
        .by_name("out")
        .and_then(|sink| sink.downcast::<AppSink>().ok())
        .context("sink")?;
    pipeline.set_state(gst::State::Paused)?;
    pipeline.state(PATIENCE).0.context("the file does not decode")?;
    let flags = gst::SeekFlags::FLUSH
        | match precision.as_str() {
            "exact" => gst::SeekFlags::ACCURATE,
            _ => gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_NEAREST,
        };
    let mut out = std::io::stdout().lock();
    for time in times.split(',') {
        let sought = pipeline.seek_simple(flags, gst::ClockTime::from_useconds(time.parse()?));
        let sample = sought.ok().and_then(|()| sink.try_pull_preroll(PATIENCE));
        let picture = sample
            .and_then(|sample| Some(sample.buffer()?.map_readable().ok()?.to_vec()))
            .unwrap_or_default();
        out.write_all(&u32::try_from(picture.len())?.to_be_bytes())?;
        out.write_all(&picture)?;
    }
    out.flush()?;
    pipeline.set_state(gst::State::Null)?;
    Ok(())
}
