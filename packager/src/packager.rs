//! The packager of one broadcast: items of the hub in, parts and segments out, into the [`Stream`] that viewers read. Sans-IO: wall-clock
//! times come with the items, and what is to be stored or deleted is told through [`Packager::poll`].
//!
//! The first track (video where there is video) leads: its keyframes begin segments, and every other track is cut at the same media time
//! with the same number. Frames of the others are held until the leader has passed them, so that a boundary is known before they are placed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use nova_core::clock::Timestamp;
use nova_core::live::{Epoch, Item};
use nova_core::media::{Codec, Frame, Media, Track, TrackId, rescale};

use crate::captions;
use crate::fmp4::fragment::Chunk;
use crate::fmp4::init;
use crate::rendition::{BitRate, OpenSegment, Part, Rendition, Segment, View};
use crate::segmenter::{Cut, Segmenter};
use crate::stream::{Period, Stream, Timing};

/// How far another track may run ahead of the leader before it is placed without it.
const LEAD_US: i64 = 1_500_000;
/// How much longer than a segment the beginning may be watched for a second keyframe.
const GOP_WAIT_US: i64 = 600_000;
/// How much shorter than a segment the beginning may be: clocks count in milliseconds.
const OPENING_SLACK_US: i64 = 5_000;
/// How much longer than for itself the beginning may be watched for rungs that are made of it.
const RUNG_WAIT_US: i64 = 1_500_000;
/// Frames that may wait for the leader: [`LEAD_US`] of any sound.
const PENDING_FRAMES: usize = 2048;
/// How far an encoder's clock may be from the wall clock before DASH is told, by a Period of its own (conformance 77): HLS has its dates for that.
const DRIFT_US: i64 = 500_000;

/// What the packager needs to know. See `LiveConfig` for the meaning.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Target of a segment's duration.
    pub segment_ms: u32,
    /// Target of a part's duration.
    pub part_ms: u32,
    /// Seconds in the playlists.
    pub window_s: u32,
    /// Seconds kept in memory.
    pub memory_s: u32,
}

/// Work for whoever owns the object store.
#[derive(Debug)]
pub enum Output {
    /// Put the segment's pieces under its key, then call [`Segment::mark_stored`].
    Store(Arc<Segment>),
    /// Delete the object with this key: no playlist has named it for longer than the longest playlist.
    Delete(String),
}

/// See the module.
pub struct Packager {
    stream: Arc<Stream>,
    config: Config,
    tracks: Vec<TrackWriter>,
    /// Index of the track that leads.
    leader: usize,
    state: State,
    /// Where the media clock stands on the wall clock: (media time, wall time).
    anchor: (i64, Timestamp),
    /// The running epoch's start.
    epoch_start_us: i64,
    /// The next segment is the first of an epoch.
    fresh: bool,
    discontinuity: bool,
    /// Number of the newest segment begun, and where each began that some track has not reached: `(msn, start)`.
    msn: Option<u64>,
    begun: VecDeque<(u64, i64)>,
    offline: bool,
    ended: bool,
    out: VecDeque<Output>,
    retired_msn: u64,
    warned_forced_cut: bool,
    /// Frames were lost: the epoch goes on somewhere else than it started.
    skipped: bool,
    /// How far the leader has come.
    leader_us: i64,
    /// Names of the rungs that this epoch is to have.
    expected: Vec<String>,
    /// Told once the first views are in place: before it is known, nothing is answered.
    timing: Option<Timing>,
}

enum State {
    /// Watching the first frames, to learn how long frames and GOPs are.
    Opening {
        frames: Vec<Frame>,
    },
    Running {
        segmenter: Segmenter,
        part_target_us: i64,
    },
}

struct TrackWriter {
    track: Arc<Track>,
    rendition: Arc<Rendition>,
    active: bool,
    /// Made from the leader, and so behind it: it is cut where the leader was, and decides nothing.
    rung: bool,
    /// A rung of which nothing comes for now.
    paused: bool,
    /// Frames the leader has not passed.
    pending: VecDeque<Frame>,
    /// The newest frame, whose duration the next one tells.
    last: Option<Frame>,
    part: Vec<Frame>,
    durations: Vec<u32>,
    part_ticks: i64,
    usual_duration: u32,
    composition_shift: Option<i32>,
    sequence: u32,
    open: OpenSegment,
    /// The open segment has begun: a frame was placed into it.
    begun: bool,
    open_frames: u32,
    segments: Arc<Vec<Arc<Segment>>>,
    listed: usize,
    discontinuity_sequence: u64,
    inits: Arc<Vec<Bytes>>,
    rate: BitRate,
    total_bits: u128,
    total_ticks: u128,
    /// Pictures and their time since the epoch began.
    rate_frames: u64,
    rate_ticks: u64,
    dirty: bool,
}

impl TrackWriter {
    fn us(&self, ticks: i64) -> i64 {
        rescale(ticks, self.track.timescale, 1_000_000)
    }

    fn ticks(&self, us: i64) -> i64 {
        rescale(us, 1_000_000, self.track.timescale)
    }

