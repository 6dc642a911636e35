//! Time and chance as parameters, so that tests own both.
//!
//! Media code takes times as arguments. What has to ask (a server's accept loop, the hub's reconnect window) asks a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Wall-clock time, microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time shifted by `micros`.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0 + micros)
    }

    /// RFC 3339 in UTC with milliseconds, as `EXT-X-PROGRAM-DATE-TIME`, MPD attributes and JSON carry it.
    pub fn to_rfc3339_millis(self) -> String {
        let millis = self.0.div_euclid(1000);
        let (days, ms) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            ms / 3_600_000,
            ms / 60_000 % 60,
            ms / 1000 % 60,
            ms % 1000
        )
    }
}

impl From<i64> for Timestamp {
    fn from(micros: i64) -> Self {
        Self(micros)
    }
}

/// RFC 3339, as in every answer of the API.
impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339_millis())
    }
}

/// Proleptic Gregorian date of a day counted from 1970-01-01. The 400-year cycle starts on March 1, so the leap day comes last.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

/// Where time comes from: the machine, or a test.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<ManualTimes>),
}

#[derive(Debug)]
struct ManualTimes {
    wall: AtomicI64,
    monotonic: AtomicI64,
    media: AtomicI64,
}

impl Clock {
    /// The machine's clocks.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] is called.
    pub fn manual(wall: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(ManualTimes {
            wall: AtomicI64::new(wall.0),
            monotonic: AtomicI64::new(0),
            media: AtomicI64::new(wall.0),
        })))
    }

    /// Wall-clock time. It may step; never compute a duration from two of these.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for wall-clock time"
    )]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                let since = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default();
                Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Manual(times) => Timestamp(times.wall.load(Ordering::Relaxed)),
        }
    }

    /// Microseconds on a clock that never steps, counted from an arbitrary start in this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for monotonic time"
    )]
    pub fn monotonic_micros(&self) -> i64 {
        static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
        match &self.0 {
            Source::System => i64::try_from(START.elapsed().as_micros()).unwrap_or(i64::MAX),
            Source::Manual(times) => times.monotonic.load(Ordering::Relaxed),
        }
    }

    /// Wall-clock time as media stands on it: what was read at the start, and monotonic time since. It does not follow a step of the wall clock,
    /// so that what playlists have said of times stays true while anything is on air.
    pub fn media_now(&self) -> Timestamp {
        Timestamp(self.monotonic_micros() + self.media_zero().load(Ordering::Relaxed))
    }

    /// Puts [`Self::media_now`] on the wall clock of this moment.
    pub fn follow_wall(&self) {
        self.media_zero()
            .store(self.now().0 - self.monotonic_micros(), Ordering::Relaxed);
    }

    /// Where monotonic time zero stands for media.
    fn media_zero(&self) -> &AtomicI64 {
        static ZERO: LazyLock<AtomicI64> = LazyLock::new(|| {
            let clock = Clock::system();
            AtomicI64::new(clock.now().0 - clock.monotonic_micros())
        });
        match &self.0 {
            Source::System => &ZERO,
            Source::Manual(times) => &times.media,
        }
    }

    /// Moves a manual clock forward on both scales; does nothing to the system clock.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(times) = &self.0 {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            times.wall.fetch_add(micros, Ordering::Relaxed);
            times.monotonic.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Steps the wall clock of a manual clock, as NTP or an operator would, without monotonic time passing.
    pub fn step_wall(&self, micros: i64) {
        if let Source::Manual(times) = &self.0 {
            times.wall.fetch_add(micros, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc_3339() {
        assert_eq!(Timestamp(0).to_rfc3339_millis(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            Timestamp(951_782_400_123_456).to_rfc3339_millis(),
            "2000-02-29T00:00:00.123Z"
        );
        assert_eq!(
            Timestamp(1_795_478_399_999_999).to_rfc3339_millis(),
            "2026-11-23T23:59:59.999Z"
        );
        assert_eq!(Timestamp(-1).to_rfc3339_millis(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_stepped_wall_clock_leaves_monotonic_and_media_time_alone() {
        let clock = Clock::manual(Timestamp(1_000_000));
        clock.advance(Duration::from_millis(5));
        clock.step_wall(-3_600_000_000);
        assert_eq!(clock.monotonic_micros(), 5000);
        assert_eq!(clock.now(), Timestamp(1_005_000 - 3_600_000_000));
        assert_eq!(clock.media_now(), Timestamp(1_005_000));
        clock.follow_wall();
        assert_eq!(clock.media_now(), clock.now());
    }
}
