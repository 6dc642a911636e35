//! What this machine can do: encoders are tried with a few frames, since their factories exist wherever a library is installed.

use anyhow::Context;
use gstreamer as gst;
use gstreamer::prelude::*;
use nova_transcode::Found;

use crate::elements;

/// A graphics card's first encoder may take its time.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// The first H.264 encoder that works.
pub(crate) fn h264() -> Option<&'static str> {
    elements::H264
        .iter()
        .map(|encoder| encoder.name)
        .find(|name| encodes_pictures(name))
}

/// The first AAC encoder that works.
pub(crate) fn aac() -> Option<&'static str> {
    elements::AAC
        .iter()
        .map(|encoder| encoder.name)
        .find(|name| encodes_sound(name))
}

/// Prints what is there, a line each.
pub(crate) fn print() -> anyhow::Result<()> {
    let mut found = Vec::new();
    let encoders = elements::H264.iter().map(|encoder| ("h264", encoder));
    for (codec, encoder) in encoders.chain(elements::AAC.iter().map(|encoder| ("aac", encoder))) {
        if elements::exists(encoder.name) {
            found.push(Found {
                kind: "encoder".into(),
                codec: codec.into(),
                name: encoder.name.into(),
                hardware: encoder.hardware,
                works: if codec == "aac" {
                    encodes_sound(encoder.name)
                } else {
                    encodes_pictures(encoder.name)
                },
            });
        }
    }
    for (_, codec, names) in elements::DECODERS {
        for name in names.iter().filter(|name| elements::exists(name)) {
            found.push(Found {
                kind: "decoder".into(),
                codec: codec.into(),
                name: (*name).into(),
                hardware: false,
                works: gst::ElementFactory::make(name).build().is_ok(),
            });
        }
    }
    let mut out = std::io::stdout().lock();
    for line in found {
        serde_json::to_writer(&mut out, &line)?;
        std::io::Write::write_all(&mut out, b"\n").context("standard output")?;
    }
    Ok(())
}

fn encodes_pictures(name: &str) -> bool {
    elements::exists(name)
        && runs(&format!(
            "videotestsrc num-buffers=5 ! video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! {} ! h264parse ! \
             video/x-h264,stream-format=avc,alignment=au ! fakesink name=out sync=false",
            elements::encoder(name, 600_000, 7_000_000, 0)
        ))
}

fn encodes_sound(name: &str) -> bool {
    elements::exists(name)
        && runs(&format!(
            "audiotestsrc num-buffers=5 ! audioconvert ! audio/x-raw,rate=48000,channels=2 ! {} ! fakesink name=out sync=false",
            elements::sound_encoder(name, 128_000)
        ))
}

/// True when the pipeline comes to its end and something has come out.
fn runs(description: &str) -> bool {
    let Some(pipeline) = gst::parse::launch(description)
        .ok()
        .and_then(|bin| bin.downcast::<gst::Pipeline>().ok())
    else {
        return false;
    };
    let ended = pipeline.set_state(gst::State::Playing).is_ok()
        && pipeline.bus().is_some_and(|bus| {
            let message = bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Eos, gst::MessageType::Error]);
            message.is_some_and(|message| message.type_() == gst::MessageType::Eos)
        });
    let sink = pipeline.by_name("out");
    let out = ended && sink.is_some_and(|sink| sink.property::<Option<gst::Sample>>("last-sample").is_some());
    let _ = pipeline.set_state(gst::State::Null);
    out
}
