//! The ladder of one broadcast: [`Live`] in the packaging task, and the task that keeps its worker going.
//!
//! **Queue.** What is pushed goes into one queue of frames ([`Kept`]) that the task reads. It is bounded; when it is full, whole GOPs are
//! left out and counted. A worker has at most [`CREDIT`] pictures that it has not yet taken into its decoder.
//!
//! **Restart.** Frames stay in the queue until no rung needs them any more. When a worker dies, or says nothing for 3 s although it has
//! work, another is started, gets the frames again from the last keyframe on and is told for each rung which picture it is to go on with. That one
//! becomes an IDR picture; none is missing and none comes twice. Only when two workers have died on the same frames, these are left out.
//!
//! **Too slow.** When the rungs are behind for two seconds, the one that costs most is left off, and comes back when all is well again ([`Pace`]).
//!
//! **Epochs.** An epoch's end, an encoder that goes and the broadcast's end are marks in the queue. At a mark, everything that is inside comes
//! out, within a second, then the next ladder begins in the same worker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nova_core::live::{Epoch, Item};
use nova_core::media::{Codec, Frame, Media, Track, TrackId, rescale};
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use crate::kept::{Input, Kept};
use crate::ladder::{Rung, rung_cost};
use crate::pace::{Advice, Pace};
use crate::process::Worker;
use crate::transcoder::{Error, Transcoder};
use crate::wire::{MESSAGE_MAX, Reply, Request, RungStart, SoundStart, Start};

/// The first rung's track; the others follow.
pub const RUNG_TRACK: TrackId = TrackId(0x80);
/// The AAC rendition's track.
pub const SOUND_TRACK: TrackId = TrackId(0xC0);

/// Pictures that a worker may have without having taken them into its decoder: as many as a B-pyramid holds back, and a few.
const CREDIT: u64 = 32;
/// Events that wait for the packaging task inside the task...
const OUT_MAX: usize = 256;
/// ...and those in the channel to it: together 4 s of three rungs with sound.
const EVENTS: usize = 256;
/// Sound of the AAC rendition.
const SOUND_BIT_RATE: u32 = 128_000;
/// Samples in a frame of AAC-LC.
const AAC_FRAME: i64 = 1024;
/// Sound that a decoder wants to hear before what it is to give (RFC 7845 4.2 says 80 ms for Opus).
const PREROLL_US: i64 = 200_000;
/// How long what is inside may take to come out.
const FLUSH_US: i64 = 1_000_000;
/// A worker that has work and says nothing for so long hangs.
const HANG_US: i64 = 3_000_000;
/// The first time on a machine, it looks at every plug-in before it says anything.
const FIRST_WORD_US: i64 = 10_000_000;
/// A worker that has lived so long was well.
const HEALTHY_US: i64 = 30_000_000;
/// Catching up after a start is not being too slow.
const GRACE_US: i64 = 3_000_000;
/// First delay of a restart; the very first restart has none.
const BACKOFF_US: i64 = 250_000;
/// The longest delay.
const BACKOFF_MOST_US: i64 = 30_000_000;
/// Failures in a row after which viewers are told that the rungs are away.
const FAILURES_PAUSE: u32 = 4;
const TICK: Duration = Duration::from_millis(100);

/// What comes out of a ladder, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The decoder configuration of a rung (or of the AAC rendition, named "aac") is known; its frames follow. Once per epoch and track.
    Track {
        /// The rung's name.
        name: String,
        /// What its frames are.
        track: Track,
    },
    /// A frame in the broadcast's media time: ticks of the source's timescale (90 kHz) for pictures, of the sample rate for sound. DTS rises per track.
    Frame(Frame),
    /// What was pushed before an epoch, [`Item::Offline`] or [`Item::End`] has come out or was given up. Once for each of these.
    Flushed,
    /// This track has nothing until further notice: left off because the machine is too slow, or its worker does not start.
    Paused(TrackId),
}

/// The ladder of one broadcast, held by the task that packages it.
pub struct Live {
    shared: Arc<Shared>,
    events: mpsc::Receiver<Event>,
    transcoder: Arc<Transcoder>,
    rungs: Vec<Rung>,
    sound: bool,
    /// The tracks that the ladder is made from.
    sources: Vec<TrackId>,
    reserved: f32,
}

