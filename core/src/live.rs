//! The live hub: one [`Broadcast`] a stream, one writer, many readers.
//!
//! A [`Publisher`] (an ingest session) pushes an encoder's frames; they pass the [`Timeline`] and are handed
//! to every [`Reader`]'s bounded queue. The writer never waits: a reader whose queue is full loses frames up to the next keyframe, and is
//! told how many. Payloads are shared, never copied.
//!
//! A broadcast outlives its publisher by the reconnect window (media-conformance 84), and a second publisher of the same stream takes over
//! when its own first keyframe is there, so viewers see one discontinuity and no hole.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::media::{Frame, Track, TrackId};
use crate::timeline::{self, Timeline};

/// Frames a reader may be behind: about 30 s of 1080p60 with sound.
const QUEUE_FRAMES: usize = 4096;
/// Payload bytes a reader may be behind: 10 s at 25 Mbit/s.
const QUEUE_BYTES: usize = 32 << 20;
/// Broadcasts whose start the packaging service has not yet taken up.
const STARTS: usize = 1024;

/// What a reader receives, in order.
#[derive(Clone, Debug)]
pub enum Item {
    /// A new epoch: the tracks, and where media time stands on the wall clock.
    Epoch(Arc<Epoch>),
    /// Media time `media_us` now stands for `wall`: the encoder's clock has drifted.
    Anchor {
        /// Microseconds from the start of the broadcast.
        media_us: i64,
        /// Wall-clock time of that instant.
        wall: Timestamp,
    },
    /// A frame in media time.
    Frame(Frame),
    /// This many frames were lost to this reader; the next one is a keyframe.
    Skipped(u64),
    /// The publisher has gone and may come back within the reconnect window.
    Offline,
    /// The broadcast is over; nothing follows.
    End,
}

/// An epoch of the timeline with its wall-clock time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The tracks, video first.
    pub tracks: Vec<Arc<Track>>,
    /// False only for the first epoch of the broadcast.
    pub discontinuity: bool,
    /// Media time of the first frame, microseconds from the start of the broadcast.
    pub start_us: i64,
    /// Wall-clock time of that frame's arrival.
    pub wall: Timestamp,
}

/// What a second publisher of a live stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondPublisher {
    /// It takes over at its first keyframe.
    TakeOver,
    /// It is refused.
    Refuse,
}

/// Bounds and policy of the hub.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// How long a broadcast waits for its publisher to come back.
    pub reconnect: Duration,
    /// What a second publisher does.
    pub second_publisher: SecondPublisher,
}

/// Why a publisher cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Another publisher has the stream and the policy is to refuse.
    #[error("the stream is already being published")]
    InUse,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Draining,
}

/// Where a broadcast stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A publisher is there, its first keyframe not yet.
    Starting,
    /// Frames flow.
    Live,
    /// The publisher has gone; the window is open.
    Reconnecting,
    /// Over.
    Ended,
}

/// All broadcasts of this process.
pub struct Hub {
    clock: Clock,
    config: HubConfig,
    broadcasts: RwLock<HashMap<String, Arc<Broadcast>>>,
    starts: mpsc::Sender<Arc<Broadcast>>,
    serial: AtomicU64,
    /// Makes the names of broadcasts unguessable.
    secret: RandomState,
    closed: CancellationToken,
}

impl Hub {
    /// An empty hub, and the queue in which each new broadcast appears once, for whoever packages it.
    pub fn new(clock: Clock, config: HubConfig) -> (Arc<Self>, mpsc::Receiver<Arc<Broadcast>>) {
        let (starts, started) = mpsc::channel(STARTS);
        let hub = Self {
            clock,
            config,
            broadcasts: RwLock::default(),
            starts,
            serial: AtomicU64::new(0),
            secret: RandomState::new(),
            closed: CancellationToken::new(),
        };
        (Arc::new(hub), started)
    }

