//! Videos from files: a ladder is made of the file by worker processes, and packaged as a broadcast is, only faster: the same packager, the same
//! objects, the same index.
//!
//! The file is cut into spans on the grid of segments. As many spans as there are cores are made at a time, and what comes of them is put
//! together in order; sound, which has no grid, is made once for the whole file. Memory holds what a span ahead has made, and no more.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, anyhow};
use nova_core::clock::Timestamp;
use nova_core::live::{Epoch, Item};
use nova_core::media::{Frame, Track, TrackId, rescale};
use nova_media::{Facts, MakeError};
use nova_packager::{Config, Output, Packager, Recorder, Stream};
use nova_transcode::{Event, FileJob, FileLadder, Probe, Transcoder, plan_file, probe};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::library::VideoLibrary;
use crate::picture::THUMBNAIL_WIDTH;

/// Duration of a segment. Longer than live: nobody waits for its end.
const SEGMENT_MS: u32 = 4000;
/// Segments in a span: long enough that starting a worker does not count, short enough that the end of a file keeps all cores busy.
const SPAN_SEGMENTS: u64 = 10;
/// And at least so many bytes of the file: one that says it is long and holds next to nothing is not worth thousands of workers.
const SPAN_BYTES: u64 = 64 << 10;
/// Samples of the largest picture that is decoded: 8K. A few kilobytes can claim any size, and a decoder holds many pictures.
const LARGEST: u32 = 8192 * 4352;
/// Events of a span that wait for their turn: a whole span of five renditions at 60 pictures a second.
const AHEAD: usize = 16_384;
/// Longest video: it bounds the number of spans, whatever a file says of itself.
const LONGEST_US: u64 = 24 * 3_600_000_000;
/// A short file may be so much longer than it says.
const BEYOND_US: u64 = 600_000_000;
/// Frames beyond that which are only left out: a flipped bit in a time of a transport stream makes one.
const STRAYS: u32 = 1000;
/// Tries at one span: a worker may be lost to the machine's memory, a file that kills each one is no good.
const TRIES: u32 = 3;

/// What comes of a span, in order; the end of the channel is its end.
type Events = mpsc::Receiver<Result<Event, MakeError>>;

/// Makes a video of `source` in `folder`.
pub(crate) async fn make(
    library: &VideoLibrary,
    transcoder: &Arc<Transcoder>,
    folder: &str,
    source: &Path,
    now: Timestamp,
    progress: &AtomicU8,
) -> Result<Facts, MakeError> {
    let settings = transcoder.settings();
    let looked = probe(settings, source).await.map_err(|error| match error {
        nova_transcode::Error::Worker(why) => MakeError::Input(format!("this file cannot be read: {why}")),
        other => machine(other),
    })?;
    let mut job = plan(transcoder, source, looked)?;
    if !job.rungs.is_empty() {
        job.encoder = transcoder.choose_encoder().await.map_err(machine)?;
    }
    let bytes = tokio::fs::metadata(source).await.map_err(machine)?.len();
    // What an earlier try left is not what this one makes.
    library.clear(folder).await.map_err(machine)?;
    let length_us = job.probe.duration_us.unwrap_or(0);
    let (most_us, mut strays) = (most_us(job.probe.duration_us), 0);
    let mut film = Film::new(transcoder, job, bytes);
    let tracks = film.begin().await?;
    let mut shelf = Shelf::new(library, folder);
    let leader = tracks[0].clone();
    shelf.epoch(tracks, now);
    let mut picture = leader.is_video();
    while let Some(frame) = film.next().await? {
        let at_us = rescale(frame.dts, film.timescale(frame.track), 1_000_000);
        if let Some(percent) = (at_us.max(0).unsigned_abs() * 100).checked_div(length_us) {
            progress.store(u8::try_from(percent.min(99)).unwrap_or(99), Ordering::Relaxed);
        }
        if at_us.max(0).unsigned_abs() > most_us {
            strays += 1;
            if strays <= STRAYS {
                continue;
            }
            let stated = length_us / 1_000_000;
            return Err(MakeError::Input(format!(
                "it does not end where it says, after {stated} s, nor long after"
            )));
        }
        // The picture that stands for it: the first keyframe behind the tenth part.
        if picture && frame.track == leader.id && frame.keyframe && at_us.unsigned_abs() >= length_us / 10 {
            picture = false;
            if let Ok(jpeg) = transcoder.still(&leader, &frame, THUMBNAIL_WIDTH).await {
                library.keep_thumbnail(folder, jpeg).await;
            }
        }
        shelf.push(frame).await?;
    }
    shelf.finish().await
}

