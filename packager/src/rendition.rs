//! One track of a live stream as its viewers see it: the window of segments and parts, and who waits for the next.
//!
//! The packager is the only writer. It publishes a new immutable [`View`] for each part; requests load the current one without a lock and
//! share what was rendered from it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use nova_core::clock::Timestamp;
use nova_core::delivery::Text;
use nova_core::media::{Track, rescale};
use tokio::sync::oneshot;

use crate::captions::Captions;

/// A part of a segment: one CMAF chunk (HLS partial segment, DASH chunk).
#[derive(Clone, Debug)]
pub struct Part {
    /// Ticks.
    pub duration: u32,
    /// Starts with a sync sample.
    pub independent: bool,
    /// Bytes of its first chunk, if that is the segment's first picture and stands by itself; else 0.
    pub first_picture: u32,
    /// The chunk.
    pub bytes: Bytes,
}

/// A finished segment. Its bytes leave memory when the store has them and they are old.
#[derive(Debug)]
pub struct Segment {
    /// Media sequence number, equal across renditions.
    pub msn: u64,
    /// When its first sync sample is shown, ticks from the start of the broadcast.
    pub start: i64,
    /// Ticks.
    pub duration: u32,
    /// Ticks a second of the track at that time.
    pub timescale: u32,
    /// Duration, independence and length of each part.
    pub parts: Vec<PartInfo>,
    /// Starts with a sync sample.
    pub independent: bool,
    /// Bytes of its first chunk, if that is one picture that stands by itself; else 0.
    pub first_picture: u32,
    /// The first segment of an epoch that is a discontinuity.
    pub discontinuity: bool,
    /// Number of the header its samples need.
    pub init: usize,
    /// Wall-clock time of its start.
    pub wall: Timestamp,
    /// Nothing came for this span: an `EXT-X-GAP`.
    pub gap: bool,
    /// Length in bytes.
    pub size: u64,
    /// Key in the object store.
    pub key: String,
    pieces: ArcSwapOption<Arc<[Bytes]>>,
    stored: AtomicBool,
}

/// What stays known of a part when its bytes have left memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// Ticks.
    pub duration: u32,
    /// Starts with a sync sample.
    pub independent: bool,
    /// Where it begins in the segment.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

impl Segment {
    /// The finished form of an open segment.
    pub(crate) fn finish(open: &OpenSegment, duration: u32, track: &Track, key: String) -> Self {
        let mut offset = 0;
        let parts = open
            .parts
            .iter()
            .map(|part| {
                let length = part.bytes.len() as u64;
                offset += length;
                PartInfo {
                    duration: part.duration,
                    independent: part.independent,
                    offset: offset - length,
                    length,
                }
            })
            .collect();
        let pieces: Arc<[Bytes]> = open.parts.iter().map(|part| part.bytes.clone()).collect();
        Self {
            msn: open.msn,
            start: open.start,
            duration,
            timescale: track.timescale,
            parts,
            independent: open.parts.first().is_some_and(|part| part.independent),
            first_picture: open.parts.first().map_or(0, |part| part.first_picture),
            discontinuity: open.discontinuity,
            init: open.init,
            wall: open.wall,
            gap: open.parts.is_empty(),
            size: offset,
            key,
            pieces: ArcSwapOption::from_pointee(pieces),
            stored: AtomicBool::new(false),
        }
    }

    /// One of a recording: its bytes are in the store, or were lost (`gap`).
    pub(crate) fn kept(entry: &crate::recording::SegmentEntry, key: String) -> Self {
        Self {
            msn: entry.msn,
            start: entry.start,
            duration: entry.duration,
            timescale: entry.timescale,
            parts: Vec::new(),
            independent: entry.independent,
            first_picture: entry.first_picture,
            discontinuity: entry.discontinuity,
            init: entry.header,
            wall: Timestamp(entry.wall),
            gap: entry.gap,
            size: entry.size,
            key,
            pieces: ArcSwapOption::empty(),
            stored: AtomicBool::new(true),
        }
    }

    /// Microseconds.
    pub fn duration_us(&self) -> i64 {
        rescale(i64::from(self.duration), self.timescale, 1_000_000)
    }

    /// Media time of its end, microseconds.
    pub fn end_us(&self) -> i64 {
        rescale(self.start + i64::from(self.duration), self.timescale, 1_000_000)
    }

