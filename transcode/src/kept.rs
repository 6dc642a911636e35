//! What goes into a worker: frames not yet sent, and those sent that would be needed again if the worker died now. Pure.
//!
//! Both are one queue. Its front is the keyframe at or before the oldest picture that is not yet out of every rung; a cursor says how far
//! the running worker has got. When a worker dies, the cursor goes back to the front.

use std::collections::VecDeque;

use nova_core::media::{Frame, TrackId};

/// Pictures that may wait to be sent for the first time: 2 s at 60 a second.
const FRESH_FRAMES: usize = 120;
/// Bytes that may wait to be sent for the first time: 3 s at 20 Mbit/s.
const FRESH_BYTES: usize = 8 << 20;
/// Bytes kept for a restart: two keyframe intervals of 5 s at 25 Mbit/s.
const KEPT_BYTES: usize = 32 << 20;

/// What is in the queue, in the order it was pushed.
#[derive(Debug)]
pub(crate) enum Input<P> {
    Frame(Frame),
    /// What came before is to come out, then `next` begins.
    Mark {
        since_us: i64,
        next: P,
    },
}

#[derive(Debug)]
struct Entry<P> {
    input: Input<P>,
    /// A picture, or sound where there are no pictures: what the bounds count, and what a start may be at.
    leads: bool,
}

impl<P> Entry<P> {
    fn bytes(&self) -> usize {
        match &self.input {
            Input::Frame(frame) => frame.payload.len(),
            Input::Mark { .. } => 0,
        }
    }

    fn entry_pts(&self) -> Option<i64> {
        match &self.input {
            Input::Frame(frame) if self.leads && frame.keyframe => Some(frame.pts()),
            _ => None,
        }
    }

    fn is_mark(&self) -> bool {
        matches!(self.input, Input::Mark { .. })
    }
}

#[derive(Debug)]
pub(crate) struct Kept<P> {
    entries: VecDeque<Entry<P>>,
    /// Entries that the running worker has.
    sent: usize,
    /// Entries that some worker has had; what is behind them is fresh.
    known: usize,
    fresh_frames: usize,
    fresh_bytes: usize,
    known_bytes: usize,
    /// The track of the pictures that are pushed.
    video: Option<TrackId>,
    /// Dropping until a keyframe.
    skipping: bool,
    newest: Option<i64>,
}

impl<P> Default for Kept<P> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            sent: 0,
            known: 0,
            fresh_frames: 0,
            fresh_bytes: 0,
            known_bytes: 0,
            video: None,
            skipping: false,
            newest: None,
        }
    }
}

impl<P> Kept<P> {
    /// Ends what was pushed so far. Pictures after it are those of `video`.
    pub(crate) fn mark(&mut self, next: P, video: Option<TrackId>, since_us: i64) {
        let input = Input::Mark { since_us, next };
        self.entries.push_back(Entry { input, leads: false });
        (self.video, self.skipping, self.newest) = (video, false, None);
    }

    /// Takes a frame, or drops it: then false, and with a picture all that follow up to a keyframe are dropped.
    pub(crate) fn push(&mut self, frame: Frame) -> bool {
        let leads = self.video.is_none_or(|video| video == frame.track);
        let full = self.fresh_frames >= FRESH_FRAMES || self.fresh_bytes + frame.payload.len() > FRESH_BYTES;
        if leads {
            self.skipping = full || self.skipping && !frame.keyframe;
        }
        if full || leads && self.skipping {
            return false;
        }
        if leads {
            self.newest = self.newest.max(Some(frame.pts()));
            self.fresh_frames += 1;
        }
        self.fresh_bytes += frame.payload.len();
        self.entries.push_back(Entry {
            input: Input::Frame(frame),
            leads,
        });
        true
    }

    /// What the running worker has to get next.
    pub(crate) fn peek(&self) -> Option<&Input<P>> {
        Some(&self.entries.get(self.sent)?.input)
    }