    /// Makes the caller the publisher of `stream`: of a new broadcast, or of the one whose window is open, or (by policy) of one that
    /// another publisher still has; the last only takes effect at the newcomer's first keyframe.
    pub fn publish(self: &Arc<Self>, stream: &str) -> Result<Publisher, PublishError> {
        if self.closed.is_cancelled() {
            return Err(PublishError::Draining);
        }
        let mut broadcasts = self
            .broadcasts
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(broadcast) = broadcasts.get(stream) {
            let mut state = broadcast.lock();
            let owned = matches!(state.status, Status::Starting | Status::Live);
            if state.status != Status::Ended {
                if owned && self.config.second_publisher == SecondPublisher::Refuse {
                    return Err(PublishError::InUse);
                }
                let publisher = broadcast.attach(self, &mut state);
                drop(state);
                return Ok(publisher);
            }
        }
        if broadcasts.is_empty() {
            // Nothing on air says what time it is: a step of the wall clock can be followed.
            self.clock.follow_wall();
        }
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let broadcast = Arc::new(Broadcast::new(
            stream.to_owned(),
            broadcast_id(self.clock.now(), self.secret.hash_one(serial)),
            self.clock.now(),
        ));
        // Bounded: when nobody takes broadcasts up, the newcomer is told to come back.
        self.starts
            .try_send(Arc::clone(&broadcast))
            .map_err(|_full_or_closed| PublishError::Draining)?;
        broadcasts.insert(stream.to_owned(), Arc::clone(&broadcast));
        let mut state = broadcast.lock();
        let publisher = broadcast.attach(self, &mut state);
        drop(state);
        Ok(publisher)
    }

    /// The broadcast of `stream`, ended or not, as long as the hub remembers it.
    pub fn get(&self, stream: &str) -> Option<Arc<Broadcast>> {
        self.broadcasts
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(stream)
            .cloned()
    }

    /// Every broadcast the hub remembers.
    pub fn list(&self) -> Vec<Arc<Broadcast>> {
        self.broadcasts
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Ends every broadcast whose reconnect window has passed, and forgets those that have ended. To be called about every 100 ms.
    pub fn expire(&self) {
        let now = self.clock.monotonic_micros();
        let window = i64::try_from(self.config.reconnect.as_micros()).unwrap_or(i64::MAX);
        let mut ended = Vec::new();
        for broadcast in self.list() {
            let mut state = broadcast.lock();
            if state.status == Status::Reconnecting && now.saturating_sub(state.offline_since_us) >= window {
                state.end();
            }
            if state.status == Status::Ended {
                ended.push(Arc::clone(&broadcast));
            }
        }
        if !ended.is_empty() {
            let mut broadcasts = self
                .broadcasts
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            broadcasts.retain(|_, known| !ended.iter().any(|gone| Arc::ptr_eq(gone, known)));
        }
    }

    /// Refuses publishers from now on and ends what is live: the last step of a shutdown.
    pub fn close(&self) {
        self.closed.cancel();
        for broadcast in self.list() {
            broadcast.end();
        }
    }
}

/// Object names start with this: it sorts by time and never comes twice, not even after a restart. The second half is a keyed hash under a
/// secret of this process: who was not shown a playlist cannot guess where its segments lie, so that they need no check of their own.
fn broadcast_id(now: Timestamp, unguessable: u64) -> String {
    format!(
        "{}-{:0>13}",
        base36(u64::try_from(now.0).unwrap_or(0)),
        base36(unguessable)
    )
}

fn base36(mut value: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::with_capacity(13);
    while value > 0 {
        text.push(DIGITS[(value % 36) as usize]);
        value /= 36;
    }
    text.reverse();
    String::from_utf8(text).unwrap_or_default()
}

/// One stream on air: from its first publisher's arrival until the reconnect window has passed.
pub struct Broadcast {
    stream: String,
    id: String,
    started: Timestamp,
    state: Mutex<State>,
}

struct State {
    status: Status,
    /// Names the publisher whose frames count.
    owner: u64,
    next_owner: u64,
    /// Tells the owner that another has taken over, or that the broadcast was stopped.
    superseded: CancellationToken,
    /// Why it was stopped from outside.
    stopped: Option<Arc<str>>,
    offline_since_us: i64,
    /// Monotonic time of media time zero, set by the first frame.
    zero_us: Option<i64>,
    end_us: i64,
    epoch: Option<Arc<Epoch>>,
    readers: Vec<Queue>,
    next_reader: u64,
    health: Health,
}

/// How well the publisher does. Kept by the frames that pass: a few integer operations each, no lock of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Media time of the newest keyframe, microseconds.
    keyframe_us: Option<i64>,
    /// Media time between the last two keyframes, microseconds.
    pub keyframe_interval_us: Option<i64>,
    /// Decode time of the newest picture, microseconds.
    video_us: Option<i64>,
    /// Decode time of the newest sound, microseconds.
    audio_us: Option<i64>,
    /// What the timeline has mended and dropped for the publisher that is on air.
    pub repairs: timeline::Repairs,
}