struct Shared {
    stream: String,
    kept: Mutex<Kept<Option<Plan>>>,
    wake: Notify,
    /// Process id of the worker; 0 when there is none.
    worker: AtomicU32,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept<Option<Plan>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an epoch gets.
#[derive(Clone, Debug)]
struct Plan {
    video: Option<Arc<Track>>,
    rungs: Vec<Rung>,
    frame_rate: Option<(u32, u32)>,
    sound: Option<Arc<Track>>,
}

impl Live {
    pub(crate) fn new(transcoder: Arc<Transcoder>, stream: &str) -> Self {
        let shared = Arc::new(Shared {
            stream: stream.to_owned(),
            kept: Mutex::default(),
            wake: Notify::new(),
            worker: AtomicU32::new(0),
        });
        let (sender, events) = mpsc::channel(EVENTS);
        let task = Task::new(Arc::clone(&transcoder), Arc::clone(&shared));
        transcoder.runtime.spawn(task.run(sender));
        Self {
            shared,
            events,
            transcoder,
            rungs: Vec::new(),
            sound: false,
            sources: Vec::new(),
            reserved: 0.0,
        }
    }

    /// Takes the next item of the hub's reader. Never waits; what does not fit is dropped by whole GOPs and counted.
    pub fn push(&mut self, item: &Item) {
        match item {
            Item::Epoch(epoch) => self.epoch(epoch),
            Item::Frame(frame) if self.sources.contains(&frame.track) => {
                let sane = frame.payload.len() <= MESSAGE_MAX / 2;
                if !sane || !self.shared.kept().push(frame.clone()) {
                    metrics::counter!("nova_transcode_dropped_frames_total").increment(1);
                }
                self.shared.wake.notify_one();
            }
            Item::Offline | Item::End => {
                self.release();
                self.sources.clear();
                self.mark(None);
            }
            Item::Frame(_) | Item::Anchor { .. } | Item::Skipped(_) => {}
        }
    }

    /// The rungs of the running epoch, largest first: the n-th has the track [`RUNG_TRACK`] + n.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// True when the running epoch gets an AAC rendition, with the track [`SOUND_TRACK`].
    pub const fn has_sound(&self) -> bool {
        self.sound
    }

