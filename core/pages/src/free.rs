//! Which ranges are free: a list without two neighbours in it.

use std::collections::BTreeMap;

/// Free ranges of `0..size`, by where they begin.
#[derive(Debug)]
pub(crate) struct Free {
    lengths: BTreeMap<u64, u64>,
    total: u64,
}

impl Free {
    pub(crate) fn new(size: u64) -> Self {
        Self {
            lengths: BTreeMap::from([(0, size)]),
            total: size,
        }
    }

    /// Bytes that are free.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Takes the first range that is long enough: low addresses are used again and again, and high ones never touched.
    pub(crate) fn take(&mut self, length: u64) -> Option<u64> {
        let (&start, &found) = self.lengths.iter().find(|(_, found)| **found >= length)?;
        self.lengths.remove(&start);
        if found > length {
            self.lengths.insert(start + length, found - length);
        }
        self.total -= length;
        Some(start)
    }

    /// Gives a range back that [`Free::take`] gave.
    pub(crate) fn give(&mut self, start: u64, length: u64) {
        self.total += length;
        let (mut start, mut length) = (start, length);
        if let Some((&before, &found)) = self.lengths.range(..start).next_back()
            && before + found == start
        {
            self.lengths.remove(&before);
            start = before;
            length += found;
        }
        if let Some(after) = self.lengths.remove(&(start + length)) {
            length += after;
        }
        self.lengths.insert(start, length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = 64;

    proptest! {
        /// Whatever is taken and given back in whatever order: no two ranges overlap, and in the end all is one range again.
        #[test]
        fn ranges_never_overlap_and_grow_together_again(steps in prop::collection::vec((1u64..9, any::<prop::sample::Index>(), any::<bool>()), 1..200)) {
            let mut free = Free::new(SIZE);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (length, which, give) in steps {
                if give && !taken.is_empty() {
                    let (start, length) = taken.swap_remove(which.index(taken.len()));
                    free.give(start, length);
                } else if let Some(start) = free.take(length) {
                    prop_assert!(start + length <= SIZE);
                    for (other, its) in &taken {
                        prop_assert!(start + length <= *other || other + its <= start);
                    }
                    taken.push((start, length));
                }
                prop_assert_eq!(free.total(), SIZE - taken.iter().map(|(_, length)| length).sum::<u64>());
            }
            for (start, length) in taken {
                free.give(start, length);
            }
            prop_assert_eq!(free.take(SIZE), Some(0));
        }
    }
}
