//! What this machine can do: encoders are tried with a few frames, since their factories exist wherever a library is installed.

use anyhow::Context;
use gstreamer as gst;
use gstreamer::prelude::*;
use nova_transcode::Found;

use crate::elements;

/// A graphics card's first encoder may take its time.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// The first H.264 encoder that works; one of `avoid` (names with commas) only where there is no other.
pub(crate) fn h264(avoid: &str) -> Option<&'static str> {
    let mut names: Vec<&'static str> = elements::h264().map(|encoder| encoder.name).collect();
    names.sort_by_key(|name| avoid.split(',').any(|avoided| avoided == *name));
    names.into_iter().find(|name| encodes_pictures(name).is_ok())
}

/// The first AAC encoder that works.
pub(crate) fn aac() -> Option<&'static str> {
    elements::AAC
        .iter()
        .map(|encoder| encoder.name)
        .find(|name| encodes_sound(name).is_ok())
}

/// Prints what is there, a line each.
pub(crate) fn print() -> anyhow::Result<()> {
    let mut found = Vec::new();
    let encoders = elements::h264().map(|encoder| ("h264", encoder));
    for (codec, encoder) in encoders.chain(elements::AAC.into_iter().map(|encoder| ("aac", encoder))) {
        if elements::exists(encoder.name) {
            let tried = if codec == "aac" {
                encodes_sound(encoder.name)
            } else {
                encodes_pictures(encoder.name)
            };
            found.push(Found {
                kind: "encoder".into(),
                codec: codec.into(),
                name: encoder.name.into(),
                hardware: encoder.hardware,
                works: tried.is_ok(),
                why: tried.err(),
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
                why: None,
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

fn encodes_pictures(name: &str) -> Result<(), String> {
    installed(name)?;
    runs(&format!(
        "videotestsrc num-buffers=5 ! video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! {} ! h264parse ! \
         video/x-h264,stream-format=avc,alignment=au ! fakesink name=out sync=false",
        elements::encoder(name, 600_000, 7_000_000, 0)
    ))
}

fn encodes_sound(name: &str) -> Result<(), String> {
    installed(name)?;
    runs(&format!(
        "audiotestsrc num-buffers=5 ! audioconvert ! audio/x-raw,rate=48000,channels=2 ! {} ! fakesink name=out sync=false",
        elements::sound_encoder(name, 128_000)
    ))
}

fn installed(name: &str) -> Result<(), String> {
    if elements::exists(name) {
        Ok(())
    } else {
        Err("it is not installed".to_owned())
    }
}

/// Whether the pipeline comes to its end and something has come out, or why not.
fn runs(description: &str) -> Result<(), String> {
    let pipeline = gst::parse::launch(description).map_err(|error| error.message().to_owned())?;
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .map_err(|_bin| "no pipeline".to_owned())?;
    let result = end_of(&pipeline);
    let _ = pipeline.set_state(gst::State::Null);
    result
}

fn end_of(pipeline: &gst::Pipeline) -> Result<(), String> {
    let bus = pipeline.bus().ok_or("no bus")?;
    let started = pipeline.set_state(gst::State::Playing);
    let patience = if started.is_ok() {
        PATIENCE
    } else {
        gst::ClockTime::ZERO
    };
    let message = bus.timed_pop_filtered(patience, &[gst::MessageType::Eos, gst::MessageType::Error]);
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => return Err(error.error().message().to_owned()),
        Some(_) => {}
        None if started.is_ok() => return Err(format!("nothing came out within {} s", PATIENCE.seconds())),
        None => return Err("it does not start".to_owned()),
    }
    let sink = pipeline.by_name("out").ok_or("no sink")?;
    match sink.property::<Option<gst::Sample>>("last-sample") {
        Some(_) => Ok(()),
        None => Err("nothing came out".to_owned()),
    }
}
