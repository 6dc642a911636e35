//! How many connections there are, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections and refuses those above the limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    max: usize,
    max_per_ip: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// Which limit is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    All,
    Address,
}

/// A connection's place; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place {
    limiter: Arc<Limiter>,
    ip: IpAddr,
}

impl Limiter {
    pub(crate) fn new(max: usize, max_per_ip: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_per_ip,
            counts: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Full> {
        // One machine has one address, however its stack writes it.
        let ip = ip.to_canonical();
        let mut counts = self.lock();
        if counts.all >= self.max {
            return Err(Full::All);
        }
        let mine = counts.by_ip.entry(ip).or_default();
        if *mine >= self.max_per_ip {
            return Err(Full::Address);
        }
        *mine += 1;
        counts.all += 1;
        Ok(Place {
            limiter: Arc::clone(self),
            ip,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.limiter.lock();
        counts.all -= 1;
        if let Some(mine) = counts.by_ip.get_mut(&self.ip) {
            *mine -= 1;
            if *mine == 0 {
                counts.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_address_and_come_back() {
        let limiter = Limiter::new(3, 2);
        let [a, b] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let first = limiter.take(a).unwrap();
        let _second = limiter.take("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(limiter.take(a).unwrap_err(), Full::Address);
        let third = limiter.take(b).unwrap();
        assert_eq!(limiter.take(b).unwrap_err(), Full::All);
        drop(first);
        drop(third);
        limiter.take(a).unwrap();
        assert!(limiter.take(b).is_ok());
        assert_eq!(limiter.lock().by_ip.len(), 1);
    }
}
