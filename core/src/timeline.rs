//! The timeline normaliser: an encoder's timestamps in, a clock that only goes forward out. Pure: frames and arrival times are
//! arguments, nothing is asked (media-conformance 40-45; 49 for the wall clock).
//!
//! Media time counts microseconds from the start of the broadcast and is common to all tracks; each frame leaves with it in its own
//! track's ticks. An **epoch** is a span in which one mapping from the encoder's clock to media time and one set of tracks holds.
//! Epochs start on a video keyframe (when there is video), and a new one is a discontinuity for players.
//!
//! Not done here: cutting segments (the packager does), and guessing at a missing picture.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::media::{Codec, Frame, Media, Track, TrackId, rescale};

/// How long a first frame waits for the other tracks' first frames (conformance 40).
const GATHER_US: i64 = 2_000_000;
/// How long video without a keyframe may hold back the sound.
const KEYFRAME_WAIT_US: i64 = 10_000_000;
/// A step in an encoder's clock beyond this is a new timeline (conformance 44).
const JUMP_US: i64 = 1_000_000;
/// Sound this far behind the picture is filled with silence (conformance 45)...
const SILENCE_AFTER_US: i64 = 700_000;
/// ...up to this far behind it.
const SILENCE_MARGIN_US: i64 = 350_000;
/// The longest hole that is filled at once.
const SILENCE_MOST_US: i64 = 10_000_000;
/// Frames held while gathering: 10 s of 60 pictures and 50 sound frames a second, with room.
const GATHER_FRAMES: usize = 2048;
/// Bytes held while gathering: 10 s at 25 Mbit/s.
const GATHER_BYTES: usize = 32 << 20;
/// Drift between encoder and server clock that moves the wall-clock anchor (conformance 49).
const DRIFT_US: i64 = 150_000;
/// Span over which the least delayed frame stands for the clock's offset.
const DRIFT_SPAN_US: i64 = 10_000_000;

/// Start of a span with one mapping and one set of tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The tracks, video first; ids are unique.
    pub tracks: Vec<Arc<Track>>,
    /// False only for the first epoch of a broadcast.
    pub discontinuity: bool,
    /// Media time of the epoch's first frame, microseconds from the start of the broadcast.
    pub start_us: i64,
    /// When that frame arrived, on the caller's arrival clock.
    pub arrival_us: i64,
}

/// What the normaliser says, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A new epoch begins with the next frame.
    Epoch(Epoch),
    /// The encoder's clock has drifted: media time `media_us` now stands for arrival time `arrival_us`.
    Anchor {
        /// A media time, microseconds.
        media_us: i64,
        /// When it arrived.
        arrival_us: i64,
    },
    /// A frame in media time.
    Frame(Frame),
}

/// What was mended so far. Every field only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Frames whose DTS did not rise and was moved forward.
    pub nudged: u64,
    /// Frames dropped: before the first keyframe, of a track not announced, or overlapping what is out already.
    pub dropped: u64,
    /// Silent frames put in.
    pub silence: u64,
    /// Timelines begun because a clock jumped.
    pub jumps: u64,
}

#[derive(Debug)]
struct TrackState {
    track: Arc<Track>,
    /// A changed configuration that waits for the next keyframe.
    next: Option<Arc<Track>>,
    /// In the epoch that runs.
    active: bool,
    /// Newest timestamp of the encoder, in ticks.
    last_raw: Option<i64>,
    /// Encoder ticks that stand for media ticks zero.
    offset: i64,
    /// Media time at which the newest frame began and (as far as is known) ended, in ticks.
    last: Option<(i64, i64)>,
    /// A frame has been placed since the epoch began.
    placed: bool,
}

impl TrackState {
    fn us(&self, ticks: i64) -> i64 {
        rescale(ticks, self.track.timescale, 1_000_000)
    }

    fn ticks(&self, us: i64) -> i64 {
        rescale(us, 1_000_000, self.track.timescale)
    }
}

#[derive(Debug)]
struct Held {
    frame: Frame,
    arrival_us: i64,
    /// Already on the clock that the gathering waits for.
    fresh: bool,
}

#[derive(Debug)]
struct Gathering {
    held: VecDeque<Held>,
    bytes: usize,
    since_us: i64,
    /// Of a jump: the track that jumped first, and its first timestamp after it in microseconds.
    jumped: Option<i64>,
}