impl Health {
    /// Microseconds by which the newest sound is ahead of the newest picture; 0 when there is only one of them.
    pub fn drift_us(&self) -> i64 {
        self.audio_us
            .zip(self.video_us)
            .map_or(0, |(audio, video)| audio - video)
    }

    fn observe(&mut self, frame: &Frame, epoch: &Epoch) {
        let Some(track) = epoch.tracks.iter().find(|track| track.id == frame.track) else {
            return;
        };
        let at = frame.dts.saturating_mul(1_000_000) / i64::from(track.timescale.max(1));
        if track.is_video() {
            self.video_us = Some(at);
            if frame.keyframe {
                self.keyframe_interval_us = self.keyframe_us.map(|before| at - before);
                self.keyframe_us = Some(at);
            }
        } else {
            self.audio_us = Some(at);
        }
    }
}

struct Queue {
    id: u64,
    items: VecDeque<Item>,
    bytes: usize,
    frames: usize,
    /// Dropping frames until a keyframe; how many so far.
    skipping: Option<u64>,
    /// Has had no frame yet.
    joining: bool,
    /// The track of the epoch that leads with pictures.
    pictures: Option<TrackId>,
    need: Vec<(TrackId, i64)>,
    waker: Option<Waker>,
    urgent: bool,
}

impl Queue {
    fn offer(&mut self, item: &Item, epoch: Option<&Epoch>) {
        if let Item::Frame(frame) = item {
            let entry = frame.keyframe && epoch.is_some_and(|e| is_entry(e, frame.track));
            if let Some(lost) = self.skipping {
                if !entry {
                    self.skipping = Some(lost + 1);
                    return;
                }
                self.end_skip();
            }
            if self.frames >= QUEUE_FRAMES || self.bytes + frame.payload.len() > QUEUE_BYTES {
                let before = self.items.len();
                self.items.retain(|queued| !matches!(queued, Item::Frame(_)));
                let lost = (before - self.items.len()) as u64;
                (self.frames, self.bytes) = (0, 0);
                if entry {
                    self.push(Item::Skipped(lost));
                } else {
                    self.skipping = Some(lost + 1);
                    return;
                }
            }
        }
        if let Item::Epoch(_) = item {
            // An epoch begins where any reader can begin.
            self.end_skip();
        }
        self.push(item.clone());
    }

    fn end_skip(&mut self) {
        let lost = self.skipping.take().unwrap_or(0);
        // A reader that has just come has not lost what was there before it.
        if !std::mem::replace(&mut self.joining, false) && lost > 0 {
            self.push(Item::Skipped(lost));
        }
    }

    fn push(&mut self, item: Item) {
        match &item {
            Item::Frame(frame) => {
                self.frames += 1;
                self.bytes += frame.payload.len();
            }
            Item::Epoch(epoch) => {
                self.pictures = epoch
                    .tracks
                    .first()
                    .filter(|track| track.is_video())
                    .map(|track| track.id);
            }
            _ => {}
        }
        self.urgent |= self.is_urgent(&item);
        self.items.push_back(item);
        if self.urgent
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// True for what the reader acts on at once: all but frames, frames it has asked for, keyframes of pictures (they may end a segment).
    fn is_urgent(&self, item: &Item) -> bool {
        let Item::Frame(frame) = item else { return true };
        self.need.is_empty()
            || self
                .need
                .iter()
                .any(|(track, dts)| *track == frame.track && frame.dts >= *dts)
            || frame.keyframe && self.pictures == Some(frame.track)
            || self.frames > QUEUE_FRAMES / 4
    }
}

/// A reader may start on keyframes of the first track: video where there is video.
fn is_entry(epoch: &Epoch, track: TrackId) -> bool {
    epoch.tracks.first().is_some_and(|first| first.id == track)
}

impl State {
    fn tell(&mut self, item: &Item) {
        let epoch = self.epoch.clone();
        for reader in &mut self.readers {
            reader.offer(item, epoch.as_deref());
        }
    }