    /// The bytes, unless they have left memory.
    pub fn pieces(&self) -> Option<Arc<[Bytes]>> {
        self.pieces.load().as_deref().cloned()
    }

    /// The store has it: memory may let go.
    pub fn mark_stored(&self) {
        self.stored.store(true, Ordering::Release);
    }

    /// True when the store has it.
    pub fn is_stored(&self) -> bool {
        self.stored.load(Ordering::Acquire)
    }

    /// Drops the bytes from memory.
    pub(crate) fn evict(&self) {
        self.pieces.store(None);
    }

    /// True while the bytes are in memory.
    pub fn in_memory(&self) -> bool {
        self.pieces.load().is_some()
    }
}

/// The segment that grows.
#[derive(Clone, Debug)]
pub struct OpenSegment {
    /// Its media sequence number.
    pub msn: u64,
    /// When its first sync sample is shown.
    pub start: i64,
    /// The parts so far.
    pub parts: Vec<Part>,
    /// First of an epoch that is a discontinuity.
    pub discontinuity: bool,
    /// Number of its header.
    pub init: usize,
    /// Wall-clock time of its start.
    pub wall: Timestamp,
}

/// The newest that can be fetched: the open segment and how many parts of it there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Media sequence number of the open segment.
    pub msn: u64,
    /// Parts of it that are finished.
    pub parts: usize,
}

/// An instant of a rendition.
#[derive(Debug)]
pub struct View {
    /// The track as it is now.
    pub track: Arc<Track>,
    /// Finished segments that can be fetched, oldest first; those before `listed` have left the playlist.
    pub segments: Arc<Vec<Arc<Segment>>>,
    /// Index of the first segment in the playlist.
    pub listed: usize,
    /// Discontinuities that have left the playlist.
    pub discontinuity_sequence: u64,
    /// The segment that grows. It has its place in the numbering before its first part.
    pub open: OpenSegment,
    /// Headers, by number.
    pub inits: Arc<Vec<Bytes>>,
    /// Nothing follows.
    pub ended: bool,
    /// The publisher is away.
    pub offline: bool,
    /// Rendered on first request: whole, as a delta update, and the list of I-frames; each for those who blocked and those who did not.
    pub(crate) text: [OnceLock<Arc<Text>>; 6],
}

impl View {
    /// The segments in the playlist.
    pub fn playlist(&self) -> &[Arc<Segment>] {
        &self.segments[self.listed..]
    }

    /// The newest position.
    pub fn edge(&self) -> Edge {
        Edge {
            msn: self.open.msn,
            parts: self.open.parts.len(),
        }
    }

    /// Number of the newest segment that has a part, and of its newest part; no part for a gap.
    pub fn newest(&self) -> Option<(u64, Option<usize>)> {
        match self.open.parts.len() {
            0 => self
                .playlist()
                .last()
                .map(|last| (last.msn, last.parts.len().checked_sub(1))),
            parts => Some((self.open.msn, Some(parts - 1))),
        }
    }

    /// A finished segment by number.
    pub fn segment(&self, msn: u64) -> Option<&Arc<Segment>> {
        let first = self.segments.first()?.msn;
        self.segments.get(usize::try_from(msn.checked_sub(first)?).ok()?)
    }

    /// True when the playlist holds part `part` of segment `msn`, or all of `msn` if `part` is `None`. A part behind the end of a finished
    /// segment means the first part of the next (conformance 61).
    pub fn reached(&self, msn: u64, part: Option<usize>) -> bool {
        let edge = self.edge();
        match part {
            _ if self.ended => true,
            None => edge.msn > msn,
            Some(part) if msn == edge.msn => edge.parts > part,
            Some(part) if msn < edge.msn => match self.segment(msn) {
                Some(segment) if part >= segment.parts.len() => edge.msn > msn + 1 || edge.parts > 0,
                _ => true,
            },
            Some(_) => false,
        }
    }
}

/// Measured bit rate of a rendition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitRate {
    /// Highest of any segment, bits a second.
    pub peak: u64,
    /// Over everything so far.
    pub average: u64,
}

/// A rendition: its current view and those who wait for the next.
#[derive(Debug)]
pub struct Rendition {
    /// Its name in URLs: `v0`, `a1`.
    pub name: String,
    view: ArcSwap<View>,
    waiters: Mutex<Waiters>,
    rate: ArcSwap<BitRate>,
    frame_rate: ArcSwap<Option<(u32, u32)>>,
    captions: AtomicU8,
}