/// The normaliser of one publisher's session.
#[derive(Debug)]
pub struct Timeline {
    tracks: Vec<TrackState>,
    gathering: Option<Gathering>,
    out: VecDeque<Output>,
    /// Media time before which the next epoch must not start.
    floor_us: i64,
    epochs: u32,
    first_epoch_is_discontinuity: bool,
    pending_epoch: bool,
    drift: Drift,
    repairs: Repairs,
}

/// Smallest arrival delay (arrival minus media time) in spans of [`DRIFT_SPAN_US`]: a burst or a slow network only makes frames later.
#[derive(Debug, Default)]
struct Drift {
    anchored: Option<i64>,
    least: Option<i64>,
    span_start: i64,
}

impl Drift {
    /// The new offset when it has moved.
    fn observe(&mut self, media_us: i64, arrival_us: i64) -> Option<i64> {
        let delay = arrival_us - media_us;
        let least = self.least.map_or(delay, |l| l.min(delay));
        self.least = Some(least);
        if arrival_us - self.span_start < DRIFT_SPAN_US {
            return None;
        }
        (self.span_start, self.least) = (arrival_us, None);
        match self.anchored {
            None => {
                self.anchored = Some(least);
                None
            }
            Some(anchored) if (least - anchored).abs() > DRIFT_US => {
                self.anchored = Some(least);
                Some(least)
            }
            Some(_) => None,
        }
    }
}

impl Timeline {
    /// A timeline whose first epoch starts at media time `start_us` or later. `resumes` says that the broadcast had an epoch before.
    pub fn new(start_us: i64, resumes: bool) -> Self {
        Self {
            tracks: Vec::new(),
            gathering: None,
            out: VecDeque::new(),
            floor_us: start_us,
            epochs: 0,
            first_epoch_is_discontinuity: resumes,
            pending_epoch: false,
            drift: Drift::default(),
            repairs: Repairs::default(),
        }
    }

    /// Before the first epoch: it starts at `start_us` or later, and is a discontinuity if `resumes`.
    pub fn raise_floor(&mut self, start_us: i64, resumes: bool) {
        self.floor_us = self.floor_us.max(start_us);
        self.first_epoch_is_discontinuity = resumes;
    }

    /// What was mended so far.
    pub const fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// True once an epoch has begun.
    pub const fn started(&self) -> bool {
        self.epochs > 0
    }

    /// Announces a track, or a new configuration of one. The same configuration again changes nothing (conformance 37).
    pub fn track(&mut self, track: Track) {
        let Some(state) = self.tracks.iter_mut().find(|s| s.track.id == track.id) else {
            self.tracks.push(TrackState {
                track: Arc::new(track),
                next: None,
                active: false,
                last_raw: None,
                offset: 0,
                last: None,
                placed: false,
            });
            self.tracks.sort_by_key(|s| (!s.track.is_video(), s.track.id));
            return;
        };
        if *state.track == track {
            state.next = None;
        } else if state.active {
            if state.track.timescale != track.timescale {
                // Its next timestamps count in other ticks: no step can be read off them.
                state.last_raw = None;
            }
            state.next = Some(Arc::new(track));
        } else {
            state.track = Arc::new(track);
        }
    }

    /// Takes the next frame in arrival order, with the encoder's `dts`. `arrival_us` is monotonic and counts on the same scale as `start_us`.
    pub fn push(&mut self, frame: Frame, arrival_us: i64) {
        let Some(index) = self.index(frame.track) else {
            self.repairs.dropped += 1;
            return;
        };
        if self.epochs == 0 || self.gathering.is_some() {
            self.gather(index, frame, arrival_us);
        } else if self.jumps(index, &frame) {
            self.repairs.jumps += 1;
            let raw_us = self.tracks[index].us(frame.dts);
            self.gathering = Some(Gathering {
                held: VecDeque::new(),
                bytes: 0,
                since_us: arrival_us,
                jumped: Some(raw_us),
            });
            self.gather(index, frame, arrival_us);
        } else {
            self.place(index, frame, arrival_us);
        }
    }

    /// The next thing to tell, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Media time at which everything told so far has ended, microseconds.
    pub fn end_us(&self) -> i64 {
        self.tracks
            .iter()
            .filter_map(|s| s.last.map(|(_, end)| s.us(end)))
            .fold(self.floor_us, i64::max)
    }