    fn end(&mut self) {
        if self.status != Status::Ended {
            self.status = Status::Ended;
            self.superseded.cancel();
            self.tell(&Item::End);
        }
    }
}

impl Broadcast {
    fn new(stream: String, id: String, started: Timestamp) -> Self {
        let state = State {
            status: Status::Starting,
            owner: 0,
            next_owner: 1,
            superseded: CancellationToken::new(),
            stopped: None,
            offline_since_us: 0,
            zero_us: None,
            end_us: 0,
            epoch: None,
            readers: Vec::new(),
            next_reader: 0,
            health: Health::default(),
        };
        Self {
            stream,
            id,
            started,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The stream's public name.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Unique among all broadcasts ever; part of every object name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When its first publisher arrived.
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.lock().status
    }

    /// The tracks of the running epoch.
    pub fn tracks(&self) -> Vec<Arc<Track>> {
        self.lock()
            .epoch
            .as_ref()
            .map(|epoch| epoch.tracks.clone())
            .unwrap_or_default()
    }

    /// Ends it now; its publisher is told.
    pub fn end(&self) {
        self.lock().end();
    }

    /// Ends it now for a reason: its publisher is told `reason` and disconnected, viewers see the end. Stopping what has ended changes nothing.
    pub fn stop(&self, reason: &str) {
        let mut state = self.lock();
        if state.status != Status::Ended {
            state.stopped = Some(reason.into());
            state.end();
        }
    }

    /// How well its publisher does.
    pub fn health(&self) -> Health {
        self.lock().health
    }

    /// What [`Broadcast::stop`] was told; `None` when it runs, or has ended by itself.
    pub fn stop_reason(&self) -> Option<Arc<str>> {
        self.lock().stopped.clone()
    }

    /// A new reader. It begins with the running epoch and its next keyframe.
    pub fn subscribe(self: &Arc<Self>) -> Reader {
        let mut state = self.lock();
        let id = state.next_reader;
        state.next_reader += 1;
        let mut queue = Queue {
            id,
            items: VecDeque::new(),
            bytes: 0,
            frames: 0,
            skipping: state.epoch.is_some().then_some(0),
            joining: true,
            pictures: None,
            need: Vec::new(),
            waker: None,
            urgent: false,
        };
        if let Some(epoch) = &state.epoch {
            queue.push(Item::Epoch(Arc::clone(epoch)));
        }
        if state.status == Status::Ended {
            queue.push(Item::End);
        }
        state.readers.push(queue);
        drop(state);
        Reader {
            broadcast: Arc::clone(self),
            id,
        }
    }

    fn attach(self: &Arc<Self>, hub: &Arc<Hub>, state: &mut State) -> Publisher {
        let id = state.next_owner;
        state.next_owner += 1;
        let superseded = CancellationToken::new();
        if matches!(state.status, Status::Reconnecting) || state.owner == 0 {
            // Nobody to take over from: the place is taken at once, so that the window does not close meanwhile.
            (state.owner, state.superseded) = (id, superseded.clone());
            state.status = Status::Starting;
        }
        Publisher {
            broadcast: Arc::clone(self),
            hub: Arc::clone(hub),
            id,
            superseded,
            timeline: Timeline::new(state.end_us, state.epoch.is_some()),
        }
    }
}

/// The end of a broadcast that an encoder's session holds. Dropping it opens the reconnect window.
pub struct Publisher {
    broadcast: Arc<Broadcast>,
    hub: Arc<Hub>,
    id: u64,
    superseded: CancellationToken,
    timeline: Timeline,
}

impl Publisher {
    /// The broadcast this publishes.
    pub const fn broadcast(&self) -> &Arc<Broadcast> {
        &self.broadcast
    }

    /// Cancelled when another publisher has taken over or the broadcast was ended: the session should close.
    pub const fn superseded(&self) -> &CancellationToken {
        &self.superseded
    }

    /// What the timeline has mended.
    pub const fn repairs(&self) -> timeline::Repairs {
        self.timeline.repairs()
    }

    /// Announces a track or its changed configuration.
    pub fn track(&mut self, track: Track) {
        self.timeline.track(track);
    }