    /// Where a frame stands on the common clock: its decode time plus the distance at which this epoch's keyframes are shown. For a
    /// keyframe that is when it is shown. The files themselves carry decode times and offsets as the encoder made them: players that
    /// read negative offsets without an edit list move the picture (libavformat does, by the largest).
    fn at_us(&self, frame: &Frame) -> i64 {
        self.us(frame.dts + i64::from(self.composition_shift.unwrap_or(0)))
    }

    fn length(&self, frame: &Frame) -> u32 {
        frame.duration.unwrap_or(self.usual_duration).max(1)
    }

    /// Gives the newest frame its duration and puts it into the part.
    fn settle(&mut self, next_dts: Option<i64>) {
        let Some(frame) = self.last.take() else { return };
        let duration = match next_dts {
            Some(next) => u32::try_from(next - frame.dts).unwrap_or(1).max(1),
            None => self.length(&frame),
        };
        // A hole is not how long frames usually are.
        if u64::from(duration) < u64::from(self.track.timescale) * 2 {
            self.usual_duration = duration;
        }
        self.part_ticks += i64::from(duration);
        self.part.push(frame);
        self.durations.push(duration);
    }

    fn close_part(&mut self) {
        let Some(first) = self.part.first() else { return };
        let shown = first.dts + i64::from(self.composition_shift.unwrap_or(0));
        let chunk = Chunk {
            sequence: self.sequence,
            decode_time: first.dts.max(0).cast_unsigned(),
            frames: &self.part,
            durations: &self.durations,
            wall: self.open.wall.plus_micros(self.us(shown - self.open.start)),
            wall_time: shown.max(0).cast_unsigned(),
            starts_segment: self.open.parts.is_empty(),
            roll_group: self.track.codec == Codec::Opus,
        };
        let written = chunk.write(chunk.starts_segment && first.keyframe && self.track.is_video());
        let part = Part {
            duration: u32::try_from(self.part_ticks).unwrap_or(u32::MAX),
            independent: first.keyframe,
            first_picture: written.apart,
            bytes: written.bytes,
        };
        self.sequence = self.sequence.wrapping_add(written.chunks);
        self.open_frames += u32::try_from(self.part.len()).unwrap_or(0);
        self.open.parts.push(part);
        if self.total_ticks == 0 {
            // Until a segment is whole, its parts tell.
            let bits: u64 = self.open.parts.iter().map(|part| 8 * part.bytes.len() as u64).sum();
            let ticks: u64 = self.open.parts.iter().map(|part| u64::from(part.duration)).sum();
            let rate = bits * u64::from(self.track.timescale) / ticks.max(1);
            self.rendition.set_bit_rate(BitRate {
                peak: rate,
                average: rate,
            });
        }
        self.part.clear();
        self.durations.clear();
        self.part_ticks = 0;
        self.dirty = true;
    }

    fn view(&self, ended: bool, offline: bool) -> View {
        View {
            track: Arc::clone(&self.track),
            segments: Arc::clone(&self.segments),
            listed: self.listed,
            discontinuity_sequence: self.discontinuity_sequence,
            open: self.open.clone(),
            inits: Arc::clone(&self.inits),
            ended,
            offline,
            text: Default::default(),
        }
    }

    fn measure(&mut self, segment: &Segment) {
        if segment.gap || segment.duration == 0 {
            return;
        }
        let (bits, ticks, timescale) = (
            u128::from(segment.size) * 8,
            u128::from(segment.duration),
            u128::from(self.track.timescale),
        );
        self.total_bits += bits;
        self.total_ticks += ticks;
        let average = u64::try_from(self.total_bits * timescale / self.total_ticks).unwrap_or(u64::MAX);
        // A sliver of a segment holds little but a keyframe: it says nothing about the peak of a span a player buffers.
        let peak = if ticks * 2 >= timescale {
            u64::try_from(bits * timescale / ticks).unwrap_or(u64::MAX)
        } else {
            0
        };
        self.rate = BitRate {
            peak: self.rate.peak.max(peak).max(average),
            average,
        };
        self.rendition.set_bit_rate(self.rate);
        // Over the whole epoch: a single segment's length is off by the millisecond that encoders count in.
        self.rate_frames += u64::from(self.open_frames);
        self.rate_ticks += u64::from(segment.duration);
        if self.track.is_video() && self.rate_ticks * 2 >= u64::from(self.track.timescale) {
            self.rendition
                .set_frame_rate(usual_rate(self.rate_frames, self.rate_ticks, self.track.timescale));
        }
    }
}