fn machine(error: impl Into<anyhow::Error>) -> MakeError {
    MakeError::Machine(error.into())
}

fn plan(transcoder: &Transcoder, source: &Path, looked: Probe) -> Result<FileJob, MakeError> {
    let input = |why: &str| Err(MakeError::Input(why.to_owned()));
    if looked.duration_us.is_some_and(|us| us > LONGEST_US) {
        return input("this file is longer than a day");
    }
    if let Some(pictures) = looked.pictures.first()
        && u32::from(pictures.width) * u32::from(pictures.height) > LARGEST
    {
        let (width, height) = (pictures.width, pictures.height);
        return input(&format!(
            "its pictures of {width}x{height} are too large: 8192x4352 is the most"
        ));
    }
    let video = looked.video();
    let frame_rate = looked.pictures.first().and_then(|pictures| pictures.frame_rate);
    let rungs = video
        .map(|track| plan_file(transcoder.ladder(), &track, frame_rate))
        .unwrap_or_default();
    let sound = !looked.sound.is_empty();
    if rungs.is_empty() && !sound {
        return input("there is neither a picture nor sound in this file");
    }
    Ok(FileJob {
        path: source.to_owned(),
        probe: looked,
        rungs,
        sound,
        span: (0, None),
        grid_ms: SEGMENT_MS,
        encoder: None,
    })
}

/// Everything that is made of a file, as one row of frames in the order of their decode times.
struct Film<'a> {
    transcoder: &'a Arc<Transcoder>,
    job: FileJob,
    /// The spans that are being made, the first one's turn.
    spans: VecDeque<Events>,
    next_us: Option<u64>,
    /// Length of a span.
    span_us: u64,
    sound: Option<Events>,
    lanes: Vec<Lane>,
}

/// One track of it.
struct Lane {
    track: Arc<Track>,
    frames: VecDeque<Frame>,
}

impl<'a> Film<'a> {
    /// `bytes` is the file's length.
    fn new(transcoder: &'a Arc<Transcoder>, job: FileJob, bytes: u64) -> Self {
        let sound = job.sound.then(|| {
            let job = FileJob {
                rungs: Vec::new(),
                ..job.clone()
            };
            start(transcoder, job)
        });
        let mut film = Self {
            transcoder,
            span_us: span_us(job.probe.duration_us.unwrap_or(0), bytes),
            next_us: (!job.rungs.is_empty()).then_some(0),
            job,
            spans: VecDeque::new(),
            sound,
            lanes: Vec::new(),
        };
        film.fill();
        film
    }

    /// Keeps as many spans in the making as there are cores.
    fn fill(&mut self) {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        while self.spans.len() < cores
            && let Some(from_us) = self.next_us
        {
            let to_us = from_us + self.span_us;
            // A file that does not say how long it is is made in one go.
            let ends = self.job.probe.duration_us.is_none_or(|length| to_us >= length) || to_us >= LONGEST_US;
            let job = FileJob {
                sound: false,
                span: (from_us, (!ends).then_some(to_us)),
                ..self.job.clone()
            };
            self.spans.push_back(start(self.transcoder, job));
            self.next_us = (!ends).then_some(to_us);
        }
    }

    /// Waits until every track is known: pictures first, and the largest of them before the others.
    async fn begin(&mut self) -> Result<Vec<Arc<Track>>, MakeError> {
        let wanted = self.job.rungs.len();
        while self.lanes.len() < wanted {
            if !self.step_pictures().await? {
                break;
            }
        }
        let with_sound = self.lanes.len() + usize::from(self.sound.is_some());
        while self.lanes.len() < with_sound {
            if !self.step_sound().await? {
                break;
            }
        }
        if self.lanes.is_empty() {
            return Err(MakeError::Input("nothing in this file can be decoded".to_owned()));
        }
        self.lanes.sort_by_key(|lane| lane.track.id);
        Ok(self.lanes.iter().map(|lane| Arc::clone(&lane.track)).collect())
    }

