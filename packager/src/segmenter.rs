//! Where segments begin: one decision for every rendition (conformance 46-48). Pure arithmetic over one clock of microseconds.

/// Slack for clocks that count in milliseconds.
const JITTER_US: i64 = 1_500;

/// How much longer than the leader's a segment of another track may be: its frames straddle both boundaries by up to half of one each.
const OVERHANG_US: i64 = 60_000;

/// What a frame of the leading track starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It belongs to the open segment.
    No,
    /// A new segment at a sync sample.
    Keyframe,
    /// A new segment without one: no keyframe came within the target duration.
    Forced,
}

/// The rule of one broadcast. `target_duration` never changes; what is known about keyframes does.
#[derive(Clone, Debug)]
pub struct Segmenter {
    target_us: i64,
    limit_us: i64,
    target_duration_s: u32,
    longest_gop_us: i64,
    segment_start_us: i64,
    segment_independent: bool,
    last_keyframe_us: Option<i64>,
}

impl Segmenter {
    /// `first_gop_us` is the distance of the first two keyframes, if a second one came in time; without it keyframes are far apart, and
    /// the target duration leaves room for the widest spacing in common use (250 frames).
    pub fn new(segment_ms: u32, first_gop_us: Option<i64>) -> Self {
        let target_us = i64::from(segment_ms) * 1000;
        let longest_us = first_gop_us.map_or(10_000_000, |gop| gop.max(target_us));
        // RFC 8216bis 4.4.3.1: each EXTINF, rounded to the nearest integer, is at most the target duration.
        let seconds = ((longest_us - JITTER_US + 500_000) / 1_000_000).max(1);
        Self {
            target_us,
            limit_us: seconds * 1_000_000 + 499_000 - OVERHANG_US,
            target_duration_s: u32::try_from(seconds).unwrap_or(u32::MAX),
            longest_gop_us: first_gop_us.unwrap_or(0),
            segment_start_us: 0,
            segment_independent: false,
            last_keyframe_us: None,
        }
    }

    /// `EXT-X-TARGETDURATION`.
    pub const fn target_duration_s(&self) -> u32 {
        self.target_duration_s
    }

    /// A segment begins at `at_us`.
    pub const fn begin(&mut self, at_us: i64, independent: bool) {
        self.segment_start_us = at_us;
        self.segment_independent = independent;
    }

    /// Keyframes are counted anew: a new epoch.
    pub const fn reset(&mut self) {
        self.last_keyframe_us = None;
    }

    /// Decides about the frame at `at_us` that lasts about `length_us`.
    pub fn decide(&mut self, at_us: i64, length_us: i64, keyframe: bool) -> Cut {
        let elapsed = at_us - self.segment_start_us;
        if keyframe {
            if let Some(last) = self.last_keyframe_us.replace(at_us) {
                self.longest_gop_us = self.longest_gop_us.max(at_us - last);
            }
            let due = elapsed + JITTER_US >= self.target_us;
            // Waiting for another keyframe could pass the limit; and a segment that began without one is left as soon as possible.
            let next_too_late = elapsed + self.longest_gop_us + JITTER_US > self.limit_us;
            if elapsed > 0 && (due || next_too_late || !self.segment_independent) {
                return Cut::Keyframe;
            }
        }
        if elapsed + length_us > self.limit_us {
            Cut::Forced
        } else {
            Cut::No
        }
    }

    /// True when a frame ending at `end_us` makes the open segment longer than any may be, and the leader has not ended it: another track
    /// leads from here.
    pub const fn overdue(&self, end_us: i64) -> bool {
        end_us - self.segment_start_us > self.limit_us + OVERHANG_US / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs frames of `frame_us` with keyframes where `keyframe` says, and returns the segments as (start, duration, independent).
    fn run(
        mut segmenter: Segmenter,
        frames: i64,
        frame_us: i64,
        keyframe: impl Fn(i64) -> bool,
    ) -> Vec<(i64, i64, bool)> {
        let mut segments: Vec<(i64, i64, bool)> = vec![(0, 0, true)];
        segmenter.begin(0, true);
        for n in 0..frames {
            let at = n * frame_us;
            match segmenter.decide(at, frame_us, keyframe(n)) {
                Cut::No => {}
                cut => {
                    segmenter.begin(at, cut == Cut::Keyframe);
                    segments.push((at, 0, cut == Cut::Keyframe));
                }
            }
            if let Some(last) = segments.last_mut() {
                last.1 = at + frame_us - last.0;
            }
        }
        segments
    }

    fn assert_none_rounds_above(target: u32, segments: &[(i64, i64, bool)]) {
        for (start, duration, _) in segments {
            assert!(
                (duration + 500_000) / 1_000_000 <= i64::from(target),
                "segment at {start} lasts {duration}"
            );
        }
    }

    #[test]
    fn a_regular_gop_of_the_target_makes_segments_of_the_target() {
        let segmenter = Segmenter::new(2000, Some(2_000_000));
        assert_eq!(segmenter.target_duration_s(), 2);
        let segments = run(segmenter, 600, 33_333, |n| n % 60 == 0);
        assert_eq!(segments.len(), 10);
        assert!(segments.iter().all(|s| s.2));
    }

    #[test]
    fn several_short_gops_share_a_segment() {
        let segments = run(Segmenter::new(2000, Some(500_000)), 600, 33_333, |n| n % 15 == 0);
        assert_eq!(segments.len(), 10);
    }

    #[test]
    fn conformance_47_scene_cuts_never_make_a_segment_round_above_the_target_duration() {
        let segmenter = Segmenter::new(2000, Some(2_000_000));
        let target = segmenter.target_duration_s();
        let keys = [0, 60, 80, 140, 195, 200, 260, 261, 320, 380, 419];
        let segments = run(segmenter, 440, 33_333, |n| keys.contains(&n));
        assert_none_rounds_above(target, &segments);
        assert!(segments.iter().all(|s| s.2), "every cut is at a keyframe: {segments:?}");
    }

    #[test]
    fn gops_of_one_and_a_half_seconds_are_not_joined_past_the_limit() {
        let segmenter = Segmenter::new(2000, Some(1_500_000));
        let target = segmenter.target_duration_s();
        let segments = run(segmenter, 900, 33_333, |n| n % 45 == 0);
        assert_none_rounds_above(target, &segments);
        assert!(segments.iter().all(|s| s.2));
    }

    #[test]
    fn conformance_46_without_keyframes_segments_are_cut_at_the_limit_and_recover_at_the_next() {
        let segmenter = Segmenter::new(2000, Some(2_000_000));
        let target = segmenter.target_duration_s();
        let segments = run(segmenter, 900, 33_333, |n| {
            n < 121 && n % 60 == 0 || n == 500 || n > 500 && (n - 500) % 60 == 0
        });
        assert_none_rounds_above(target, &segments);
        assert!(segments.iter().any(|s| !s.2));
        assert!(segments.iter().any(|s| s.2 && s.0 == 500 * 33_333), "{segments:?}");
        assert!(segments.iter().filter(|s| s.0 > 500 * 33_333).all(|s| s.2));
    }

    #[test]
    fn the_default_gop_of_250_frames_makes_independent_segments() {
        let segmenter = Segmenter::new(2000, None);
        assert_eq!(segmenter.target_duration_s(), 10);
        let segments = run(segmenter, 1000, 33_333, |n| n % 250 == 0);
        assert_eq!(segments.len(), 4);
        assert!(segments.iter().all(|s| s.2));
    }
}