    fn jumps(&self, index: usize, frame: &Frame) -> bool {
        let state = &self.tracks[index];
        let Some(last) = state.last_raw else { return false };
        if state.us(frame.dts - last).abs() <= JUMP_US {
            return false;
        }
        // Sound that was away and comes back where the picture is has not jumped.
        let mapped_us = state.us(frame.dts - state.offset);
        let picture = self
            .tracks
            .iter()
            .filter(|other| other.active && other.track.is_video())
            .find_map(|other| Some(other.us(other.last?.0)));
        state.track.is_video() || picture.is_none_or(|picture_us| (mapped_us - picture_us).abs() > JUMP_US)
    }

    // ---- gathering: hold frames until it is clear where the epoch starts -------------------------------------------------

    fn gather(&mut self, index: usize, frame: Frame, arrival_us: i64) {
        if self.jumps_again(index, &frame) {
            return self.gather_anew(index, frame, arrival_us);
        }
        let state = &self.tracks[index];
        let raw_us = state.us(frame.dts);
        let steady = state
            .last_raw
            .is_some_and(|last| state.us(frame.dts - last).abs() <= JUMP_US);
        let gathering = self.gathering.get_or_insert_with(|| Gathering {
            held: VecDeque::new(),
            bytes: 0,
            since_us: arrival_us,
            jumped: None,
        });
        // After a jump, a track that goes on steadily still speaks of the old clock until it jumps as well.
        let fresh = gathering
            .jumped
            .is_none_or(|at| !steady && (raw_us - at).abs() < KEYFRAME_WAIT_US)
            || gathering
                .held
                .iter()
                .any(|held| held.fresh && held.frame.track == frame.track);
        if !fresh {
            self.tracks[index].last_raw = Some(frame.dts);
        }
        gathering.bytes += frame.payload.len();
        gathering.held.push_back(Held {
            frame,
            arrival_us,
            fresh,
        });
        self.try_start(arrival_us);
    }

    /// The track has jumped once more while its first jump is being looked at: one of the two was a slip.
    fn jumps_again(&self, index: usize, frame: &Frame) -> bool {
        let Some(gathering) = &self.gathering else { return false };
        let state = &self.tracks[index];
        let before = gathering
            .held
            .iter()
            .rev()
            .find(|held| held.fresh && held.frame.track == frame.track);
        before.is_some_and(|before| state.us(frame.dts - before.frame.dts).abs() > JUMP_US)
    }

    fn gather_anew(&mut self, index: usize, frame: Frame, arrival_us: i64) {
        let Some(gathering) = self.gathering.take() else { return };
        let state = &self.tracks[index];
        let back = self.epochs > 0
            && state
                .last_raw
                .is_some_and(|last| state.us(frame.dts - last).abs() <= JUMP_US + GATHER_US);
        if back {
            // It is where it was before: what lay between was the slip, and the old clock goes on.
            for held in gathering.held {
                match self.index(held.frame.track) {
                    Some(other) if !held.fresh && self.tracks[other].active => {
                        self.place_in_order(other, held.frame, held.arrival_us)
                    }
                    _ => self.repairs.dropped += 1,
                }
            }
            return self.place(index, frame, arrival_us);
        }
        self.repairs.dropped += gathering.held.len() as u64;
        let jumped = gathering.jumped.map(|_| self.tracks[index].us(frame.dts));
        self.gathering = Some(Gathering {
            held: VecDeque::new(),
            bytes: 0,
            since_us: arrival_us,
            jumped,
        });
        self.gather(index, frame, arrival_us);
    }

    fn try_start(&mut self, arrival_us: i64) {
        let Some(gathering) = &self.gathering else { return };
        let of = |track: TrackId| gathering.held.iter().filter(move |held| held.frame.track == track);
        let has_fresh = |track: TrackId| of(track).any(|held| held.fresh);
        let mut raw = gathering
            .held
            .iter()
            .filter(|held| held.fresh)
            .map(|held| self.state(held.frame.track).us(held.frame.dts));
        let first = raw.next().unwrap_or(0);
        let (low, high) = raw.fold((first, first), |(low, high), us| (low.min(us), high.max(us)));
        let waited = (arrival_us - gathering.since_us).max(high - low);

        let (video, sound): (Vec<&TrackState>, Vec<&TrackState>) =
            self.tracks.iter().partition(|state| state.track.is_video());
        let all_here = !video.is_empty()
            && !sound.is_empty()
            && self
                .tracks
                .iter()
                .all(|state| of(state.track.id).any(|held| held.fresh && held.frame.keyframe));
        // After the wait, a track that stayed on its old clock serves as well.
        let keyframe_here = video.iter().any(|state| {
            let id = state.track.id;
            of(id).any(|held| held.frame.keyframe && (held.fresh || !has_fresh(id)))
        });
        let late = waited >= GATHER_US && (video.is_empty() || keyframe_here) || waited >= KEYFRAME_WAIT_US;
        if all_here || late || gathering.held.len() >= GATHER_FRAMES || gathering.bytes >= GATHER_BYTES {
            self.start_epoch();
        }
    }