    fn timescale(&self, track: TrackId) -> u32 {
        self.lanes
            .iter()
            .find(|lane| lane.track.id == track)
            .map_or(90_000, |lane| lane.track.timescale)
    }

    /// The frame with the lowest decode time that is still to come.
    async fn next(&mut self) -> Result<Option<Frame>, MakeError> {
        while let Some(video) = self.awaited() {
            // A step that finds the end of what it asks for changes what is awaited, so that this comes to an end.
            let _more = if video {
                self.step_pictures().await?
            } else {
                self.step_sound().await?
            };
        }
        let first = self
            .lanes
            .iter_mut()
            .filter(|lane| !lane.frames.is_empty())
            .min_by_key(|lane| {
                let timescale = lane.track.timescale;
                lane.frames
                    .front()
                    .map_or(i64::MAX, |frame| rescale(frame.dts, timescale, 1_000_000))
            });
        Ok(first.and_then(|lane| lane.frames.pop_front()))
    }

    /// Takes the next event of the first span; false when there are no more pictures.
    async fn step_pictures(&mut self) -> Result<bool, MakeError> {
        let Some(span) = self.spans.front_mut() else {
            return Ok(false);
        };
        match span.recv().await {
            Some(event) => self.take(event?),
            None => {
                self.spans.pop_front();
                self.fill();
            }
        }
        Ok(true)
    }

    async fn step_sound(&mut self) -> Result<bool, MakeError> {
        let Some(sound) = &mut self.sound else { return Ok(false) };
        match sound.recv().await {
            Some(event) => self.take(event?),
            None => self.sound = None,
        }
        Ok(true)
    }

    /// Whether pictures (or else sound) have to be asked for before it is known which frame is next; `None` when it is. What has ended is not
    /// waited for, whichever ends first.
    fn awaited(&self) -> Option<bool> {
        let (pictures, sound) = (!self.spans.is_empty(), self.sound.is_some());
        let mut empty = self.lanes.iter().filter(|lane| lane.frames.is_empty());
        empty
            .find(|lane| if lane.track.is_video() { pictures } else { sound })
            .map(|lane| lane.track.is_video())
    }

    fn take(&mut self, event: Event) {
        match event {
            // Each span says it again.
            Event::Track { track, .. } => {
                if !self.lanes.iter().any(|lane| lane.track.id == track.id) {
                    self.lanes.push(Lane {
                        track: Arc::new(track),
                        frames: VecDeque::new(),
                    });
                }
            }
            Event::Frame(frame) => {
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.track.id == frame.track) {
                    lane.frames.push_back(frame);
                }
            }
            Event::Flushed | Event::Paused(_) => {}
        }
    }
}

/// What may come of a file that says it is so long: an edit list can play the same second without end, and sound without an index is guessed.
fn most_us(length_us: Option<u64>) -> u64 {
    length_us.map_or(LONGEST_US, |length| {
        (2 * length).max(length + BEYOND_US).min(LONGEST_US)
    })
}

/// Length of a span of a file of so many microseconds and bytes, on the grid.
fn span_us(length_us: u64, bytes: u64) -> u64 {
    let segment_us = u64::from(SEGMENT_MS) * 1000;
    let spans = (bytes / SPAN_BYTES).max(1);
    let segments = length_us.div_ceil(segment_us).div_ceil(spans);
    segments.max(SPAN_SEGMENTS) * segment_us
}

/// Makes a span beside; dropping the channel ends it.
fn start(transcoder: &Arc<Transcoder>, job: FileJob) -> Events {
    let (sender, events) = mpsc::channel(AHEAD);
    let transcoder = Arc::clone(transcoder);
    tokio::spawn(async move {
        if let Err(error) = span(&transcoder, &job, &sender).await {
            let _given_up = sender.send(Err(error)).await;
        }
    });
    events
}

