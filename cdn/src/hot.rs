//! Objects that several viewers fetch, in memory that their sockets take without a copy (`nova_pages`).
//!
//! The first viewer gets the packager's own bytes. With the second, an object is copied once, and everybody after has nothing copied: a stream that
//! nobody watches costs nothing, and one that thousands watch costs one copy an object.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use nova_core::delivery::Pieces;

/// Bytes of both copies that are kept, whatever the machine: seconds of a handful of renditions at least, of some dozen at most. A container may
/// have less memory than the machine says.
const BOUNDS: (u64, u64) = (64 << 20, 512 << 20);
/// How long an object is kept that nobody asks for: the live edge has long moved on.
const IDLE: Duration = Duration::from_secs(10);

/// What is fetched often. Clones share it.
#[derive(Clone)]
pub(crate) struct Hot(moka::sync::Cache<Key, Option<Placed>>);

/// Address and length: an object that is kept here cannot share its address with another.
type Key = (usize, usize);

#[derive(Clone)]
struct Placed {
    /// What was copied. Kept, so that its address stays its own.
    source: Pieces,
    copy: Bytes,
}

impl Hot {
    pub(crate) fn new() -> Self {
        let weight = |_key: &Key, placed: &Option<Placed>| {
            let bytes = placed.as_ref().map_or(0, |placed| 2 * placed.copy.len());
            u32::try_from(bytes).unwrap_or(u32::MAX).max(64)
        };
        let cache = moka::sync::Cache::builder()
            .weigher(weight)
            .max_capacity((nova_pages::capacity() / 16).clamp(BOUNDS.0, BOUNDS.1))
            .time_to_idle(IDLE)
            .build();
        Self(cache)
    }

    /// Lets go of what nobody has asked for lately: without requests nothing else does.
    pub(crate) fn tidy(&self) {
        self.0.run_pending_tasks();
    }

    /// The same bytes, in the memory they are best sent from.
    pub(crate) fn place(&self, pieces: Pieces) -> Pieces {
        let Some(key) = key(&pieces).filter(|(_, length)| *length >= nova_pages::WORTH_IT) else {
            return pieces;
        };
        match self.0.get(&key) {
            None => {
                self.0.insert(key, None);
                pieces
            }
            Some(Some(placed)) if all(&placed.source).map(address).eq(all(&pieces).map(address)) => {
                Pieces::One(placed.copy)
            }
            Some(_seen_once) => {
                let slices: Vec<_> = all(&pieces).map(|piece| IoSlice::new(piece)).collect();
                let copy = nova_pages::gather(&slices);
                let placed = Placed {
                    source: pieces,
                    copy: copy.clone(),
                };
                self.0.insert(key, Some(placed));
                Pieces::One(copy)
            }
        }
    }
}

fn key(pieces: &Pieces) -> Option<Key> {
    let (address, _) = address(all(pieces).next()?);
    Some((address, pieces.len()))
}

fn address(bytes: &Bytes) -> Key {
    (bytes.as_ptr().addr(), bytes.len())
}

fn all(pieces: &Pieces) -> std::slice::Iter<'_, Bytes> {
    match pieces {
        Pieces::One(bytes) => std::slice::from_ref(bytes).iter(),
        Pieces::Many(pieces) => pieces.iter(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize, value: u8) -> Bytes {
        vec![value; length].into()
    }

    fn content(pieces: &Pieces) -> Vec<u8> {
        all(pieces).flatten().copied().collect()
    }

    /// Whether these are the very bytes, not a copy.
    fn are(one: &Pieces, other: &Pieces) -> bool {
        all(one).map(address).eq(all(other).map(address))
    }

    #[test]
    fn the_second_viewer_has_an_object_copied_and_all_after_share_it() {
        let hot = Hot::new();
        let segment = Pieces::Many([bytes(30_000, 1), bytes(30_000, 2)].into());
        assert!(are(&hot.place(segment.clone()), &segment));
        let second = hot.place(segment.clone());
        assert!(!are(&second, &segment));
        assert_eq!(content(&second), content(&segment));
        assert!(are(&hot.place(segment), &second));
    }

    #[test]
    fn what_is_small_is_never_copied() {
        let hot = Hot::new();
        let part = Pieces::One(bytes(nova_pages::WORTH_IT - 1, 1));
        for _ in 0..3 {
            assert!(are(&hot.place(part.clone()), &part));
        }
    }

    #[test]
    fn an_object_with_the_beginning_and_the_length_of_another_is_not_taken_for_it() {
        let hot = Hot::new();
        let (first, one, other) = (bytes(40_000, 1), bytes(10_000, 2), bytes(10_000, 3));
        let one = Pieces::Many([first.clone(), one].into());
        let other = Pieces::Many([first, other].into());
        for _ in 0..3 {
            assert_eq!(content(&hot.place(one.clone())), content(&one));
            assert_eq!(content(&hot.place(other.clone())), content(&other));
        }
    }
}