/// Frames a second as a fraction: the standard rate that the count fits, given that an encoder's clock counts in milliseconds.
fn usual_rate(frames: u64, ticks: u64, timescale: u32) -> Option<(u32, u32)> {
    // Whole rates first: over a short span both they and their thousandth less fit, and they are the likelier.
    const STANDARD: [(u32, u32); 11] = [
        (30, 1),
        (25, 1),
        (60, 1),
        (50, 1),
        (24, 1),
        (48, 1),
        (120, 1),
        (15, 1),
        (30_000, 1001),
        (60_000, 1001),
        (24_000, 1001),
    ];
    let (ticks, scale, frames) = (u128::from(ticks), u128::from(timescale), u128::from(frames));
    // A millisecond and a half on both ends together.
    let slack = scale * 3 / 2000;
    let fits = |(numerator, denominator): (u32, u32)| {
        let expected = frames * scale * u128::from(denominator) / u128::from(numerator);
        expected.abs_diff(ticks) <= slack
    };
    let millis = u32::try_from(frames * scale * 1000 / ticks.max(1))
        .ok()
        .filter(|rate| *rate > 0);
    STANDARD
        .into_iter()
        .find(|rate| fits(*rate))
        .or(millis.map(|millis| (millis, 1000)))
}

impl Packager {
    /// A packager that fills `stream`.
    pub fn new(stream: Arc<Stream>, config: Config) -> Self {
        Self {
            stream,
            config,
            tracks: Vec::new(),
            leader: 0,
            state: State::Opening { frames: Vec::new() },
            anchor: (0, Timestamp(0)),
            epoch_start_us: 0,
            fresh: true,
            discontinuity: false,
            msn: None,
            begun: VecDeque::new(),
            offline: false,
            ended: false,
            out: VecDeque::new(),
            retired_msn: 0,
            warned_forced_cut: false,
            skipped: false,
            leader_us: i64::MIN,
            expected: Vec::new(),
            timing: None,
        }
    }

    /// The stream this fills.
    pub const fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Takes the next item of the hub. Nothing is visible before [`Packager::publish`].
    pub fn push(&mut self, item: Item) {
        match item {
            Item::Epoch(epoch) => self.begin_epoch(&epoch),
            Item::Anchor { media_us, wall } => self.anchor = (media_us, wall),
            Item::Frame(frame) => self.frame(frame),
            Item::Skipped(frames) => {
                tracing::warn!(
                    stream = self.stream.id(),
                    frames,
                    "packaging fell behind and skipped to a keyframe"
                );
                self.finish_epoch();
                (self.fresh, self.discontinuity, self.skipped) = (true, true, true);
            }
            Item::Offline => {
                self.finish_epoch();
                self.offline = true;
                self.all_dirty();
            }
            Item::End => {
                self.finish_epoch();
                self.ended = true;
                self.all_dirty();
            }
        }
    }