    /// Process id of the worker, for logs and tests.
    pub fn worker(&self) -> Option<u32> {
        Some(self.shared.worker.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// Waits for events and appends those that are there. Cancel-safe; waits forever when there is nothing to come.
    pub async fn receive(&mut self, batch: &mut Vec<Event>) {
        if self.events.recv_many(batch, EVENTS).await == 0 {
            std::future::pending::<()>().await;
        }
    }

    fn epoch(&mut self, epoch: &Epoch) {
        self.release();
        let video = epoch.tracks.iter().find(|track| track.is_video());
        let frame_rate = video.and_then(|track| match track.media {
            Media::Video { frame_rate, .. } => frame_rate,
            Media::Audio { .. } => None,
        });
        if let Some(source) = video {
            (self.rungs, self.reserved) = self.transcoder.reserve(source, frame_rate);
            // What the encoder sends itself need not be made.
            self.rungs.retain(|rung| {
                !epoch
                    .tracks
                    .iter()
                    .any(|track| !Arc::ptr_eq(track, source) && is_like(track, rung))
            });
        }
        let has_aac = epoch.tracks.iter().any(|track| track.codec == Codec::Aac);
        let sound = epoch.tracks.iter().find(|track| !track.is_video());
        let sound = sound.filter(|_| !has_aac && !self.transcoder.is_off()).map(Arc::clone);
        self.sound = sound.is_some();
        let plan = Plan {
            video: video.filter(|_| !self.rungs.is_empty()).map(Arc::clone),
            rungs: self.rungs.clone(),
            frame_rate,
            sound,
        };
        self.sources = [&plan.video, &plan.sound]
            .into_iter()
            .flatten()
            .map(|track| track.id)
            .collect();
        self.mark(Some(plan));
    }

    fn mark(&self, plan: Option<Plan>) {
        let video = plan.as_ref().and_then(|plan| plan.video.as_ref()).map(|track| track.id);
        let now_us = self.transcoder.settings.clock.monotonic_micros();
        self.shared.kept().mark(plan, video, now_us);
        self.shared.wake.notify_one();
    }

    fn release(&mut self) {
        self.rungs.clear();
        self.sound = false;
        self.transcoder.release(std::mem::take(&mut self.reserved));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.release();
    }
}

/// True when the encoder's own track makes the rung superfluous: the short sides differ by less than a tenth.
fn is_like(track: &Track, rung: &Rung) -> bool {
    let Media::Video { width, height, .. } = track.media else {
        return false;
    };
    let (theirs, ours) = (u32::from(width.min(height)), u32::from(rung.width.min(rung.height)));
    theirs.abs_diff(ours) * 10 < ours
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Frames are expected.
    Active,
    /// Left off.
    Shed,
    /// Taken up again; its first frame comes with a keyframe of the source.
    Awaited,
    /// Its new frames would not fit its configuration.
    Failed,
}

struct RungState {
    id: TrackId,
    rung: Rung,
    cost: f32,
    status: Status,
    track: Option<Track>,
    /// PTS of its newest frame.
    last: Option<i64>,
}

struct SoundState {
    source: Arc<Track>,
    failed: bool,
    track: Option<Track>,
    /// DTS of the next frame.
    next: Option<i64>,
}

/// An epoch's ladder.
struct Running {
    video: Option<Arc<Track>>,
    rungs: Vec<RungState>,
    sound: Option<SoundState>,
    /// PTS of the first picture.
    first: Option<i64>,
    /// What the first worker has measured: it is part of what an encoder writes into its configuration, so all have to use the same.
    frame_rate: Option<(u32, u32)>,
}

/// The life of one worker with one ladder.
struct Session {
    worker: Worker,
    started_us: i64,
    ready: bool,
    /// A frame has come out.
    progressed: bool,
    /// Pictures sent to it, and taken by it.
    sent: u64,
    taken: u64,
    flush_sent: bool,
    /// Since when it owes a word.
    owes_since_us: Option<i64>,
}

impl Session {
    fn owes(&self) -> bool {
        !self.ready || self.sent > self.taken || self.flush_sent
    }
}

struct Task {
    transcoder: Arc<Transcoder>,
    shared: Arc<Shared>,
    out: VecDeque<Event>,
    running: Option<Running>,
    session: Option<Session>,
    pace: Pace,
    failures: u32,
    /// Failures on the same frames.
    barren: u32,
    restart_us: i64,
}

impl Task {
    fn new(transcoder: Arc<Transcoder>, shared: Arc<Shared>) -> Self {
        Self {
            transcoder,
            shared,
            out: VecDeque::new(),
            running: None,
            session: None,
            pace: Pace::default(),
            failures: 0,
            barren: 0,
            restart_us: 0,
        }
    }

    async fn run(mut self, events: mpsc::Sender<Event>) {
        let shared = Arc::clone(&self.shared);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.drive();
            let room = self.out.len() < OUT_MAX;
            let busy = self.running.is_some();
            tokio::select! {
                permit = events.reserve(), if !self.out.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.out.pop_front() {
                            permit.send(event);
                        }
                    }
                    Err(_dropped) => return,
                },
                () = events.closed() => return,
                reply = receive(self.session.as_mut(), room) => match reply {
                    Ok(reply) => self.take(reply),
                    Err(error) => self.fail(&error),
                },
                () = shared.wake.notified() => {}
                _ = ticks.tick(), if busy => self.tick(room),
            }
        }
    }

    fn now_us(&self) -> i64 {
        self.transcoder.settings.clock.monotonic_micros()
    }

    /// Gives the worker what it may have.
    fn drive(&mut self) {
        let now_us = self.now_us();
        let shared = Arc::clone(&self.shared);
        loop {
            let Some(running) = &mut self.running else {
                // Nothing is being made: marks pass at once.
                let Some(next) = shared.kept().pass_mark() else { return };
                self.flushed(next);
                continue;
            };
            let Some(session) = &mut self.session else {
                if now_us < self.restart_us {
                    return;
                }
                self.start();
                if self.session.is_none() {
                    return;
                }
                continue;
            };
            let mut kept = shared.kept();
            match kept.peek() {
                Some(Input::Frame(frame)) => {
                    let leads = running.video.as_ref().is_none_or(|video| video.id == frame.track);
                    if leads {
                        if session.sent >= session.taken + CREDIT {
                            return;
                        }
                        session.sent += 1;
                        let _ = running.first.get_or_insert(frame.pts());
                    }
                    session.worker.send(&Request::Frame(frame.clone()));
                    kept.advance();
                }
                Some(Input::Mark { .. }) => {
                    if !session.flush_sent {
                        session.flush_sent = true;
                        session.worker.send(&Request::Flush);
                    }
                    session.owes_since_us.get_or_insert(now_us);
                    return;
                }
                None => return,
            }
            if session.owes() {
                session.owes_since_us.get_or_insert(now_us);
            }
        }
    }