    fn state(&self, track: TrackId) -> &TrackState {
        let index = self.tracks.iter().position(|s| s.track.id == track).unwrap_or(0);
        &self.tracks[index]
    }

    fn index(&self, track: TrackId) -> Option<usize> {
        self.tracks.iter().position(|state| state.track.id == track)
    }

    fn start_epoch(&mut self) {
        let Some(gathering) = self.gathering.take() else { return };
        // What a track sent before its jump, or before the keyframe with which it begins anew, ends the old epoch.
        let mut held = Vec::with_capacity(gathering.held.len());
        let ids: Vec<TrackId> = self.tracks.iter().map(|state| state.track.id).collect();
        let begins: Vec<(TrackId, usize)> = ids
            .iter()
            .filter_map(|id| {
                let own = |held: &&(usize, &Held)| held.1.frame.track == *id;
                let numbered: Vec<(usize, &Held)> = gathering.held.iter().enumerate().collect();
                let fresh = numbered
                    .iter()
                    .filter(own)
                    .find(|(_, held)| held.fresh)
                    .map(|(number, _)| *number);
                fresh
                    .or_else(|| {
                        numbered
                            .iter()
                            .filter(own)
                            .find(|(_, held)| held.frame.keyframe)
                            .map(|(number, _)| *number)
                    })
                    .map(|number| (*id, number))
            })
            .collect();
        for (number, h) in gathering.held.into_iter().enumerate() {
            let begun = begins
                .iter()
                .any(|(id, first)| *id == h.frame.track && number >= *first);
            match self.index(h.frame.track) {
                Some(index) if !begun && self.tracks[index].active && self.epochs > 0 => {
                    self.place_in_order(index, h.frame, h.arrival_us)
                }
                _ if begun => held.push(h),
                _ => self.repairs.dropped += 1,
            }
        }
        // The origin: the first keyframe of video; without video, the earliest frame (conformance 41).
        let is_video = |timeline: &Self, h: &Held| timeline.state(h.frame.track).track.is_video();
        let us = |timeline: &Self, h: &Held| timeline.state(h.frame.track).us(h.frame.dts);
        let origin = held
            .iter()
            .find(|h| h.frame.keyframe && is_video(self, h))
            .or_else(|| held.iter().filter(|h| !is_video(self, h)).min_by_key(|h| us(self, h)));
        let Some((origin_us, arrival_us, origin_fresh)) = origin.map(|h| (us(self, h), h.arrival_us, h.fresh)) else {
            self.repairs.dropped += held.len() as u64;
            return;
        };
        let resumed = self.epochs > 0 || self.first_epoch_is_discontinuity;
        // A break lasts as long on the media clock as it did on the server's, and never runs into what is out already.
        let start_us = if resumed {
            self.end_us().max(arrival_us)
        } else {
            self.floor_us
        };
        for index in 0..self.tracks.len() {
            let id = self.tracks[index].track.id;
            let mut own = held.iter().filter(|h| h.frame.track == id);
            let first = own.clone().next();
            let state = &mut self.tracks[index];
            if let Some(next) = state.next.take() {
                let (old, new) = (state.track.timescale, next.timescale);
                state.last = state
                    .last
                    .map(|(dts, end)| (rescale(dts, old, new), rescale(end, old, new)));
                state.track = next;
            }
            state.active = first.is_some() && (!state.track.is_video() || own.clone().any(|h| h.frame.keyframe));
            let base_us = match first {
                // On another clock than the origin: anchored by what arrived with it.
                Some(first) if first.fresh != origin_fresh => {
                    let beside = own.find(|h| h.arrival_us >= arrival_us).unwrap_or(first);
                    state.us(beside.frame.dts)
                }
                _ => origin_us,
            };
            state.offset = state.ticks(base_us) - state.ticks(start_us);
            state.last_raw = None;
        }
        self.open(start_us, arrival_us, resumed);
        for h in held {
            let Some(index) = self.index(h.frame.track) else {
                continue;
            };
            let state = &self.tracks[index];
            let leading = if state.track.is_video() {
                !state.placed && !h.frame.keyframe
            } else {
                // Sound that is over, or nearly, when the first picture begins has nothing to go with.
                let length = i64::from(frame_ticks(&state.track, &h.frame).unwrap_or(0));
                h.frame.dts - state.offset + length / 2 < state.ticks(start_us)
            };
            if leading || !state.active {
                self.repairs.dropped += 1;
                continue;
            }
            self.place_in_order(index, h.frame, h.arrival_us);
        }
    }

