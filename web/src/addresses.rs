//! How many HTTP connections each address has, so that one client cannot take them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections by address and refuses those above the limit.
pub(crate) struct Addresses {
    /// 0: no limit, and nothing is counted.
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place; dropping it gives the place back.
pub(crate) struct Place {
    counted: Option<(Arc<Addresses>, IpAddr)>,
}

impl Addresses {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::default(),
        })
    }

    /// A place for a connection from `ip`, unless its address has as many as it may.
    pub(crate) fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        if self.most == 0 {
            return Some(Place { counted: None });
        }
        let ip = household(ip);
        let mut open = self.lock();
        let mine = open.entry(ip).or_default();
        if *mine >= self.most {
            return None;
        }
        *mine += 1;
        Some(Place {
            counted: Some((Arc::clone(self), ip)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((addresses, ip)) = &self.counted else { return };
        let mut open = addresses.lock();
        if let Some(mine) = open.get_mut(ip) {
            *mine -= 1;
            if *mine == 0 {
                open.remove(ip);
            }
        }
    }
}

/// What counts as one address. A host with IPv6 picks the lower 64 bits as it likes (RFC 4291 2.5.1), so its network is its address.
fn household(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let addresses = Addresses::new(2);
        let first = addresses.take(ip("10.0.0.1")).expect("a place");
        let _second = addresses
            .take(ip("::ffff:10.0.0.1"))
            .expect("the same machine, written otherwise");
        assert!(addresses.take(ip("10.0.0.1")).is_none());
        assert!(addresses.take(ip("10.0.0.2")).is_some());
        drop(first);
        assert!(addresses.take(ip("10.0.0.1")).is_some());
        assert_eq!(addresses.lock().len(), 1, "who has gone is forgotten");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let addresses = Addresses::new(1);
        let _place = addresses.take(ip("2001:db8:0:1::1")).expect("a place");
        assert!(addresses.take(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(addresses.take(ip("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let addresses = Addresses::new(0);
        let _places: Vec<_> = (0..100)
            .map(|_| addresses.take(ip("10.0.0.1")).expect("a place"))
            .collect();
        assert!(addresses.lock().is_empty());
    }
}
