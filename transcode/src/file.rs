//! Video on demand: what a file is, and ladders made from it, span by span.
//!
//! A file comes from anybody. It is opened only in a worker that may read nothing else, with bounded memory, and looking at it has a time
//! limit. Keyframes lie on a grid from the file's start, so that spans that begin on the grid can be made by several workers, on several
//! machines, and joined without a seam: each picture belongs to exactly one span, and each span begins with a keyframe.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nova_core::media::{Codec, Media, Track, TrackId};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;

use crate::ladder::Rung;
use crate::live::{Event, RUNG_TRACK, SOUND_TRACK};
use crate::process::{self, Nice, Worker};
use crate::transcoder::{Error, Settings};
use crate::wire::{FileStart, Reply, Request, RungStart, SoundStart, Start};

const OUTPUT_MAX: u64 = 64 << 10;
/// Looking at a file, the whole of a badly indexed one included.
const PATIENCE: Duration = Duration::from_secs(30);
/// A worker that gives nothing for so long hangs: a bomb, or a picture that takes forever.
const SILENCE: Duration = Duration::from_secs(30);
/// Sound of the AAC rendition.
const SOUND_BIT_RATE: u32 = 160_000;

/// The pictures of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pictures {
    /// As GStreamer calls it: `video/x-h264`.
    pub codec: String,
    /// Samples a row as stored; see [`Probe::rotation`].
    pub width: u16,
    /// Rows as stored.
    pub height: u16,
    /// Sample aspect ratio.
    pub sar: (u16, u16),
    /// Pictures a second; `None` when it varies.
    pub frame_rate: Option<(u32, u32)>,
    /// Two fields a picture.
    pub interlaced: bool,
}

/// The sound of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sound {
    /// As GStreamer calls it: `audio/mpeg`.
    pub codec: String,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
    /// ISO 639, when the file says it.
    pub language: Option<String>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// As GStreamer calls it: `video/quicktime`.
    pub container: String,
    /// Microseconds; `None` when the file does not say it.
    pub duration_us: Option<u64>,
    /// Clockwise, 0, 90, 180 or 270: what a player has to turn the picture by.
    pub rotation: u16,
    /// Video tracks.
    pub pictures: Vec<Pictures>,
    /// Audio tracks.
    pub sound: Vec<Sound>,
}

impl Probe {
    /// The first video track as [`crate::plan`] wants it, turned as viewers see it.
    pub fn video(&self) -> Option<Track> {
        let pictures = self.pictures.first()?;
        let turned = self.rotation % 180 == 90;
        let (width, height, sar) = (pictures.width, pictures.height, pictures.sar);
        Some(Track {
            id: TrackId(0),
            codec: Codec::Avc,
            timescale: 90_000,
            config: bytes::Bytes::new(),
            codec_string: pictures.codec.clone(),
            media: Media::Video {
                width: if turned { height } else { width },
                height: if turned { width } else { height },
                sar: if turned { (sar.1, sar.0) } else { sar },
                frame_rate: pictures.frame_rate,
            },
        })
    }

    fn audio(&self) -> Option<Track> {
        let sound = self.sound.first()?;
        Some(Track {
            id: TrackId(1),
            codec: Codec::Aac,
            timescale: sound.sample_rate.max(1),
            config: bytes::Bytes::new(),
            codec_string: sound.codec.clone(),
            media: Media::Audio {
                sample_rate: sound.sample_rate,
                channels: sound.channels,
                frame_samples: None,
            },
        })
    }
}

/// Looks at a file in a worker of its own.
pub async fn probe(settings: &Settings, path: &Path) -> Result<Probe, Error> {
    let path = std::path::absolute(path)?;
    let mut child = process::command(settings, "inspect", Nice::File)
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let read = async {
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            let (mut stdout, mut stderr) = (stdout.take(OUTPUT_MAX), stderr.take(OUTPUT_MAX));
            tokio::try_join!(stdout.read_to_end(&mut output), stderr.read_to_end(&mut errors))?;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_elapsed| Error::Timeout(PATIENCE.as_millis() as u64))??;
    if !status.success() {
        let reason = String::from_utf8_lossy(&errors);
        return Err(Error::Worker(
            reason.trim().lines().last().unwrap_or_default().to_owned(),
        ));
    }
    serde_json::from_slice(&output).map_err(|error| Error::Worker(error.to_string()))
}

/// What to make of a file.
#[derive(Clone, Debug)]
pub struct FileJob {
    /// The file.
    pub path: PathBuf,
    /// What [`probe`] said of it.
    pub probe: Probe,
    /// Rungs, largest first ([`crate::plan`] with [`Probe::video`]); none for sound alone.
    pub rungs: Vec<Rung>,
    /// The AAC rendition as well. It has no grid to be cut at: make it once, for the whole file.
    pub sound: bool,
    /// Microseconds; both ends on the grid. `None` is the file's end.
    pub span: (u64, Option<u64>),
    /// Keyframes are the first picture at or after each multiple of this: the segments' duration.
    pub grid_ms: u32,
}

/// A ladder that is being made of a file. Dropping it ends the worker.
pub struct FileLadder {
    worker: Worker,
    ended: bool,
}

impl FileLadder {
    /// Starts a worker.
    pub fn start(settings: &Settings, runtime: &Handle, job: &FileJob) -> Result<Self, Error> {
        let path = std::path::absolute(&job.path)?;
        let mut worker = Worker::start_for(settings, runtime, &path)?;
        let rungs = job.rungs.iter().enumerate().map(|(index, rung)| RungStart {
            track: TrackId(RUNG_TRACK.0 + index as u8),
            name: rung.name.clone(),
            width: rung.width,
            height: rung.height,
            bit_rate: rung.bit_rate,
            frame_rate_divisor: rung.frame_rate_divisor,
            after: None,
            shed: false,
        });
        let sound = job.probe.audio().filter(|_| job.sound).map(|source| SoundStart {
            source,
            track: SOUND_TRACK,
            bit_rate: SOUND_BIT_RATE,
            from: None,
        });
        worker.send(&Request::Start(Box::new(Start {
            video: job.probe.video().filter(|_| !job.rungs.is_empty()),
            rungs: rungs.collect(),
            sound,
            encoder: None,
            frame_rate: None,
            file: Some(FileStart {
                path: path.to_string_lossy().into_owned(),
                from_us: job.span.0,
                to_us: job.span.1,
                grid_ms: job.grid_ms,
            }),
        })));
        Ok(Self { worker, ended: false })
    }

    /// The next event: tracks and frames as from [`crate::Live`], [`Event::Flushed`] when all is out, then `None`. The worker is as fast as
    /// this is called. Cancel-safe; an error ends the job, which may be begun anew.
    pub async fn receive(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let reply = tokio::time::timeout(SILENCE, self.worker.receive()).await;
            match reply.map_err(|_elapsed| Error::Timeout(SILENCE.as_millis() as u64))?? {
                Reply::Track { name, track } => return Ok(Some(Event::Track { name, track: *track })),
                Reply::Frame(frame) => return Ok(Some(Event::Frame(frame))),
                Reply::Flushed => {
                    self.ended = true;
                    return Ok(Some(Event::Flushed));
                }
                Reply::Fault(reason) => return Err(Error::Worker(reason)),
                Reply::Ready { .. } | Reply::FrameRate(..) | Reply::Taken(_) | Reply::Still { .. } => {}
            }
        }
    }
}
