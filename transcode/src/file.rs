//! Video on demand: what a file is, and ladders made from it, span by span.
//!
//! A file comes from anybody. It is opened only in a worker that may read nothing else, with bounded memory, and looking at it has a time
//! limit. Keyframes lie on a grid from the file's start, so that spans that begin on the grid can be made by several workers, on several
//! machines, and joined without a seam: each picture belongs to exactly one span, and each span begins with a keyframe.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use nova_core::media::{Codec, Media, Track, TrackId};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;

use crate::ladder::Rung;
use crate::live::{Event, RUNG_TRACK, SOUND_TRACK};
use crate::process::{self, Nice, Worker};
use crate::transcoder::{Error, Settings};
use crate::wire::{self, FileStart, Reply, Request, RungStart, SoundStart, Start};

const OUTPUT_MAX: u64 = 64 << 10;
/// Looking at a file, the whole of a badly indexed one included.
const PATIENCE: Duration = Duration::from_secs(30);
/// A worker that gives nothing for so long hangs: a bomb, or a picture that takes forever.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);
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
            config: Bytes::new(),
            codec_string: pictures.codec.clone(),
            media: Media::Video {
                width: if turned { height } else { width },
                height: if turned { width } else { height },
                sar: if turned { (sar.1, sar.0) } else { sar },
                frame_rate: pictures.frame_rate,
                colour: None,
            },
        })
    }

    /// Even sides of a picture as viewers see it, at most `width` wide.
    fn size(&self, width: u16) -> Option<(u16, u16)> {
        let Media::Video {
            width: w,
            height: h,
            sar,
            ..
        } = self.video()?.media
        else {
            return None;
        };
        let shown = (u64::from(w) * u64::from(sar.0)).checked_div(u64::from(sar.1))?;
        let width = u64::from(width).min(shown) & !1;
        let height = (width * u64::from(h)).checked_div(shown)?.next_multiple_of(2);
        let side = |side: u64| u16::try_from(side).ok().filter(|side| *side >= 2);
        side(width).zip(side(height))
    }

    fn audio(&self) -> Option<Track> {
        let sound = self.sound.first()?;
        Some(Track {
            id: TrackId(1),
            codec: Codec::Aac,
            timescale: sound.sample_rate.max(1),
            config: Bytes::new(),
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
        return Err(Error::Worker(reason_of(&String::from_utf8_lossy(&errors), status)));
    }
    serde_json::from_slice(&output).map_err(|error| Error::Worker(error.to_string()))
}

/// JPEGs of a file at the given times (microseconds), `width` wide or less, as viewers see it; `None` where there is no picture. With `exact`
/// false it is the nearest keyframe, which costs far less: right for a storyboard. The time limit grows with the number of pictures.
pub async fn pictures_at(
    settings: &Settings,
    path: &Path,
    probe: &Probe,
    width: u16,
    times_us: &[u64],
    exact: bool,
) -> Result<Vec<Option<Bytes>>, Error> {
    if times_us.is_empty() {
        return Ok(Vec::new());
    }
    let (width, height) = probe.size(width).ok_or(Error::NotAKeyframe)?;
    let times: Vec<String> = times_us.iter().map(u64::to_string).collect();
    let mut child = process::command(settings, "pictures", Nice::File)
        .arg(std::path::absolute(path)?)
        .args([width.to_string(), height.to_string()])
        .arg(if exact { "exact" } else { "near" })
        .arg(times.join(","))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdout = child.stdout.take().ok_or(Error::Gone)?;
    let mut pictures = Vec::with_capacity(times_us.len());
    for _ in times_us {
        let read = async {
            let len = stdout.read_u32().await? as usize;
            if len > wire::MESSAGE_MAX {
                return Err(wire::Error::Length { len }.into());
            }
            let mut picture = vec![0; len];
            stdout.read_exact(&mut picture).await?;
            Ok::<_, Error>(Bytes::from(picture))
        };
        let picture = tokio::time::timeout(SILENCE, read).await;
        let picture = picture.map_err(|_elapsed| Error::Timeout(SILENCE.as_millis() as u64))??;
        pictures.push(Some(picture).filter(|picture| !picture.is_empty()));
    }
    Ok(pictures)
}

/// What a worker that failed has to say: the line with its error, whatever GStreamer printed around it. One that was ended says nothing of use.
fn reason_of(said: &str, status: ExitStatus) -> String {
    let line = said.lines().find_map(|line| line.strip_prefix("Error: "));
    match (line, status.signal()) {
        (Some(line), None) => line.to_owned(),
        (_, Some(signal)) => {
            format!(
                "what decodes it was ended (signal {signal}), as happens when data are broken or take too much memory"
            )
        }
        (None, None) => "what decodes it ended without a word".to_owned(),
    }
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
    /// What encodes the pictures ([`crate::Transcoder::choose_encoder`]): all spans of a file need the same. The worker probes when there is none.
    pub encoder: Option<String>,
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
            parameter_set: 0,
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
            encoder: job.encoder.clone(),
            avoid: String::new(),
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
                Reply::EncoderFault(reason) => return Err(Error::Encoder(reason)),
                Reply::Ready { .. } | Reply::FrameRate(..) | Reply::Taken(_) | Reply::Still { .. } => {}
            }
        }
    }
}
