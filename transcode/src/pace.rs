//! When a ladder is too slow for its machine, and when it may try again. Pure.

use std::time::Duration;

/// Media time by which the rungs may be behind the source.
const BEHIND_US: i64 = 1_500_000;
/// How long they may be.
const BEHIND_FOR_US: i64 = 2_000_000;
/// Media time by which they are behind when all is well.
const IN_TIME_US: i64 = 1_000_000;
/// How long all must be well before a rung comes back.
const PATIENCE_US: i64 = 20_000_000;
/// The longest that becomes.
const PATIENCE_MOST_US: i64 = 1_280_000_000;
/// A rung that must go again within this time came back too early.
const TOO_EARLY_US: i64 = 60_000_000;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    Keep,
    /// Leave off the rung that costs most.
    Shed,
    /// Take the rung up again that was left off last.
    Restore,
}

#[derive(Debug)]
pub(crate) struct Pace {
    behind_since_us: Option<i64>,
    in_time_since_us: Option<i64>,
    restored_us: Option<i64>,
    patience_us: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            behind_since_us: None,
            in_time_since_us: None,
            restored_us: None,
            patience_us: PATIENCE_US,
        }
    }
}

impl Pace {
    /// A worker has just started and has to catch up: what was measured says nothing any more.
    pub(crate) fn restart(&mut self) {
        (self.behind_since_us, self.in_time_since_us) = (None, None);
    }

    /// The rungs are `lag` behind the source at `now_us`. `shed` says whether a rung is left off, `active` whether one is not.
    pub(crate) fn observe(&mut self, now_us: i64, lag: Duration, active: bool, shed: bool) -> Advice {
        let lag_us = i64::try_from(lag.as_micros()).unwrap_or(i64::MAX);
        if lag_us > BEHIND_US && active {
            self.in_time_since_us = None;
            let since = *self.behind_since_us.get_or_insert(now_us);
            if now_us - since < BEHIND_FOR_US {
                return Advice::Keep;
            }
            self.behind_since_us = None;
            if self.restored_us.take().is_some_and(|at| now_us - at < TOO_EARLY_US) {
                self.patience_us = (self.patience_us * 2).min(PATIENCE_MOST_US);
            }
            return Advice::Shed;
        }
        self.behind_since_us = None;
        if lag_us > IN_TIME_US {
            self.in_time_since_us = None;
            return Advice::Keep;
        }
        let since = *self.in_time_since_us.get_or_insert(now_us);
        if !shed || now_us - since < self.patience_us {
            return Advice::Keep;
        }
        self.in_time_since_us = None;
        self.restored_us = Some(now_us);
        Advice::Restore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_millis(1600);
    const WELL: Duration = Duration::from_millis(300);

    /// Observes every 100 ms until there is advice; when that was, in milliseconds.
    fn until(pace: &mut Pace, from_ms: i64, lag: Duration, shed: bool) -> (i64, Advice) {
        (0..100_000)
            .map(|step| from_ms + step * 100)
            .map(|now| (now, pace.observe(now * 1000, lag, true, shed)))
            .find(|(_, advice)| *advice != Advice::Keep)
            .unwrap()
    }

    #[test]
    fn two_seconds_too_slow_cost_a_rung_and_twenty_in_time_bring_it_back() {
        let mut pace = Pace::default();
        assert_eq!(until(&mut pace, 0, LATE, false), (2000, Advice::Shed));
        assert_eq!(until(&mut pace, 2100, LATE, true), (4100, Advice::Shed));
        assert_eq!(until(&mut pace, 5000, WELL, true), (25_000, Advice::Restore));
    }

    #[test]
    fn a_rung_that_comes_back_too_early_waits_longer_the_next_time() {
        let mut pace = Pace::default();
        until(&mut pace, 0, LATE, false);
        assert_eq!(until(&mut pace, 3000, WELL, true), (23_000, Advice::Restore));
        until(&mut pace, 24_000, LATE, false);
        assert_eq!(until(&mut pace, 30_000, WELL, true), (70_000, Advice::Restore));
    }

    #[test]
    fn a_moment_behind_is_no_reason() {
        let mut pace = Pace::default();
        for second in 0..100 {
            let lag = if second % 2 == 0 { LATE } else { WELL };
            assert_eq!(pace.observe(second * 1_000_000, lag, true, false), Advice::Keep);
        }
    }
}
