//! Chance as a parameter: the machine's generator, or a test's that gives the same bytes each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// Where randomness comes from.
#[derive(Clone, Debug)]
pub struct Random(Source);

#[derive(Clone, Debug)]
enum Source {
    System(SystemRandom),
    Seeded(u64, Arc<AtomicU64>),
}

impl Random {
    /// The operating system's generator (ASVS 11.5.1).
    pub fn system() -> Self {
        Self(Source::System(SystemRandom::new()))
    }

    /// The same sequence for the same seed. For tests only: whoever knows the seed knows every secret.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(seed, Arc::default()))
    }

    /// `N` random bytes.
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness to give: nothing that follows could be a secret.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            Source::System(system) => system
                .fill(&mut bytes)
                .expect("the operating system gives random bytes"),
            Source::Seeded(seed, counter) => {
                for chunk in bytes.chunks_mut(32) {
                    let block = Sha256::new()
                        .chain_update(seed.to_le_bytes())
                        .chain_update(counter.fetch_add(1, Ordering::Relaxed).to_le_bytes())
                        .finalize();
                    chunk.copy_from_slice(&block[..chunk.len()]);
                }
            }
        }
        bytes
    }

    /// A number below `bound`, each equally likely.
    pub fn below(&self, bound: u32) -> u32 {
        // The highest multiple of `bound` that fits; what lies above it would favour the small numbers.
        let limit = u32::MAX - u32::MAX % bound.max(1);
        loop {
            let number = u32::from_le_bytes(self.bytes());
            if number < limit {
                return number % bound.max(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_machine_does_not() {
        assert_eq!(Random::seeded(7).bytes::<40>(), Random::seeded(7).bytes::<40>());
        assert_ne!(Random::seeded(7).bytes::<40>(), Random::seeded(8).bytes::<40>());
        let random = Random::system();
        assert_ne!(random.bytes::<32>(), random.bytes::<32>());
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let random = Random::seeded(1);
        let mut seen = [false; 10];
        for _ in 0..500 {
            seen[random.below(10) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(random.below(1), 0);
    }
}