#[derive(Debug, Default)]
struct Waiters {
    /// By the edge that must be reached or passed.
    at: BTreeMap<Edge, Vec<oneshot::Sender<()>>>,
    /// Entries of it.
    count: usize,
    /// At so many, those who hung up are looked for: at twice what was left the last time, so that looking costs nothing each.
    sweep_at: usize,
}

/// Entries below which nobody looks for those who hung up.
const SWEEP_FROM: usize = 64;

impl Rendition {
    pub(crate) fn new(name: String, view: View) -> Self {
        Self {
            name,
            view: ArcSwap::from_pointee(view),
            waiters: Mutex::default(),
            rate: ArcSwap::default(),
            frame_rate: ArcSwap::default(),
            captions: AtomicU8::new(0),
        }
    }

    /// The current view.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The current view, borrowed for a moment.
    pub fn peek(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    /// Measured bit rate.
    pub fn bit_rate(&self) -> BitRate {
        **self.rate.load()
    }

    pub(crate) fn set_bit_rate(&self, rate: BitRate) {
        self.rate.store(Arc::new(rate));
    }

    /// Measured frames a second, as a fraction.
    pub fn frame_rate(&self) -> Option<(u32, u32)> {
        **self.frame_rate.load()
    }

    pub(crate) fn set_frame_rate(&self, rate: Option<(u32, u32)>) {
        self.frame_rate.store(Arc::new(rate));
    }

    /// The closed captions that have been in its pictures.
    pub fn captions(&self) -> Captions {
        Captions(self.captions.load(Ordering::Relaxed))
    }

    pub(crate) fn add_captions(&self, captions: Captions) {
        self.captions.fetch_or(captions.0, Ordering::Relaxed);
    }

    /// Puts `view` in place and wakes exactly those it satisfies.
    pub(crate) fn publish(&self, view: View) {
        let (edge, ended) = (view.edge(), view.ended);
        self.view.store(Arc::new(view));
        let woken: Vec<_> = {
            let mut waiters = self.lock();
            let due = if ended {
                std::mem::take(&mut waiters.at)
            } else {
                let later = waiters.at.split_off(&Edge {
                    msn: edge.msn,
                    parts: edge.parts + 1,
                });
                std::mem::replace(&mut waiters.at, later)
            };
            let woken: Vec<_> = due.into_values().flatten().collect();
            waiters.count -= woken.len();
            woken
        };
        for waiter in woken {
            // A viewer that has left meanwhile is no concern of ours.
            let _gone = waiter.send(());
        }
    }

    /// A future that is done when the edge has reached `edge`; `None` when no place is free to wait in.
    pub fn wait_for(&self, edge: Edge, places: &Places) -> Option<Waiting> {
        let place = places.take()?;
        let (sender, receiver) = oneshot::channel();
        let waiting = Waiting {
            receiver,
            _place: place,
        };
        let mut waiters = self.lock();
        // Whatever was published before the lock was taken is seen here; whatever comes after finds the entry.
        let view = self.view.load();
        if view.ended || view.edge() >= edge {
            let _open = sender.send(());
            return Some(waiting);
        }
        if waiters.count >= waiters.sweep_at {
            // Those who hung up have given their places back, but are still in the list.
            waiters.at.retain(|_, list| {
                list.retain(|waiter| !waiter.is_closed());
                !list.is_empty()
            });
            waiters.count = waiters.at.values().map(Vec::len).sum();
            waiters.sweep_at = (2 * waiters.count).max(SWEEP_FROM);
        }
        waiters.at.entry(edge).or_default().push(sender);
        waiters.count += 1;
        Some(waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The places in which requests to a stream may wait, whichever of its renditions they ask for.
#[derive(Clone, Debug)]
pub struct Places {
    taken: Arc<AtomicUsize>,
    most: usize,
}

impl Places {
    /// At most `most` requests at a time.
    pub fn new(most: usize) -> Self {
        Self {
            taken: Arc::default(),
            most,
        }
    }

    fn take(&self) -> Option<Place> {
        let free = |taken: usize| (taken < self.most).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, free)
            .ok()
            .map(|_before| Place(Arc::clone(&self.taken)))
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See [`Rendition::wait_for`].
#[derive(Debug)]
pub struct Waiting {
    receiver: oneshot::Receiver<()>,
    _place: Place,
}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.receiver).poll(context).map(|_done_or_dropped| ())
    }
}
