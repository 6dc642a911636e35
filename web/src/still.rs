//! The newest picture of a stream on air. Making one decodes a whole keyframe, which costs more than packaging seconds of the stream: it is made
//! often while somebody looks, and now and then when nobody does.

use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

/// Between two pictures while somebody looks.
const WATCHED_EVERY_US: i64 = 5_000_000;
/// Between two pictures when nobody does.
const UNWATCHED_EVERY_US: i64 = 60_000_000;
/// For so long after a look somebody is taken to look.
const ATTENTION_US: i64 = 30_000_000;
/// Pictures that are made at the first rate whoever looks: a recording keeps the second one.
const AT_THE_BEGINNING: u32 = 2;

/// See the module. Times are of the monotonic clock, in microseconds.
pub(crate) struct Still {
    picture: ArcSwapOption<Bytes>,
    looked_us: AtomicI64,
}

impl Default for Still {
    fn default() -> Self {
        Self {
            picture: ArcSwapOption::empty(),
            looked_us: AtomicI64::new(i64::MIN / 2),
        }
    }
}

impl Still {
    /// The newest picture, and that somebody has looked at `now_us`.
    pub(crate) fn look(&self, now_us: i64) -> Option<Bytes> {
        self.looked_us.store(now_us, Ordering::Relaxed);
        self.picture.load_full().map(|picture| Bytes::clone(&picture))
    }

    pub(crate) fn show(&self, picture: Bytes) {
        self.picture.store(Some(std::sync::Arc::new(picture)));
    }

    /// True when another picture should be made at `now_us`, `made` having been begun and the last of them at `last_us`.
    pub(crate) fn is_due(&self, now_us: i64, last_us: i64, made: u32) -> bool {
        let watched = now_us - self.looked_us.load(Ordering::Relaxed) < ATTENTION_US;
        let every = if watched || made < AT_THE_BEGINNING {
            WATCHED_EVERY_US
        } else {
            UNWATCHED_EVERY_US
        };
        now_us - last_us >= every
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_picture_is_made_often_only_while_somebody_looks() {
        let still = Still::default();
        assert!(still.is_due(0, i64::MIN / 2, 0));
        assert!(still.is_due(5 * SECOND, 0, 1));
        assert!(!still.is_due(10 * SECOND, 5 * SECOND, 2));
        assert!(!still.is_due(64 * SECOND, 5 * SECOND, 2));
        assert!(still.is_due(65 * SECOND, 5 * SECOND, 2));

        assert_eq!(still.look(66 * SECOND), None);
        assert!(!still.is_due(69 * SECOND, 65 * SECOND, 3));
        assert!(still.is_due(70 * SECOND, 65 * SECOND, 3));
        assert!(!still.is_due(100 * SECOND, 70 * SECOND, 4));
    }
}