    /// The worker has got the frame that [`Kept::peek`] shows.
    pub(crate) fn advance(&mut self) {
        let Some(entry) = self.entries.get(self.sent).filter(|entry| !entry.is_mark()) else {
            return;
        };
        let (bytes, leads) = (entry.bytes(), entry.leads);
        self.sent += 1;
        if self.sent > self.known {
            self.known = self.sent;
            self.fresh_bytes -= bytes;
            self.fresh_frames -= usize::from(leads);
            self.known_bytes += bytes;
        }
        if self.known_bytes > KEPT_BYTES {
            // A restart will have to begin with the next keyframe.
            for _ in 0..self.sent {
                self.pop();
            }
        }
    }

    /// PTS of the newest picture since the last mark.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// When the oldest mark was pushed.
    pub(crate) fn mark_since_us(&self) -> Option<i64> {
        self.entries.iter().find_map(|entry| match &entry.input {
            Input::Mark { since_us, .. } => Some(*since_us),
            Input::Frame(_) => None,
        })
    }

    /// Forgets everything up to the oldest mark, and takes what begins then off it.
    pub(crate) fn pass_mark(&mut self) -> Option<P> {
        self.mark_since_us()?;
        while let Some(entry) = self.pop() {
            if let Input::Mark { next, .. } = entry.input {
                return Some(next);
            }
        }
        None
    }

    /// Every picture up to `pts` is out, and all sound before `sound_dts`: forgets what no restart would need.
    pub(crate) fn trim(&mut self, pts: i64, sound_dts: Option<i64>) {
        let old = self.entries.iter().take(self.sent).take_while(|entry| !entry.is_mark());
        let Some(start) = old
            .enumerate()
            .filter(|(_, entry)| entry.entry_pts().is_some_and(|at| at <= pts))
            .map(|(index, _)| index)
            .last()
        else {
            return;
        };
        let mut sound = Vec::new();
        for _ in 0..start {
            let Some(entry) = self.pop() else { break };
            let needed = match &entry.input {
                Input::Frame(frame) => !entry.leads && sound_dts.is_some_and(|from| frame.dts >= from),
                Input::Mark { .. } => false,
            };
            if needed {
                sound.push(entry);
            }
        }
        for entry in sound.into_iter().rev() {
            self.known_bytes += entry.bytes();
            self.entries.push_front(entry);
            self.sent += 1;
            self.known += 1;
        }
    }

    /// A new worker begins: with the oldest keyframe that is kept, or, if `afresh`, with the first one that no worker has seen. Says how
    /// many pictures that costs.
    pub(crate) fn rewind(&mut self, afresh: bool) -> u64 {
        let mut lost = 0;
        if afresh {
            while self.known > 0 {
                self.pop();
            }
        }
        self.sent = 0;
        let first = self
            .entries
            .iter()
            .position(|entry| entry.is_mark() || entry.entry_pts().is_some());
        let (leaders, before) = match first {
            Some(first) => (first, first),
            None => (self.entries.len(), self.entries.len()),
        };
        if self.entries.iter().take(leaders).any(|entry| entry.leads) {
            for _ in 0..before {
                lost += u64::from(self.pop().is_some_and(|entry| entry.leads));
            }
            // Nothing to start at yet, so the next pictures could not be decoded either.
            self.skipping |= first.is_none();
        } else if first.is_none() && self.video.is_some() {
            self.skipping = true;
        }
        lost
    }