    fn open(&mut self, start_us: i64, arrival_us: i64, discontinuity: bool) {
        self.epochs += 1;
        self.pending_epoch = false;
        self.floor_us = self.floor_us.max(start_us);
        for state in &mut self.tracks {
            state.placed = false;
        }
        self.drift = Drift {
            anchored: None,
            least: None,
            span_start: arrival_us,
        };
        let tracks = self
            .tracks
            .iter()
            .filter(|s| s.active)
            .map(|s| Arc::clone(&s.track))
            .collect();
        self.out.push_back(Output::Epoch(Epoch {
            tracks,
            discontinuity,
            start_us,
            arrival_us,
        }));
    }

    // ---- running: one mapping holds ---------------------------------------------------------------------------------------

    fn place(&mut self, index: usize, frame: Frame, arrival_us: i64) {
        // A track that came late, or a changed configuration, waits for a place where all tracks can begin anew.
        let state = &self.tracks[index];
        let changed = state.next.is_some() || !state.active;
        if changed {
            self.pending_epoch = true;
        }
        let video_runs = self.tracks.iter().any(|s| s.active && s.track.is_video());
        let can_begin = if video_runs || state.track.is_video() {
            state.track.is_video() && frame.keyframe
        } else {
            true
        };
        if self.pending_epoch && can_begin {
            self.reopen(index, &frame, arrival_us);
        } else if changed {
            self.repairs.dropped += 1;
            return;
        }
        self.place_in_order(index, frame, arrival_us);
    }

    /// A new epoch on the same clock: the set of tracks or a configuration has changed.
    fn reopen(&mut self, index: usize, frame: &Frame, arrival_us: i64) {
        let running = self.tracks.iter().find(|s| s.active).map(|s| s.us(s.offset));
        let own_clock = self.tracks[index].active;
        let state = &self.tracks[index];
        let offset_us = running.unwrap_or(0);
        let offset = if own_clock {
            state.offset
        } else {
            state.ticks(offset_us)
        };
        let start_us = state.us(frame.dts - offset).max(self.floor_us);
        for state in &mut self.tracks {
            if let Some(next) = state.next.take() {
                let (old_scale, new_scale) = (state.track.timescale, next.timescale);
                state.offset = rescale(state.offset, old_scale, new_scale);
                state.last = state
                    .last
                    .map(|(dts, end)| (rescale(dts, old_scale, new_scale), rescale(end, old_scale, new_scale)));
                state.last_raw = None;
                state.track = next;
            }
            // Pictures join at their own keyframe, sound at any time.
            if !state.active && (state.track.id == frame.track || !state.track.is_video()) {
                state.offset = state.ticks(offset_us);
                state.active = true;
                state.last_raw = None;
            }
        }
        self.open(start_us, arrival_us, true);
    }