    /// Hands over a frame with the encoder's own timestamps, in the order it came.
    pub fn frame(&mut self, frame: Frame) {
        let now = self.hub.clock.monotonic_micros();
        let broadcast = Arc::clone(&self.broadcast);
        let mut state = broadcast.lock();
        if !self.timeline.started() {
            // Whoever is on air meanwhile has moved on.
            self.timeline.raise_floor(state.end_us, state.epoch.is_some());
        }
        let zero = *state.zero_us.get_or_insert(now);
        self.timeline.push(frame, now - zero);
        self.forward(&mut state, now);
    }

    fn forward(&mut self, state: &mut State, now: i64) {
        if self.superseded.is_cancelled() {
            while self.timeline.poll().is_some() {}
            return;
        }
        let Some(mut output) = self.timeline.poll() else { return };
        if state.status == Status::Ended {
            self.superseded.cancel();
            return;
        }
        if state.owner != self.id {
            if state.owner > self.id {
                // Somebody newer was faster.
                self.superseded.cancel();
                return;
            }
            // Takeover: this publisher's first keyframe is here. The timeline goes on behind what the old one reached.
            state.superseded.cancel();
            (state.owner, state.superseded) = (self.id, self.superseded.clone());
        }
        loop {
            let item = match output {
                timeline::Output::Epoch(epoch) => {
                    let zero = *state.zero_us.get_or_insert(now);
                    let behind = (now - zero) - epoch.arrival_us;
                    let wall = self.hub.clock.media_now().plus_micros(-behind.max(0));
                    if !epoch.discontinuity {
                        // Media time zero is this frame, not one that was dropped before it.
                        state.zero_us = Some(zero + epoch.arrival_us - epoch.start_us);
                    }
                    let epoch = Arc::new(Epoch {
                        tracks: epoch.tracks,
                        discontinuity: epoch.discontinuity,
                        start_us: epoch.start_us,
                        wall,
                    });
                    state.epoch = Some(Arc::clone(&epoch));
                    state.status = Status::Live;
                    Item::Epoch(epoch)
                }
                timeline::Output::Anchor { media_us, arrival_us } => {
                    let zero = state.zero_us.unwrap_or(now);
                    Item::Anchor {
                        media_us,
                        wall: self.hub.clock.media_now().plus_micros(arrival_us - (now - zero)),
                    }
                }
                timeline::Output::Frame(frame) => {
                    if let Some(epoch) = state.epoch.clone() {
                        state.health.observe(&frame, &epoch);
                    }
                    Item::Frame(frame)
                }
            };
            state.tell(&item);
            match self.timeline.poll() {
                Some(next) => output = next,
                None => break,
            }
        }
        state.end_us = state.end_us.max(self.timeline.end_us());
        state.health.repairs = self.timeline.repairs();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut state = self.broadcast.lock();
        if state.owner == self.id && state.status != Status::Ended {
            state.status = Status::Reconnecting;
            state.offline_since_us = self.hub.clock.monotonic_micros();
            state.tell(&Item::Offline);
        }
    }
}

/// The end of a broadcast that somebody who wants frames holds.
pub struct Reader {
    broadcast: Arc<Broadcast>,
    id: u64,
}

impl Reader {
    /// Waits until something has come that this reader acts on, then moves all that is queued into `batch`.
    ///
    /// `need` lists, per track, the decode time from which on a frame matters: frames before it are only collected, so that a packager is
    /// woken once a part and not once a frame. Anything but a frame always wakes, and so do keyframes of pictures. An empty `need` wakes for every frame.
    pub async fn receive(&mut self, batch: &mut Vec<Item>, need: &[(TrackId, i64)]) {
        poll_fn(|context| {
            let mut state = self.broadcast.lock();
            let Some(queue) = state.readers.iter_mut().find(|q| q.id == self.id) else {
                return Poll::Pending;
            };
            need.clone_into(&mut queue.need);
            // What has gathered was judged by what was needed before.
            queue.urgent = queue.items.iter().any(|item| queue.is_urgent(item));
            if queue.urgent {
                queue.urgent = false;
                (queue.bytes, queue.frames) = (0, 0);
                batch.extend(queue.items.drain(..));
                return Poll::Ready(());
            }
            queue.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.broadcast.lock().readers.retain(|queue| queue.id != self.id);
    }
}