    fn pop(&mut self) -> Option<Entry<P>> {
        let entry = self.entries.pop_front()?;
        if self.known > 0 {
            self.known -= 1;
            self.known_bytes -= entry.bytes();
        } else {
            self.fresh_bytes -= entry.bytes();
            self.fresh_frames -= usize::from(entry.leads);
        }
        self.sent = self.sent.saturating_sub(1);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const VIDEO: TrackId = TrackId(0);
    const SOUND: TrackId = TrackId(1);

    fn frame(track: TrackId, dts: i64, keyframe: bool, size: usize) -> Frame {
        Frame {
            track,
            dts,
            composition_offset: 0,
            duration: None,
            keyframe,
            payload: Bytes::from(vec![0; size]),
        }
    }

    fn kept() -> Kept<u8> {
        let mut kept = Kept::default();
        kept.mark(1, Some(VIDEO), 0);
        assert_eq!(kept.pass_mark(), Some(1));
        kept
    }

    /// Sends everything up to the next mark; the times of what was sent.
    fn send(kept: &mut Kept<u8>) -> Vec<i64> {
        let mut sent = Vec::new();
        while let Some(Input::Frame(frame)) = kept.peek() {
            sent.push(frame.dts);
            kept.advance();
        }
        sent
    }

    #[test]
    fn a_restart_begins_with_the_keyframe_before_the_oldest_picture_that_is_missing() {
        let mut kept = kept();
        for at in 0..10 {
            assert!(kept.push(frame(VIDEO, at, at % 3 == 0, 10)));
            assert!(kept.push(frame(SOUND, at, true, 1)));
        }
        assert_eq!(send(&mut kept).len(), 20);
        kept.trim(7, Some(5));
        assert_eq!(kept.rewind(false), 0);
        assert_eq!(send(&mut kept), [5, 6, 6, 7, 7, 8, 8, 9, 9]);
    }

    #[test]
    fn a_full_queue_loses_whole_gops() {
        let mut kept = kept();
        let taken: Vec<i64> = (0..200)
            .filter(|at| kept.push(frame(VIDEO, *at, at % 50 == 0, 10)))
            .collect();
        assert_eq!(taken, (0..120).collect::<Vec<_>>());
        assert_eq!(send(&mut kept).len(), 120);
        let taken: Vec<i64> = (200..300)
            .filter(|at| kept.push(frame(VIDEO, *at, at % 75 == 0, 10)))
            .collect();
        assert_eq!(taken, (225..300).collect::<Vec<_>>());
    }

    #[test]
    fn what_killed_two_workers_is_not_shown_to_a_third() {
        let mut kept = kept();
        for at in 0..10 {
            kept.push(frame(VIDEO, at, at == 0 || at == 8, 10));
        }
        for _ in 0..5 {
            kept.advance();
        }
        assert_eq!(kept.rewind(true), 3);
        assert_eq!(send(&mut kept), [8, 9]);
        assert_eq!(kept.rewind(true), 0);
        assert!(!kept.push(frame(VIDEO, 10, false, 10)));
        assert!(kept.push(frame(VIDEO, 11, true, 10)));
    }

    #[test]
    fn marks_keep_what_follows_them() {
        let mut kept = kept();
        kept.push(frame(VIDEO, 0, true, 10));
        kept.mark(2, Some(VIDEO), 77);
        kept.push(frame(VIDEO, 9, true, 10));
        assert_eq!(send(&mut kept), [0]);
        kept.advance();
        assert_eq!(kept.mark_since_us(), Some(77));
        assert_eq!(kept.pass_mark(), Some(2));
        assert_eq!(send(&mut kept), [9]);
    }

    proptest! {
        #[test]
        fn the_books_always_balance(steps in proptest::collection::vec((0..9_u8, any::<bool>(), 0..400_000_usize), 0..400)) {
            let mut kept = kept();
            for (at, (step, keyframe, size)) in steps.into_iter().enumerate() {
                let at = at as i64;
                match step {
                    0..=2 => { kept.push(frame(VIDEO, at, keyframe, size)); }
                    3 => { kept.push(frame(SOUND, at, true, size / 1000)); }
                    4 | 5 => kept.advance(),
                    6 => kept.trim(at - size as i64 % 50, keyframe.then_some(at - 10)),
                    7 => { kept.rewind(keyframe); }
                    _ if keyframe => kept.mark(0, Some(VIDEO), at),
                    _ => { kept.pass_mark(); }
                }
                let sum = |from: usize, to: usize| kept.entries.range(from..to).map(Entry::bytes).sum::<usize>();
                prop_assert!(kept.sent <= kept.known && kept.known <= kept.entries.len());
                prop_assert_eq!(kept.known_bytes, sum(0, kept.known));
                prop_assert_eq!(kept.fresh_bytes, sum(kept.known, kept.entries.len()));
                prop_assert_eq!(kept.fresh_frames, kept.entries.range(kept.known..).filter(|e| e.leads).count());
                prop_assert!(kept.fresh_frames <= FRESH_FRAMES && kept.fresh_bytes <= FRESH_BYTES);
                prop_assert!(kept.known_bytes <= KEPT_BYTES);
            }
        }
    }
}