async fn span(
    transcoder: &Transcoder,
    job: &FileJob,
    out: &mpsc::Sender<Result<Event, MakeError>>,
) -> Result<(), MakeError> {
    let mut sent = 0_usize;
    for attempt in 1..=TRIES {
        let mut ladder = FileLadder::start(transcoder.settings(), &Handle::current(), job).map_err(machine)?;
        let mut again = 0;
        loop {
            let event = tokio::select! {
                event = ladder.receive() => event,
                () = out.closed() => return Ok(()),
            };
            match event {
                Ok(Some(event)) => {
                    // The same file gives the same events: what has been sent is not sent again.
                    again += 1;
                    if again > sent {
                        sent = again;
                        if out.send(Ok(event)).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                Ok(None) => return Ok(()),
                Err(nova_transcode::Error::Worker(why)) => {
                    return Err(MakeError::Input(format!("this file cannot be decoded: {why}")));
                }
                // No other encoder goes on where this one has stopped: the whole file is made again, with another.
                Err(error @ nova_transcode::Error::Encoder(_)) => {
                    transcoder.avoid_encoder(&error.to_string());
                    return Err(machine(error));
                }
                Err(error) if attempt == TRIES => {
                    return Err(MakeError::Input(format!(
                        "making it ready failed {TRIES} times: {error}"
                    )));
                }
                Err(error) => {
                    tracing::warn!(%error, attempt, "a worker was lost, its span is made again");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Packages frames into a folder of the library.
struct Shelf<'a> {
    library: &'a VideoLibrary,
    folder: &'a str,
    packager: Packager,
    recorder: Recorder,
    index: String,
}

impl<'a> Shelf<'a> {
    fn new(library: &'a VideoLibrary, folder: &'a str) -> Self {
        let stream = Arc::new(Stream::at(VideoLibrary::prefix(folder), folder.to_owned(), u32::MAX, 1));
        let config = Config {
            segment_ms: SEGMENT_MS,
            part_ms: 1000,
            window_s: u32::MAX,
            memory_s: 12,
        };
        Self {
            library,
            folder,
            recorder: Recorder::new(Arc::clone(&stream)),
            packager: Packager::new(stream, config),
            index: String::new(),
        }
    }

    fn epoch(&mut self, tracks: Vec<Arc<Track>>, wall: Timestamp) {
        self.packager.push(Item::Epoch(Arc::new(Epoch {
            tracks,
            discontinuity: false,
            start_us: 0,
            wall,
        })));
    }

    async fn push(&mut self, frame: Frame) -> Result<(), MakeError> {
        self.packager.push(Item::Frame(frame));
        self.store().await
    }

    /// Stores what is finished. Waiting here is what keeps the workers from running ahead of the disk.
    async fn store(&mut self) -> Result<(), MakeError> {
        let mut stored = false;
        while let Some(output) = self.packager.poll() {
            if let Output::Store(segment) = output {
                // The window sees it as soon as it is whole.
                let pieces = segment
                    .pieces()
                    .context("a segment without bytes")
                    .map_err(MakeError::Machine)?;
                self.library.put(&segment.key, pieces.to_vec()).await.map_err(machine)?;
                segment.mark_stored();
                stored = true;
            }
        }
        if stored {
            self.packager.publish();
            self.index.push_str(&self.recorder.observe());
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Facts, MakeError> {
        self.packager.push(Item::End);
        self.packager.publish();
        self.store().await?;
        self.packager.publish();
        self.index.push_str(&self.recorder.finish());
        let recording = self.recorder.recording().filter(|recording| !recording.is_empty());
        let facts = recording.map(crate::library::facts);
        let facts = facts.ok_or_else(|| MakeError::Input("nothing in this file could be shown".to_owned()))?;
        self.library
            .put_index(self.folder, std::mem::take(&mut self.index))
            .await
            .map_err(|error| machine(anyhow!(error)))?;
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: u64 = 3_600_000_000;

    #[test]
    fn a_file_that_holds_next_to_nothing_is_made_in_one_go_whatever_length_it_claims() {
        assert!(span_us(23 * HOUR_US, 1400) >= 23 * HOUR_US);
        assert_eq!(span_us(HOUR_US, 500_000_000), 40_000_000);
        assert_eq!(span_us(0, 0), 40_000_000);
        assert_eq!(
            [Some(1_000_000), Some(2 * HOUR_US), None].map(most_us),
            [601_000_000, 4 * HOUR_US, LONGEST_US]
        );
        let third = span_us(24 * HOUR_US, 3 * SPAN_BYTES);
        assert_eq!((third, third % 4_000_000), (8 * HOUR_US, 0));
    }
}