    /// What was pushed before a mark is out or given up; `next` begins.
    fn flushed(&mut self, next: Option<Plan>) {
        self.out.push_back(Event::Flushed);
        self.running = None;
        (self.barren, self.pace) = (0, Pace::default());
        let Some(plan) = next.filter(|plan| !plan.rungs.is_empty() || plan.sound.is_some()) else {
            self.drop_session();
            return;
        };
        let rungs = plan.rungs.into_iter().enumerate().map(|(index, rung)| RungState {
            id: TrackId(RUNG_TRACK.0 + index as u8),
            cost: rung_cost(&rung, plan.frame_rate),
            rung,
            status: Status::Active,
            track: None,
            last: None,
        });
        self.running = Some(Running {
            rungs: rungs.collect(),
            video: plan.video,
            sound: plan.sound.map(|source| SoundState {
                source,
                failed: false,
                track: None,
                next: None,
            }),
            first: None,
            frame_rate: None,
        });
        // A worker that has just flushed takes the next ladder as well.
        if let Some(session) = self.session.take() {
            self.begin(session.worker);
        }
    }

    fn start(&mut self) {
        let settings = &self.transcoder.settings;
        match Worker::start(settings, &self.transcoder.runtime, &self.shared.stream) {
            Ok(worker) => {
                let lost = self.shared.kept().rewind(self.barren >= 2);
                if lost > 0 {
                    metrics::counter!("nova_transcode_dropped_frames_total").increment(lost);
                }
                metrics::gauge!("nova_transcode_workers").increment(1.0);
                self.shared.worker.store(worker.id().unwrap_or(0), Ordering::Relaxed);
                self.begin(worker);
            }
            Err(error) => self.fail(&error.into()),
        }
    }

    fn begin(&mut self, mut worker: Worker) {
        let Some(running) = &mut self.running else { return };
        let rungs = running.rungs.iter_mut().map(|state| {
            if state.status == Status::Awaited {
                state.status = Status::Shed;
            }
            RungStart {
                track: state.id,
                name: state.rung.name.clone(),
                width: state.rung.width,
                height: state.rung.height,
                bit_rate: state.rung.bit_rate,
                frame_rate_divisor: state.rung.frame_rate_divisor,
                after: state.last,
                shed: state.status != Status::Active,
                parameter_set: 0,
            }
        });
        let rungs = rungs.collect();
        let sound = running
            .sound
            .as_ref()
            .filter(|sound| !sound.failed)
            .map(|sound| SoundStart {
                source: Track::clone(&sound.source),
                track: SOUND_TRACK,
                bit_rate: SOUND_BIT_RATE,
                from: sound.next,
            });
        worker.send(&Request::Start(Box::new(Start {
            video: running.video.as_deref().cloned(),
            rungs,
            sound,
            encoder: self.transcoder.encoder(),
            avoid: self.transcoder.avoided(),
            frame_rate: running.frame_rate,
            file: None,
        })));
        self.pace.restart();
        let now_us = self.now_us();
        self.session = Some(Session {
            worker,
            started_us: now_us,
            ready: false,
            progressed: false,
            sent: 0,
            taken: 0,
            flush_sent: false,
            owes_since_us: Some(now_us),
        });
    }

    fn drop_session(&mut self) {
        if self.session.take().is_some() {
            self.shared.worker.store(0, Ordering::Relaxed);
            metrics::gauge!("nova_transcode_workers").decrement(1.0);
        }
    }

    fn take(&mut self, reply: Reply) {
        let now_us = self.now_us();
        let Some(session) = &mut self.session else { return };
        session.owes_since_us = None;
        match reply {
            Reply::Ready { encoder } => {
                session.ready = true;
                if !encoder.is_empty() {
                    self.transcoder.set_encoder(Some(encoder));
                }
            }
            Reply::Taken(count) => session.taken = count,
            Reply::FrameRate(count, seconds) => {
                if let Some(running) = &mut self.running {
                    running.frame_rate.get_or_insert((count, seconds));
                }
            }
            Reply::Track { name, track } => self.track(name, *track),
            Reply::Frame(frame) => self.frame(frame),
            Reply::Flushed => {
                let next = if session.flush_sent {
                    self.shared.kept().pass_mark()
                } else {
                    None
                };
                if let Some(next) = next {
                    return self.flushed(next);
                }
            }
            Reply::Fault(reason) => return self.fail(&Error::Worker(reason)),
            Reply::EncoderFault(reason) => {
                let rungs = self.running.iter().flat_map(|running| &running.rungs);
                // What has come of it is what viewers have, and no other encoder goes on with it: then it is tried again first.
                if rungs.into_iter().all(|state| state.track.is_none()) {
                    self.transcoder.avoid_encoder(&reason);
                }
                return self.fail(&Error::Encoder(reason));
            }
            Reply::Still { .. } => {}
        }
        if let Some(session) = self.session.as_mut().filter(|session| session.owes()) {
            session.owes_since_us = Some(now_us);
        }
    }

