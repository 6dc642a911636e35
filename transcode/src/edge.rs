//! Pictures made anew at the edges of a clip, so that it begins and ends where it was asked to: between keyframes.
//!
//! What comes out has the size and the presentation times of what went in and lies in the same track beside pictures of the first encoder.
//! Its parameter sets therefore have numbers of their own, and one decoder configuration serves both. Only x264 can be told such numbers, so
//! it is the encoder here whatever the ladder is made with.

use nova_core::media::{Codec, Frame, Media, Track};
use tokio::runtime::Handle;

use crate::file::SILENCE;
use crate::live::RUNG_TRACK;
use crate::process::Worker;
use crate::transcoder::{Error, Settings};
use crate::wire::{Reply, Request, RungStart, Start};

/// Pictures of a segment, of which some are made anew.
#[derive(Clone, Debug)]
pub struct EdgeJob {
    /// What they are: H.264 of 8 bits, 4:2:0.
    pub track: Track,
    /// In decoding order, from a keyframe on.
    pub frames: Vec<Frame>,
    /// The first that is made, by its presentation time; it becomes a keyframe.
    pub from: i64,
    /// Those at or after this are not made.
    pub until: i64,
    /// Pictures a second, when it is known.
    pub frame_rate: Option<(u32, u32)>,
    /// Bits a second.
    pub bit_rate: u32,
    /// Number of the parameter sets: one that `track` does not have.
    pub parameter_set: u8,
}

/// Makes them, in presentation order, which is their decoding order. The track has the encoder's own decoder configuration.
pub async fn edge(settings: &Settings, runtime: &Handle, job: EdgeJob) -> Result<(Track, Vec<Frame>), Error> {
    let Media::Video { width, height, .. } = job.track.media else {
        return Err(Error::NotAKeyframe);
    };
    if job.track.codec != Codec::Avc || !job.frames.first().is_some_and(|frame| frame.keyframe) {
        return Err(Error::NotAKeyframe);
    }
    let mut worker = Worker::start_beside(settings, runtime, "edge")?;
    worker.send(&Request::Start(Box::new(Start {
        rungs: vec![RungStart {
            track: RUNG_TRACK,
            name: "edge".into(),
            width,
            height,
            bit_rate: job.bit_rate,
            frame_rate_divisor: 1,
            after: Some(job.from - 1),
            shed: false,
            parameter_set: job.parameter_set,
        }],
        sound: None,
        encoder: Some("x264enc".into()),
        avoid: String::new(),
        frame_rate: job.frame_rate,
        file: None,
        video: Some(job.track),
    })));
    // One segment: it is small enough to be under way as a whole.
    for frame in job.frames {
        worker.send(&Request::Frame(frame));
    }
    worker.send(&Request::Flush);
    let (mut made, mut frames) = (None, Vec::new());
    loop {
        let reply = tokio::time::timeout(SILENCE, worker.receive()).await;
        match reply.map_err(|_elapsed| Error::Timeout(SILENCE.as_millis() as u64))?? {
            Reply::Track { track, .. } => made = Some(*track),
            Reply::Frame(frame) if frame.pts() >= job.until => {}
            Reply::Frame(frame) => frames.push(frame),
            Reply::Flushed => break,
            Reply::Fault(reason) | Reply::EncoderFault(reason) => return Err(Error::Worker(reason)),
            Reply::Ready { .. } | Reply::FrameRate(..) | Reply::Taken(_) | Reply::Still { .. } => {}
        }
    }
    match made {
        Some(track) if frames.first().is_some_and(|frame| frame.keyframe) => Ok((track, frames)),
        _ => Err(Error::Worker("no picture came out".into())),
    }
}
