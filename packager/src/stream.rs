//! What the packager of a broadcast fills and its viewers read: renditions, timing, periods. Shared, and read without a lock.

use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;
use nova_core::clock::Timestamp;
use nova_core::delivery::{Audience, Text};
use nova_core::media::Track;

use crate::presentation::Manifests;
use crate::rendition::{Places, Rendition};

/// What is fixed for the life of a broadcast's playlists (conformance 50, 58).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `EXT-X-TARGETDURATION`.
    pub target_duration_s: u32,
    /// `PART-TARGET`, whole milliseconds.
    pub part_target_us: i64,
    /// The duration segments aim at.
    pub segment_ms: u32,
}

impl Timing {
    /// What a live media playlist says first of its `EXT-X-SERVER-CONTROL` (conformance 59).
    pub(crate) fn server_control(&self) -> String {
        let hold_back_ms = self.part_target_us / 1000 * 3;
        format!(
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={}.{:03},HOLD-BACK={}.0",
            hold_back_ms / 1000,
            hold_back_ms % 1000,
            3 * self.target_duration_s
        )
    }
}

/// A span with one set of tracks: a DASH Period, an HLS discontinuity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Number of its first segment.
    pub first_msn: u64,
    /// Media time of its start.
    pub start_us: i64,
    /// Wall-clock time of media time zero, as the epoch's first frame tells it.
    pub zero: Timestamp,
    /// The track of each rendition in it, by index; `None` where the rendition has no content.
    pub tracks: Vec<Option<Arc<Track>>>,
    /// Number of each rendition's header.
    pub inits: Vec<usize>,
}

/// One broadcast's media, as viewers see it.
#[derive(Debug)]
pub struct Stream {
    id: String,
    prefix: String,
    timing: OnceLock<Timing>,
    renditions: ArcSwap<Vec<Arc<Rendition>>>,
    periods: ArcSwap<Vec<Period>>,
    zero: OnceLock<Timestamp>,
    /// What there is stays: a recording, not a window that moves.
    recorded: bool,
    /// Where requests wait.
    pub(crate) places: Places,
    pub(crate) viewers: Audience,
    /// Seconds in the playlists.
    pub(crate) window_s: u32,
    pub(crate) multivariant: ArcSwap<Option<(u64, Arc<Text>)>>,
    pub(crate) mpd: ArcSwap<Option<(u64, Arc<Text>)>>,
    /// MPDs that players may still have, for patches.
    pub(crate) published: Mutex<Manifests>,
}

impl Stream {
    /// `id` is the broadcast's, and the first element of every object's path. `stream` is the public name, for keys in the store. At most
    /// `most_waiting` requests wait at a time.
    pub fn new(stream: &str, id: String, window_s: u32, most_waiting: usize) -> Self {
        let prefix = format!("live/{stream}/{id}");
        Self::at(prefix, id, window_s, most_waiting)
    }

    /// One whose objects lie below `prefix`: those of a broadcast that is recorded stay there.
    pub fn at(prefix: String, id: String, window_s: u32, most_waiting: usize) -> Self {
        Self {
            prefix,
            id,
            recorded: false,
            timing: OnceLock::new(),
            renditions: ArcSwap::default(),
            periods: ArcSwap::default(),
            zero: OnceLock::new(),
            places: Places::new(most_waiting),
            viewers: Audience::default(),
            window_s,
            multivariant: ArcSwap::default(),
            mpd: ArcSwap::default(),
            published: Mutex::default(),
        }
    }

    /// A recording, finished or growing: everything from its beginning is listed, segment by segment.
    pub(crate) fn recorded(prefix: String, id: String, timing: Timing) -> Self {
        let stream = Self {
            recorded: true,
            ..Self::at(prefix, id, u32::MAX, 100)
        };
        stream.set_timing(timing);
        stream
    }

    /// True for what [`crate::Recording`] made.
    pub const fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// The broadcast's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its objects lie in the store, without a closing slash.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Known once enough frames have been seen.
    pub fn timing(&self) -> Option<Timing> {
        self.timing.get().copied()
    }

    pub(crate) fn set_timing(&self, timing: Timing) {
        // The first value holds for the life of the playlists.
        let _kept = self.timing.set(timing);
    }

    /// The renditions, video first.
    pub fn renditions(&self) -> Arc<Vec<Arc<Rendition>>> {
        self.renditions.load_full()
    }

    pub(crate) fn peek_renditions(&self) -> arc_swap::Guard<Arc<Vec<Arc<Rendition>>>> {
        self.renditions.load()
    }

    pub(crate) fn set_renditions(&self, renditions: Vec<Arc<Rendition>>) {
        self.renditions.store(Arc::new(renditions));
    }

    /// The periods that have segments in the playlists, oldest first.
    pub fn periods(&self) -> Arc<Vec<Period>> {
        self.periods.load_full()
    }

    /// Wall-clock time of media time zero, from the first epoch: it never moves (conformance 76, 79).
    pub(crate) fn zero(&self) -> Option<Timestamp> {
        self.zero.get().copied()
    }

    pub(crate) fn add_period(&self, period: Period) {
        self.zero.get_or_init(|| period.zero);
        let mut periods = Vec::clone(&self.periods.load());
        periods.push(period);
        self.periods.store(Arc::new(periods));
    }

    /// A period of a recording: all of them stay, and the newest may change.
    pub(crate) fn keep_period(&self, period: &Period) {
        self.zero.get_or_init(|| period.zero);
        let mut periods = Vec::clone(&self.periods.load());
        match periods.iter_mut().find(|known| known.first_msn == period.first_msn) {
            Some(known) if known == period => return,
            Some(known) => *known = period.clone(),
            None => periods.push(period.clone()),
        }
        self.periods.store(Arc::new(periods));
    }

    /// The newest period has other tracks than it was said to have: a rung came late.
    pub(crate) fn change_period(&self, tracks: Vec<Option<Arc<Track>>>, inits: Vec<usize>) {
        let mut periods = Vec::clone(&self.periods.load());
        if let Some(newest) = periods.last_mut() {
            (newest.tracks, newest.inits) = (tracks, inits);
        }
        self.periods.store(Arc::new(periods));
    }

    /// Forgets the periods that ended before segment `msn`.
    pub(crate) fn retire_periods(&self, msn: u64) {
        let periods = self.periods.load();
        let keep = periods.iter().rposition(|period| period.first_msn <= msn).unwrap_or(0);
        if keep > 0 {
            self.periods.store(Arc::new(periods[keep..].to_vec()));
        }
    }
}
