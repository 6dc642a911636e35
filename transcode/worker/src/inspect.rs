//! What a file is, by GStreamer's discoverer.

use std::path::Path;

use anyhow::Context;
use gstreamer as gst;
use gstreamer::glib::prelude::*;
use gstreamer_pbutils as pbutils;
use gstreamer_pbutils::prelude::*;
use nova_transcode::{Pictures, Probe, Sound};

/// A little less than the server waits.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(25);
/// Tracks that are told.
const TRACKS: usize = 32;

/// Prints it as one line of JSON.
pub(crate) fn print(path: &str) -> anyhow::Result<()> {
    let uri = gst::glib::filename_to_uri(Path::new(path), None).context("path")?;
    let info = pbutils::Discoverer::new(PATIENCE)?.discover_uri(&uri)?;
    // What was found until then is not what the file is.
    anyhow::ensure!(
        info.result() != pbutils::DiscovererResult::Timeout,
        "it does not show within {} s what it is",
        PATIENCE.seconds()
    );
    let name = |stream: &pbutils::DiscovererStreamInfo| {
        let caps = stream.caps();
        caps.and_then(|caps| Some(caps.structure(0)?.name().to_string()))
            .unwrap_or_default()
    };
    let mut rotation = 0;
    let mut pictures = Vec::new();
    for stream in info
        .video_streams()
        .into_iter()
        .take(TRACKS)
        .filter(|stream| !stream.is_image())
    {
        let tags = stream.tags();
        let turn = tags
            .as_ref()
            .and_then(|tags| Some(tags.get::<gst::tags::ImageOrientation>()?.get().to_owned()));
        if pictures.is_empty() {
            rotation = turn
                .and_then(|turn| turn.strip_prefix("rotate-")?.parse().ok())
                .unwrap_or(0);
        }
        let (rate, par) = (stream.framerate(), stream.par());
        let positive = |value: i32| u32::try_from(value).ok().filter(|value| *value > 0);
        let small = |value: i32| u16::try_from(value).ok().filter(|value| *value > 0);
        pictures.push(Pictures {
            codec: name(stream.upcast_ref()),
            width: u16::try_from(stream.width()).context("a picture too wide")?,
            height: u16::try_from(stream.height()).context("a picture too high")?,
            sar: small(par.numer()).zip(small(par.denom())).unwrap_or((1, 1)),
            frame_rate: positive(rate.numer()).zip(positive(rate.denom())),
            interlaced: stream.is_interlaced(),
        });
    }
    let sound = info.audio_streams().into_iter().take(TRACKS).map(|stream| Sound {
        codec: name(stream.upcast_ref()),
        sample_rate: stream.sample_rate(),
        channels: u8::try_from(stream.channels()).unwrap_or(u8::MAX),
        language: stream.language().map(|language| language.to_string()),
    });
    let sound = sound.collect();
    let probe = Probe {
        container: info.stream_info().map(|stream| name(&stream)).unwrap_or_default(),
        duration_us: info.duration().map(|duration| duration.useconds()),
        rotation,
        pictures,
        sound,
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &probe)?;
    std::io::Write::write_all(&mut out, b"\n").context("standard output")
}