    /// Names the rungs that the epoch pushed last is to have: the first playlists wait a little for them.
    pub fn expect<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.expected = names.into_iter().map(str::to_owned).collect();
        for track in self.tracks.iter_mut().filter(|track| track.rung) {
            track.active = self.expected.contains(&track.rendition.name);
        }
    }

    /// A rung of the running epoch: a rendition made from what the encoder sends, with the same presentation times. Its frames are pushed as
    /// the others are and may be later; segments are cut where the leader's were, whatever the rung holds.
    pub fn rung(&mut self, name: &str, track: &Arc<Track>) {
        match self.tracks.iter().position(|writer| writer.rendition.name == name) {
            Some(index) if self.tracks[index].active && *self.tracks[index].track == **track => {}
            Some(index) => self.change_track(index, track),
            None => {
                self.add_track(track, name.to_owned());
                if let Some(writer) = self.tracks.last_mut() {
                    writer.rung = true;
                }
            }
        }
        if let State::Running { .. } = self.state
            && !self.fresh
        {
            // It comes after the epoch has begun: the lists learn of it now.
            let (tracks, inits) = self.layout();
            self.stream.change_period(tracks, inits);
            self.stream.set_renditions(self.renditions());
        }
    }

    /// Nothing comes of this rung until its next frame.
    pub fn pause(&mut self, id: TrackId) {
        for track in self
            .tracks
            .iter_mut()
            .filter(|track| track.rung && track.track.id == id)
        {
            track.paused = true;
        }
    }

    fn renditions(&self) -> Vec<Arc<Rendition>> {
        self.tracks.iter().map(|track| Arc::clone(&track.rendition)).collect()
    }

    /// What a period says: the track of each rendition that has one now, and the number of its header.
    fn layout(&self) -> (Vec<Option<Arc<Track>>>, Vec<usize>) {
        let tracks = self
            .tracks
            .iter()
            .map(|track| track.active.then(|| Arc::clone(&track.track)));
        let inits = self.tracks.iter().map(|track| track.inits.len() - 1);
        (tracks.collect(), inits.collect())
    }

    /// Makes what was pushed visible and wakes the requests that wait for it.
    pub fn publish(&mut self) {
        if matches!(self.state, State::Opening { .. }) && !self.ended {
            return;
        }
        for track in self.tracks.iter_mut().filter(|track| track.dirty) {
            track.rendition.publish(track.view(self.ended, self.offline));
            track.dirty = false;
        }
        if let Some(timing) = self.timing.take() {
            self.stream.set_timing(timing);
        }
    }

    /// What is to be stored or deleted, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// From which decode time on a frame of a track lets a part be closed; earlier ones only add up. For `Reader::receive`.
    pub fn needs(&self, needs: &mut Vec<(TrackId, i64)>) {
        needs.clear();
        let State::Running { part_target_us, .. } = &self.state else {
            return;
        };
        let Some(leader) = self.tracks.get(self.leader) else {
            return;
        };
        for (index, track) in self
            .tracks
            .iter()
            .enumerate()
            .filter(|(_, track)| track.active && !track.rung)
        {
            let newest = track
                .pending
                .back()
                .or(track.last.as_ref())
                .map_or(0, |frame| frame.dts);
            let start = track.part.first().or(track.last.as_ref()).map(|frame| frame.dts);
            let full = start.map(|start| start + track.ticks(*part_target_us) - i64::from(track.usual_duration));
            match full {
                Some(full) => needs.push((track.track.id, full.max(newest))),
                None => needs.push((track.track.id, i64::MIN)),
            }
            if index != self.leader
                && let (Some(full), Some(waiting)) = (
                    full,
                    track.pending.iter().find(|f| full.is_none_or(|full| f.dts >= full)),
                )
            {
                // The frame that closes this part is here, and the leader has not passed it.
                let shift = i64::from(leader.composition_shift.unwrap_or(0));
                needs.push((leader.track.id, leader.ticks(track.us(waiting.dts.max(full))) - shift));
            }
        }
    }

    // ---- epochs --------------------------------------------------------------------------------------------------------

    fn begin_epoch(&mut self, epoch: &Epoch) {
        self.finish_epoch();
        self.anchor = (epoch.start_us, epoch.wall);
        self.epoch_start_us = epoch.start_us;
        self.fresh = true;
        self.discontinuity |= epoch.discontinuity && self.msn.is_some();
        self.offline = false;
        self.expected.clear();
        self.leader_us = i64::MIN;
        for track in &mut self.tracks {
            (track.active, track.paused) = (false, false);
        }
        for track in &epoch.tracks {
            match self.tracks.iter().position(|writer| writer.track.id == track.id) {
                Some(index) => self.change_track(index, track),
                None => {
                    let name = format!("{}{}", if track.is_video() { 'v' } else { 'a' }, track.id);
                    self.add_track(track, name);
                }
            }
        }
        self.leader = epoch
            .tracks
            .first()
            .and_then(|first| self.tracks.iter().position(|writer| writer.track.id == first.id))
            .unwrap_or(0);
        if let State::Running { segmenter, .. } = &mut self.state {
            segmenter.reset();
        }
    }

    fn change_track(&mut self, index: usize, track: &Arc<Track>) {
        let writer = &mut self.tracks[index];
        writer.active = true;
        if *writer.track != **track {
            let header = init::header(track);
            if writer.inits.last() != Some(&header) {
                Arc::make_mut(&mut writer.inits).push(header);
            }
            writer.usual_duration = usual_duration(track);
            writer.track = Arc::clone(track);
        }
        writer.composition_shift = None;
        (writer.rate_frames, writer.rate_ticks) = (0, 0);
        writer.open.init = writer.inits.len() - 1;
        writer.dirty = true;
    }

    fn add_track(&mut self, track: &Arc<Track>, name: String) {
        let open = OpenSegment {
            msn: self.msn.map_or(0, |msn| msn + 1),
            start: 0,
            parts: Vec::new(),
            discontinuity: false,
            init: 0,
            wall: self.anchor.1,
        };
        let inits = Arc::new(vec![init::header(track)]);
        let view = View {
            track: Arc::clone(track),
            segments: Arc::default(),
            listed: 0,
            discontinuity_sequence: self.tracks.first().map_or(0, |first| {
                first.discontinuity_sequence
                    + first.segments[first.listed..]
                        .iter()
                        .filter(|segment| segment.discontinuity)
                        .count() as u64
            }),
            open: open.clone(),
            inits: Arc::clone(&inits),
            ended: false,
            offline: false,
            text: Default::default(),
        };
        let discontinuity_sequence = view.discontinuity_sequence;
        let rendition = Arc::new(Rendition::new(name, view));
        self.tracks.push(TrackWriter {
            track: Arc::clone(track),
            rendition,
            active: true,
            rung: false,
            paused: false,
            pending: VecDeque::new(),
            last: None,
            part: Vec::new(),
            durations: Vec::new(),
            part_ticks: 0,
            usual_duration: usual_duration(track),
            composition_shift: None,
            sequence: 1,
            open,
            begun: false,
            open_frames: 0,
            segments: Arc::default(),
            listed: 0,
            discontinuity_sequence,
            inits,
            rate: BitRate::default(),
            total_bits: 0,
            total_ticks: 0,
            rate_frames: 0,
            rate_ticks: 0,
            dirty: false,
        });
    }

    /// Closes whatever is open in every track at the same number.
    fn finish_epoch(&mut self) {
        self.start_running();
        for index in 0..self.tracks.len() {
            while let Some(frame) = self.tracks[index].pending.pop_front() {
                self.place(index, frame);
            }
        }
        let Some(msn) = self.msn else { return };
        if self.tracks.iter().all(|track| track.open.msn > msn) {
            return;
        }
        let end_us = self.tracks.iter().filter_map(|track| {
            let last = track.last.as_ref()?;
            Some(track.at_us(last) + track.us(i64::from(track.length(last))))
        });
        let end_us = end_us.max().unwrap_or(self.begun.back().map_or(0, |(_, start)| *start));
        for index in 0..self.tracks.len() {
            while self.tracks[index].open.msn <= msn {
                let next = self.begun.iter().find(|(msn, _)| *msn > self.tracks[index].open.msn);
                let end_us = next.map_or(end_us, |(_, start)| *start);
                self.close_segment(index, None, end_us);
            }
        }
        self.begun.clear();
        self.fresh = true;
        self.keep_house();
    }

    // ---- the beginning: learn how long frames and GOPs are ---------------------------------------------------------------

    fn frame(&mut self, frame: Frame) {
        match &mut self.state {
            State::Running { .. } => self.route(frame),
            State::Opening { frames } => {
                frames.push(frame);
                if self.opening_is_over() {
                    self.start_running();
                }
            }
        }
    }

    fn opening_is_over(&self) -> bool {
        let State::Opening { frames } = &self.state else {
            return false;
        };
        let Some(leader) = self.tracks.get(self.leader) else {
            return false;
        };
        // A leader that stops right after it began is not waited for.
        if frames.len() > PENDING_FRAMES {
            return true;
        }
        let own: Vec<&Frame> = frames.iter().filter(|frame| frame.track == leader.track.id).collect();
        let (Some(first), Some(last)) = (own.first(), own.last()) else {
            return false;
        };
        // Long enough for a whole segment: players that know nothing of parts need one in the first playlist.
        let span = leader.us(last.dts - first.dts);
        let segment_us = i64::from(self.config.segment_ms) * 1000;
        let long_enough = if leader.track.is_video() {
            span + OPENING_SLACK_US >= segment_us && own.iter().skip(1).any(|frame| frame.keyframe)
                || span > segment_us + GOP_WAIT_US
        } else {
            span > segment_us
        };
        long_enough
            && (span > segment_us + GOP_WAIT_US + RUNG_WAIT_US
                || self.rungs_have(frames, leader.us(first.dts) + segment_us))
    }

    /// True when every rung that is expected has come to this time: it has a whole segment as well.
    fn rungs_have(&self, frames: &[Frame], until_us: i64) -> bool {
        self.expected.iter().all(|name| {
            let track = self.tracks.iter().find(|track| track.rendition.name == *name);
            track.is_some_and(|track| {
                let newest = frames.iter().rev().find(|frame| frame.track == track.track.id);
                newest.is_some_and(|frame| track.us(frame.dts) + OPENING_SLACK_US >= until_us)
            })
        })
    }

    fn start_running(&mut self) {
        let State::Opening { frames } = &mut self.state else {
            return;
        };
        if frames.is_empty() {
            return;
        }
        let frames = std::mem::take(frames);
        let Some(leader) = self.tracks.get(self.leader) else {
            return;
        };
        let first_gop = if leader.track.is_video() {
            let mut keys = frames
                .iter()
                .filter(|frame| frame.track == leader.track.id && frame.keyframe);
            keys.next()
                .zip(keys.next())
                .map(|(first, second)| leader.us(second.dts - first.dts))
        } else {
            Some(0)
        };
        let mut part_target_us = 0;
        for track in &mut self.tracks {
            let times: Vec<i64> = frames
                .iter()
                .filter(|frame| frame.track == track.track.id)
                .map(|frame| frame.dts)
                .collect();
            if let [first, .., last] = times[..] {
                track.usual_duration = u32::try_from((last - first) / (times.len() as i64 - 1))
                    .unwrap_or(0)
                    .max(1);
            }
            let frame_us = track.us(i64::from(track.usual_duration)).max(1);
            // Conformance 58: rounded up to whole frames, with a millisecond for clocks that count in milliseconds.
            let whole = (i64::from(self.config.part_ms) * 1000 - 1_000 + frame_us - 1) / frame_us * frame_us;
            part_target_us = part_target_us.max(whole + if track.track.is_video() { 1_000 } else { 0 });
        }
        // Whole milliseconds, so that the printed value is exact.
        let part_target_us = (part_target_us + 999) / 1000 * 1000;
        let segmenter = Segmenter::new(self.config.segment_ms, first_gop);
        if first_gop.is_none() {
            tracing::warn!(
                stream = self.stream.id(),
                target_duration_s = segmenter.target_duration_s(),
                "keyframes are further apart than a segment; 2 s is the usual setting"
            );
        }
        self.timing = Some(Timing {
            target_duration_s: segmenter.target_duration_s(),
            part_target_us,
            segment_ms: self.config.segment_ms,
        });
        self.stream.set_renditions(self.renditions());
        self.state = State::Running {
            segmenter,
            part_target_us,
        };
        for frame in frames {
            self.route(frame);
        }
    }

    // ---- placing frames --------------------------------------------------------------------------------------------------

    fn route(&mut self, frame: Frame) {
        let Some(index) = self
            .tracks
            .iter()
            .position(|track| track.track.id == frame.track && track.active)
        else {
            return;
        };
        if index == self.leader {
            let track = &mut self.tracks[index];
            if track.composition_shift.is_none() {
                track.composition_shift = Some(if track.track.is_video() {
                    frame.composition_offset
                } else {
                    0
                });
            }
            let at_us = track.at_us(&frame);
            let late =
                matches!(&self.state, State::Running { segmenter, .. } if !self.fresh && segmenter.overdue(at_us));
            if late {
                // The leader was silent: what the others have from before it cuts the segments of that time.
                for other in (0..self.tracks.len()).filter(|other| *other != index) {
                    self.release(other, at_us - 1);
                }
            }
            self.place(index, frame);
            self.leader_us = at_us;
            for other in 0..self.tracks.len() {
                self.release(other, at_us);
            }
        } else {
            let leader_us = self.leader_us;
            let track = &mut self.tracks[index];
            track.paused = false;
            track.pending.push_back(frame);
            let newest_us = track.pending.back().map_or(0, |frame| track.at_us(frame));
            if track.pending.len() > PENDING_FRAMES {
                self.release(index, i64::MAX);
            } else {
                self.release(index, (newest_us - LEAD_US).max(leader_us));
            }
        }
    }

    /// Places the pending frames of a track up to a time.
    fn release(&mut self, index: usize, until_us: i64) {
        while let Some(frame) = self.tracks[index].pending.front() {
            if self.tracks[index].at_us(frame) > until_us {
                break;
            }
            if let Some(frame) = self.tracks[index].pending.pop_front() {
                self.place(index, frame);
            }
        }
    }

    fn place(&mut self, index: usize, frame: Frame) {
        let track = &self.tracks[index];
        let captions = captions::of(track.track.codec, &frame.payload);
        if !captions.is_empty() {
            track.rendition.add_captions(captions);
        }
        if self.tracks[index].composition_shift.is_none() {
            let video = self.tracks[index].track.is_video();
            self.tracks[index].composition_shift = Some(if video { frame.composition_offset } else { 0 });
        }
        let track = &self.tracks[index];
        let at_us = track.at_us(&frame);
        let length_us = track.us(i64::from(track.length(&frame)));
        let State::Running {
            segmenter,
            part_target_us,
        } = &mut self.state
        else {
            return;
        };
        let part_target_us = *part_target_us;
        if self.fresh && track.rung {
            return;
        }
        if self.fresh {
            // The first frame placed begins the epoch's first segment, whatever its track: usually the leader's keyframe.
            if std::mem::take(&mut self.skipped) {
                self.epoch_start_us = at_us;
            }
            segmenter.begin(at_us, frame.keyframe);
            if index == self.leader {
                segmenter.decide(at_us, length_us, frame.keyframe);
            }
            self.begin_segment(at_us.min(self.epoch_start_us.max(at_us - LEAD_US)));
        } else {
            let cut = if index == self.leader {
                segmenter.decide(at_us, length_us, frame.keyframe)
            } else if !track.rung && segmenter.overdue(at_us + length_us) {
                Cut::Forced
            } else {
                Cut::No
            };
            if cut != Cut::No {
                if cut == Cut::Forced && index == self.leader && !std::mem::replace(&mut self.warned_forced_cut, true) {
                    tracing::warn!(
                        stream = self.stream.id(),
                        "no keyframe within the target duration: segments are cut without one"
                    );
                }
                segmenter.begin(at_us, cut == Cut::Keyframe);
                self.begin_segment(at_us);
            }
        }
        // Catch up with the segments that have begun; one that this track has nothing for becomes a gap.
        let reached_us = at_us + if index == self.leader { 0 } else { length_us / 2 };
        let open = self.tracks[index].open.msn;
        while let Some(&(_, start_us)) = self.begun.iter().find(|(msn, _)| *msn > self.tracks[index].open.msn)
            && start_us <= reached_us
        {
            self.close_segment(index, Some(frame.dts), start_us);
        }
        let track = &self.tracks[index];
        debug_assert!(track.open.msn >= open, "numbers only rise");
        if !track.begun
            && self.begun.iter().any(|(msn, start_us)| {
                // A rung that comes back begins with a whole segment.
                let whole = !track.rung || at_us - start_us < length_us;
                *msn == track.open.msn && *start_us <= reached_us && whole
            })
        {
            self.open_segment(index, &frame);
        }
        let track = &mut self.tracks[index];
        if !track.begun {
            // Sound from before the first picture has no segment to be in.
            return;
        }
        if let Some(last) = &track.last
            && track.us(track.part_ticks + frame.dts - last.dts) > part_target_us
        {
            // A picture that stands for longer than usual gets a part of its own.
            track.close_part();
        }
        track.settle(Some(frame.dts));
        if track.us(track.part_ticks + i64::from(track.usual_duration)) > part_target_us {
            track.close_part();
        }
        track.last = Some(frame);
    }

    /// The leader (or, when it is silent, another track) has reached the next segment.
    fn begin_segment(&mut self, start_us: i64) {
        let msn = self.msn.map_or(0, |msn| msn + 1);
        self.msn = Some(msn);
        self.begun.push_back((msn, start_us));
        let zero = self.anchor.1.plus_micros(-self.anchor.0);
        let drifted = self
            .stream
            .periods()
            .last()
            .is_some_and(|period| (zero.0 - period.zero.0).abs() >= DRIFT_US);
        if self.fresh || drifted {
            let (tracks, inits) = self.layout();
            self.stream.add_period(Period {
                first_msn: msn,
                start_us: if self.fresh { self.epoch_start_us } else { start_us },
                zero,
                tracks,
                inits,
            });
        }
        if self.fresh {
            self.stream.set_renditions(self.renditions());
            for track in &mut self.tracks {
                track.open.discontinuity = self.discontinuity;
            }
            (self.fresh, self.discontinuity) = (false, false);
        }
        self.close_gaps(start_us);
        self.keep_house();
    }

    /// Tracks that are silent, or not sent any more, keep step with gaps: a playlist that stands still stalls its players.
    fn close_gaps(&mut self, now_us: i64) {
        let Some(msn) = self.msn else { return };
        let patience_us = LEAD_US + i64::from(self.config.segment_ms) * 1000;
        let leader = self.leader;
        for index in (0..self.tracks.len()).filter(|index| *index != leader) {
            let track = &self.tracks[index];
            let newest = track
                .pending
                .back()
                .or(track.last.as_ref())
                .map(|frame| track.at_us(frame));
            let newest_us = newest
                .or(track.segments.last().map(|last| last.end_us()))
                .unwrap_or(self.epoch_start_us);
            if track.active && !track.paused && now_us - newest_us.max(self.epoch_start_us) <= patience_us {
                continue;
            }
            while self.tracks[index].open.msn < msn {
                let open = self.tracks[index].open.msn;
                let end_us = self
                    .begun
                    .iter()
                    .find(|(msn, _)| *msn > open)
                    .map_or(now_us, |(_, start)| *start);
                self.close_segment(index, None, end_us);
            }
        }
    }

    fn open_segment(&mut self, index: usize, first: &Frame) {
        let (media_us, wall) = self.anchor;
        let track = &mut self.tracks[index];
        track.open.start = first.dts + i64::from(track.composition_shift.unwrap_or(0));
        track.open.wall = wall.plus_micros(track.us(track.open.start) - media_us);
        track.open.init = track.inits.len() - 1;
        track.begun = true;
        track.open_frames = 0;
    }

    /// Ends the open segment of a track: before the frame at `next_dts`, or at the end of what there is.
    fn close_segment(&mut self, index: usize, next_dts: Option<i64>, end_us: i64) {
        let (media_us, wall) = self.anchor;
        let begun_at = self
            .begun
            .iter()
            .find(|(msn, _)| *msn == self.tracks[index].open.msn)
            .map(|(_, start)| *start);
        let track = &mut self.tracks[index];
        if track.begun {
            // A hole at a boundary stays a hole: only a step of the usual size sets the last frame's duration.
            let usual = i64::from(track.usual_duration);
            let next = next_dts.filter(|next| {
                track
                    .last
                    .as_ref()
                    .is_some_and(|last| next - last.dts <= 4 * usual.max(1))
            });
            track.settle(next);
            track.close_part();
        } else {
            let start_us = begun_at.unwrap_or(end_us);
            let behind = track
                .segments
                .last()
                .map_or(i64::MIN, |last| track.ticks(last.end_us()));
            track.open.start = track.ticks(start_us).max(behind);
            track.open.wall = wall.plus_micros(start_us - media_us);
        }
        let duration: i64 = if track.open.parts.is_empty() {
            (track.ticks(end_us) - track.open.start).max(1)
        } else {
            track.open.parts.iter().map(|part| i64::from(part.duration)).sum()
        };
        let key = format!(
            "{}/{}/{}.m4s",
            self.stream.prefix(),
            track.rendition.name,
            track.open.msn
        );
        let segment = Arc::new(Segment::finish(
            &track.open,
            u32::try_from(duration).unwrap_or(u32::MAX),
            &track.track,
            key,
        ));
        track.measure(&segment);
        track.open = OpenSegment {
            msn: track.open.msn + 1,
            start: segment.start + duration,
            parts: Vec::new(),
            discontinuity: false,
            init: track.inits.len() - 1,
            wall: segment.wall.plus_micros(track.us(duration)),
        };
        track.begun = false;
        track.dirty = true;
        Arc::make_mut(&mut track.segments).push(Arc::clone(&segment));
        if !segment.gap {
            self.out.push_back(Output::Store(segment));
        }
        let lowest = self.tracks.iter().map(|track| track.open.msn).min().unwrap_or(0);
        while self.begun.front().is_some_and(|(msn, _)| *msn < lowest) {
            self.begun.pop_front();
        }
    }

    fn all_dirty(&mut self) {
        for track in &mut self.tracks {
            track.dirty = true;
        }
    }

    // ---- the window ------------------------------------------------------------------------------------------------------

    /// Takes segments out of the playlists, out of memory, and finally out of the store (conformance 51, 52).
    fn keep_house(&mut self) {
        let State::Running { segmenter, .. } = &self.state else {
            return;
        };
        let least_us = 3 * i64::from(segmenter.target_duration_s()) * 1_000_000;
        let window_us = (i64::from(self.config.window_s) * 1_000_000).max(least_us);
        let memory_us = (i64::from(self.config.memory_s) * 1_000_000).max(least_us);
        let Some(leader) = self.tracks.get(self.leader) else {
            return;
        };
        // The oldest that stays listed, and the oldest that stays in memory, by the leader's durations.
        // Whole ones are counted for the segment that has just ended and is not in the list yet, and for the one that grows.
        let (mut listed_msn, mut memory_msn, mut unstored_msn) = (0, 0, 0);
        let mut sum_us = 2 * i64::from(self.config.segment_ms) * 1000;
        for segment in leader.segments.iter().rev() {
            if sum_us >= window_us && listed_msn == 0 {
                listed_msn = segment.msn + 1;
            }
            if sum_us + segment.duration_us() > memory_us && memory_msn == 0 {
                memory_msn = segment.msn + 1;
            }
            if sum_us >= 2 * memory_us && unstored_msn == 0 {
                unstored_msn = segment.msn + 1;
            }
            sum_us += segment.duration_us();
        }
        // What could not be stored leaves the playlist before it would fill the memory.
        let lost = |segment: &&Arc<Segment>| !segment.gap && !segment.is_stored() && segment.msn < unstored_msn;
        if let Some(newest_lost) = self
            .tracks
            .iter()
            .filter_map(|track| track.segments.iter().rev().find(lost))
            .map(|s| s.msn)
            .max()
        {
            listed_msn = listed_msn.max(newest_lost + 1);
        }
        for track in &mut self.tracks {
            while track
                .segments
                .get(track.listed)
                .is_some_and(|segment| segment.msn < listed_msn)
            {
                if track.segments[track.listed].discontinuity {
                    track.discontinuity_sequence += 1;
                }
                track.listed += 1;
                track.dirty = true;
            }
            for (position, segment) in track.segments.iter().enumerate() {
                let gone = position < track.listed && segment.msn < unstored_msn;
                if segment.msn < memory_msn && segment.in_memory() && (segment.is_stored() || gone) {
                    segment.evict();
                }
            }
            // Conformance 51: still there for its duration plus the longest playlist that named it.
            let unlisted_us: i64 = track.segments[..track.listed]
                .iter()
                .map(|segment| segment.duration_us())
                .sum();
            let mut excess_us = unlisted_us - window_us - least_us;
            let mut drop_count = 0;
            while excess_us > 0 && drop_count < track.listed {
                excess_us -= track.segments[drop_count].duration_us();
                drop_count += 1;
            }
            if drop_count > 0 {
                let removed: Vec<_> = Arc::make_mut(&mut track.segments).drain(..drop_count).collect();
                track.listed -= drop_count;
                self.out.extend(
                    removed
                        .into_iter()
                        .filter(|segment| !segment.gap)
                        .map(|segment| Output::Delete(segment.key.clone())),
                );
            }
        }
        if listed_msn > self.retired_msn {
            self.retired_msn = listed_msn;
            self.stream.retire_periods(listed_msn);
        }
    }
}