    /// A track's configuration: the first time it is told, after a restart it has to be the same.
    fn track(&mut self, name: String, track: Track) {
        let Some(running) = &mut self.running else { return };
        let id = track.id;
        let known = if id == SOUND_TRACK {
            let Some(sound) = &mut running.sound else { return };
            &mut sound.track
        } else {
            let Some(state) = running.rungs.iter_mut().find(|state| state.id == id) else {
                return;
            };
            &mut state.track
        };
        match known {
            None => {
                *known = Some(track.clone());
                self.out.push_back(Event::Track { name, track });
            }
            Some(known) if *known == track => {}
            Some(_) => {
                tracing::warn!(stream = %self.shared.stream, rung = %name, "another encoder took over: the rung is away until the next epoch");
                if id == SOUND_TRACK {
                    running.sound.iter_mut().for_each(|sound| sound.failed = true);
                } else {
                    running
                        .rungs
                        .iter_mut()
                        .filter(|state| state.id == id)
                        .for_each(|state| state.status = Status::Failed);
                    if let Some(session) = &mut self.session {
                        session.worker.send(&Request::Shed(id));
                    }
                }
                self.out.push_back(Event::Paused(id));
            }
        }
    }

    fn frame(&mut self, frame: Frame) {
        let (Some(running), Some(session)) = (&mut self.running, &mut self.session) else {
            return;
        };
        if frame.track == SOUND_TRACK {
            let Some(sound) = running
                .sound
                .as_mut()
                .filter(|sound| !sound.failed && sound.track.is_some())
            else {
                return;
            };
            if sound.next.is_some_and(|next| frame.dts < next) {
                return;
            }
            sound.next = Some(frame.dts + AAC_FRAME);
        } else {
            let Some(state) = running.rungs.iter_mut().find(|state| state.id == frame.track) else {
                return;
            };
            let fits = matches!(state.status, Status::Active | Status::Awaited) && state.track.is_some();
            if !fits || state.last.is_some_and(|last| frame.pts() <= last) {
                return;
            }
            state.last = Some(frame.pts());
            state.status = Status::Active;
        }
        session.progressed = true;
        (self.barren, self.failures) = (
            0,
            if self.failures > FAILURES_PAUSE {
                FAILURES_PAUSE
            } else {
                self.failures
            },
        );
        self.out.push_back(Event::Frame(frame));
        self.trim();
    }

    /// Forgets what no restart would need.
    fn trim(&self) {
        let Some(running) = &self.running else { return };
        let sound_from = running.sound.as_ref().filter(|sound| !sound.failed).map(|sound| {
            let rate = sound.track.as_ref().map_or(1, |track| track.timescale);
            let scale = sound.source.timescale;
            sound.next.map_or(i64::MIN, |next| {
                rescale(next, rate, scale) - rescale(PREROLL_US, 1_000_000, scale)
            })
        });
        match running.oldest() {
            // All rungs are away, or there are none: what sound needs decides.
            None if running.video.is_none() => {
                if let Some(from) = sound_from {
                    self.shared.kept().trim(from, None);
                }
            }
            None => self.shared.kept().trim(i64::MAX, sound_from),
            Some(Some(pts)) => self.shared.kept().trim(pts, sound_from),
            Some(None) => {}
        }
    }

