//! Which pictures reach a rung's encoder, and which of them have to become keyframes. Pure.

use std::collections::VecDeque;

/// Keyframes of the source that are remembered: minutes of them, while a pipeline holds a second of pictures.
const KEYS: usize = 64;
/// Nanoseconds by which a picture may be before its place on the grid: containers round.
pub(crate) const GRID_SLACK: u64 = 500_000;

/// Where keyframes have to be.
#[derive(Debug)]
pub(crate) enum Keys {
    /// Where the source has them: their PTS, rising.
    Source(VecDeque<u64>),
    /// At the first picture at or after each multiple of `step` from `zero`.
    Grid { zero: u64, step: u64 },
}

impl Default for Keys {
    fn default() -> Self {
        Self::Source(VecDeque::new())
    }
}

impl Keys {
    pub(crate) fn push(&mut self, pts: u64) {
        let Self::Source(keys) = self else { return };
        if keys.back().is_none_or(|last| *last < pts) {
            keys.push_back(pts);
        }
        if keys.len() > KEYS {
            keys.pop_front();
        }
    }

    /// The newest one at or before `pts`.
    fn at(&self, pts: u64) -> Option<u64> {
        match self {
            Self::Source(keys) => keys.iter().rev().find(|key| **key <= pts).copied(),
            Self::Grid { zero, step } => {
                let since = (pts + GRID_SLACK).saturating_sub(*zero);
                Some(zero + since - since % (*step).max(1))
            }
        }
    }
}

/// What becomes of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Drop,
    Encode,
    /// As an IDR picture with parameter sets.
    EncodeKey,
}

/// The way into one encoder.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Pictures up to this are out already.
    pub(crate) after: Option<u64>,
    open: bool,
    awaited: bool,
    /// The keyframe of the source that the last picture belongs to.
    key: Option<u64>,
    /// The keyframe that was last made.
    made: Option<u64>,
    divisor: u8,
    /// Pictures since `key`.
    index: u64,
}

impl Gate {
    pub(crate) const fn new(after: Option<u64>, shed: bool, divisor: u8) -> Self {
        Self {
            after,
            open: !shed,
            awaited: false,
            key: None,
            made: None,
            divisor: if divisor == 0 { 1 } else { divisor },
            index: 0,
        }
    }

    pub(crate) const fn shut(&mut self) {
        (self.open, self.awaited) = (false, false);
    }

    /// Opens it at the next keyframe.
    pub(crate) const fn restore(&mut self) {
        self.awaited = !self.open;
    }

    pub(crate) fn judge(&mut self, pts: u64, keys: &Keys) -> Verdict {
        let key = keys.at(pts);
        // A decoder that drops the keyframe itself still makes a segment begin: with the first picture after it.
        let crossed = key.is_some() && key != self.key;
        if crossed {
            (self.key, self.index) = (key, 0);
            if self.awaited {
                (self.open, self.awaited, self.after) = (true, false, None);
            }
        }
        let index = self.index;
        self.index += 1;
        if !self.open || self.after.is_some_and(|after| pts <= after) || !index.is_multiple_of(u64::from(self.divisor))
        {
            return Verdict::Drop;
        }
        if key.is_some() && key != self.made {
            self.made = key;
            return Verdict::EncodeKey;
        }
        Verdict::Encode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(at: &[u64]) -> Keys {
        let mut keys = Keys::default();
        at.iter().for_each(|pts| keys.push(*pts));
        keys
    }

    fn verdicts(gate: &mut Gate, keys: &Keys, pts: std::ops::Range<u64>) -> String {
        pts.map(|pts| match gate.judge(pts, keys) {
            Verdict::Drop => '-',
            Verdict::Encode => 'p',
            Verdict::EncodeKey => 'K',
        })
        .collect()
    }

    #[test]
    fn the_sources_keyframes_are_the_rungs_and_no_others() {
        let mut gate = Gate::new(None, false, 1);
        assert_eq!(verdicts(&mut gate, &keys(&[10, 14, 19]), 10..22), "KpppKppppKpp");
    }

    #[test]
    fn a_restart_goes_on_with_the_very_next_picture() {
        let mut gate = Gate::new(Some(12), false, 1);
        assert_eq!(verdicts(&mut gate, &keys(&[10, 16]), 10..18), "---KppKp");
    }

    #[test]
    fn a_rung_left_off_comes_back_with_a_keyframe() {
        let mut gate = Gate::new(None, false, 1);
        let keys = keys(&[0, 5, 10]);
        assert_eq!(verdicts(&mut gate, &keys, 0..3), "Kpp");
        gate.shut();
        assert_eq!(verdicts(&mut gate, &keys, 3..7), "----");
        gate.restore();
        assert_eq!(verdicts(&mut gate, &keys, 7..12), "---Kp");
    }

    #[test]
    fn every_second_picture_is_the_same_one_after_a_restart() {
        let keys = keys(&[0, 5]);
        assert_eq!(verdicts(&mut Gate::new(None, false, 2), &keys, 0..10), "K-p-pK-p-p");
        assert_eq!(verdicts(&mut Gate::new(Some(4), false, 2), &keys, 0..10), "-----K-p-p");
        assert_eq!(verdicts(&mut Gate::new(Some(1), false, 2), &keys, 0..10), "--K-pK-p-p");
    }
}