/// A first guess at how long a frame lasts, before any has been seen.
fn usual_duration(track: &Track) -> u32 {
    match track.media {
        Media::Video {
            frame_rate: Some((numerator, denominator)),
            ..
        } if numerator > 0 => u32::try_from(u64::from(track.timescale) * u64::from(denominator) / u64::from(numerator))
            .unwrap_or(0)
            .clamp(1, track.timescale),
        Media::Video { .. } => track.timescale / 30,
        Media::Audio { frame_samples, .. } => frame_samples.unwrap_or(track.timescale / 50).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::usual_rate;

    #[test]
    fn frame_rates_are_told_apart_through_a_clock_of_milliseconds() {
        // 60 pictures in two seconds, give or take the millisecond.
        for ticks in [179_910, 180_000, 180_090] {
            assert_eq!(usual_rate(60, ticks, 90_000), Some((30, 1)));
        }
        assert_eq!(usual_rate(60, 180_180, 90_000), Some((30_000, 1001)));
        assert_eq!(usual_rate(50, 180_000, 90_000), Some((25, 1)));
        assert_eq!(usual_rate(120, 180_180, 90_000), Some((60_000, 1001)));
        assert_eq!(usual_rate(25, 180_000, 90_000), Some((12_500, 1000)));
        assert_eq!(usual_rate(0, 180_000, 90_000), None);
    }
}