    fn fail(&mut self, error: &Error) {
        let now_us = self.now_us();
        metrics::counter!("nova_transcode_restarts_total", "task" => "live").increment(1);
        if let Some(session) = &self.session {
            if now_us - session.started_us > HEALTHY_US {
                self.failures = 0;
            }
            self.barren = if session.progressed { 0 } else { self.barren + 1 };
        }
        let delay_us = match self.failures {
            0 => 0,
            failures => (BACKOFF_US << (failures - 1).min(16)).min(BACKOFF_MOST_US),
        };
        self.failures += 1;
        self.restart_us = now_us + delay_us;
        tracing::warn!(stream = %self.shared.stream, %error, delay_ms = delay_us / 1000, "transcoding worker lost, another is started");
        self.drop_session();
        if self.failures == FAILURES_PAUSE {
            // What a probe once found may be what fails now.
            match error {
                Error::Encoder(reason) => self.transcoder.avoid_encoder(reason),
                _ => self.transcoder.set_encoder(None),
            }
            let rungs = self.running.iter().flat_map(|running| &running.rungs);
            let away = rungs
                .filter(|state| matches!(state.status, Status::Active | Status::Awaited))
                .map(|state| state.id);
            let sound = self
                .running
                .iter()
                .filter(|running| running.sound.is_some())
                .map(|_| SOUND_TRACK);
            let paused: Vec<Event> = away.chain(sound).map(Event::Paused).collect();
            self.out.extend(paused);
        }
    }

    fn tick(&mut self, room: bool) {
        let now_us = self.now_us();
        let since_us = self.shared.kept().mark_since_us();
        if self.running.is_some() && since_us.is_some_and(|since_us| now_us - since_us > FLUSH_US) {
            tracing::warn!(stream = %self.shared.stream, "what is inside the worker does not come out and is given up");
            self.drop_session();
            self.restart_us = now_us;
            let next = self.shared.kept().pass_mark();
            return self.flushed(next.flatten());
        }
        let Some(session) = &mut self.session else { return };
        if !room {
            // Nobody listens: silence is not the worker's fault.
            session.owes_since_us = session.owes_since_us.map(|_| now_us);
            return;
        }
        let limit_us = if session.ready { HANG_US } else { FIRST_WORD_US };
        if session
            .owes_since_us
            .is_some_and(|since_us| now_us - since_us > limit_us)
        {
            return self.fail(&Error::Timeout((limit_us / 1000) as u64));
        }
        if session.ready && !session.flush_sent && now_us - session.started_us > GRACE_US {
            self.keep_pace(now_us);
        }
    }

    fn keep_pace(&mut self, now_us: i64) {
        let newest = self.shared.kept().newest();
        let (Some(running), Some(session)) = (&mut self.running, &mut self.session) else {
            return;
        };
        let Some(video) = &running.video else { return };
        let oldest = running.oldest();
        let lag = match (newest, oldest.map(|oldest| oldest.or(running.first))) {
            (Some(newest), Some(Some(oldest))) => rescale(newest - oldest, video.timescale, 1_000_000).max(0) as u64,
            _ => 0,
        };
        let shed = running.rungs.iter().any(|state| state.status == Status::Shed);
        let advice = self
            .pace
            .observe(now_us, Duration::from_micros(lag), oldest.is_some(), shed);
        let costliest = |a: &&mut RungState, b: &&mut RungState| a.cost.total_cmp(&b.cost);
        match advice {
            Advice::Keep => {}
            Advice::Shed => {
                let active = running.rungs.iter_mut().filter(|state| state.status == Status::Active);
                let Some(state) = active.max_by(costliest) else { return };
                state.status = Status::Shed;
                tracing::warn!(stream = %self.shared.stream, rung = %state.rung.name, lag_ms = lag / 1000, "too slow: the rung is left off");
                metrics::counter!("nova_transcode_shed_total").increment(1);
                session.worker.send(&Request::Shed(state.id));
                self.out.push_back(Event::Paused(state.id));
            }
            Advice::Restore => {
                let away = running.rungs.iter_mut().filter(|state| state.status == Status::Shed);
                let Some(state) = away.min_by(costliest) else { return };
                state.status = Status::Awaited;
                tracing::info!(stream = %self.shared.stream, rung = %state.rung.name, "in time again: the rung comes back");
                session.worker.send(&Request::Restore(state.id));
            }
        }
    }
}

impl Running {
    /// PTS up to which all rungs are out: `None` when none is expected to give anything, `Some(None)` when one has not begun.
    fn oldest(&self) -> Option<Option<i64>> {
        let active = self.rungs.iter().filter(|state| state.status == Status::Active);
        active.map(|state| state.last).min()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.drop_session();
    }
}

/// The worker's next reply; when there is no room for it, the worker only gets what is queued for it.
async fn receive(session: Option<&mut Session>, room: bool) -> Result<Reply, Error> {
    match session {
        None => std::future::pending().await,
        Some(session) if room => session.worker.receive().await,
        Some(session) => session.worker.write().await.map(|()| Reply::Taken(session.taken)),
    }
}