    fn place_in_order(&mut self, index: usize, mut frame: Frame, arrival_us: i64) {
        let state = &mut self.tracks[index];
        state.last_raw = Some(frame.dts);
        let mapped = frame.dts - state.offset;
        let ticks = frame_ticks(&state.track, &frame);
        if state.track.is_video() {
            if let Some((last, _)) = state.last
                && mapped <= last
            {
                // Conformance 42: the smallest step a millisecond clock has; PTS stays.
                let moved = last + i64::from(state.track.timescale / 1000).max(1);
                let by = i32::try_from(moved - mapped).unwrap_or(i32::MAX);
                frame.composition_offset = frame.composition_offset.saturating_sub(by);
                frame.dts = moved;
                self.repairs.nudged += 1;
            } else {
                frame.dts = mapped;
            }
            // Until the next one comes, a picture lasts as long as the one before it did.
            let usual = state
                .last
                .map_or(i64::from(state.track.timescale / 30), |(last, _)| frame.dts - last);
            let length = ticks.map_or(usual.clamp(1, i64::from(state.track.timescale)), i64::from);
            state.last = Some((frame.dts, frame.dts + length));
        } else {
            let length = i64::from(ticks.unwrap_or(state.track.timescale / 50));
            // Conformance 43: the sample clock leads; the encoder's milliseconds correct it only beyond 1.5 frames.
            match state.last {
                Some((_, end)) if state.placed && mapped - end < -(length * 3 / 2) => {
                    self.repairs.dropped += 1;
                    return;
                }
                Some((_, end)) if state.placed && mapped - end <= length * 3 / 2 => frame.dts = end,
                _ => {
                    let earliest = state
                        .last
                        .map_or(i64::MIN, |(_, end)| end)
                        .max(state.ticks(self.floor_us));
                    if mapped + length < earliest {
                        self.repairs.dropped += 1;
                        return;
                    }
                    frame.dts = mapped.max(earliest);
                }
            }
            frame.duration = frame.duration.or(ticks);
            state.last = Some((frame.dts, frame.dts + length));
        }
        state.placed = true;
        let media_us = state.us(frame.dts);
        let video = state.track.is_video();
        self.out.push_back(Output::Frame(frame));
        if let Some(delay) = self.drift.observe(media_us, arrival_us) {
            self.out.push_back(Output::Anchor {
                media_us,
                arrival_us: media_us + delay,
            });
        }
        if video {
            self.fill_silence(media_us);
        }
    }

    /// Conformance 45: sound that has stopped goes on as silence, where silence is known for its codec.
    fn fill_silence(&mut self, video_us: i64) {
        for index in 0..self.tracks.len() {
            let state = &self.tracks[index];
            if !state.active || state.track.is_video() {
                continue;
            }
            let Some((payload, length)) = silence(&state.track) else {
                continue;
            };
            let mut end = state
                .last
                .map_or_else(|| state.ticks(self.floor_us), |(_, end)| end)
                .max(state.ticks(self.floor_us));
            if video_us - state.us(end) < SILENCE_AFTER_US {
                continue;
            }
            let until = state.ticks(video_us - SILENCE_MARGIN_US);
            // A hole longer than any playlist's part of it matters is left a hole.
            end = end.max(state.ticks(video_us - SILENCE_MOST_US));
            let track = state.track.id;
            while end + i64::from(length) <= until {
                self.out.push_back(Output::Frame(Frame {
                    track,
                    dts: end,
                    composition_offset: 0,
                    duration: Some(length),
                    keyframe: true,
                    payload: payload.clone(),
                }));
                self.tracks[index].last = Some((end, end + i64::from(length)));
                self.tracks[index].placed = true;
                self.repairs.silence += 1;
                end += i64::from(length);
            }
        }
    }
}

/// How long a frame lasts where its codec says so.
fn frame_ticks(track: &Track, frame: &Frame) -> Option<u32> {
    frame.duration.or(match track.media {
        Media::Audio { frame_samples, .. } => frame_samples,
        Media::Video { .. } => None,
    })
}

/// One silent frame and its length in ticks, for the codecs and layouts where it is a constant.
fn silence(track: &Track) -> Option<(Bytes, u32)> {
    // AAC-LC raw_data_blocks of one SCE or CPE with nothing coded (ISO/IEC 14496-3 4.4.2), and an Opus CELT frame of 20 ms (RFC 6716 3.1).
    const AAC_MONO: &[u8] = &[0x00, 0xc8, 0x00, 0x80, 0x23, 0x80];
    const AAC_STEREO: &[u8] = &[0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80];
    const OPUS: &[u8] = &[0xf8, 0xff, 0xfe];
    match (track.codec, &track.media) {
        (
            Codec::Aac,
            Media::Audio {
                channels,
                frame_samples: Some(1024),
                ..
            },
        ) if track.codec_string == "mp4a.40.2" => match channels {
            1 => Some((Bytes::from_static(AAC_MONO), 1024)),
            2 => Some((Bytes::from_static(AAC_STEREO), 1024)),
            _ => None,
        },
        (Codec::Opus, Media::Audio { channels: 1 | 2, .. }) => Some((Bytes::from_static(OPUS), 960)),
        _ => None,
    }
}
