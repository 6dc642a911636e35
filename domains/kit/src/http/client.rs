//! Where a request came from.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;

/// The address a request came from, and what the program calls itself. Put into a request's extensions before any route runs.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's own address: behind a configured proxy, the one that proxy vouches for.
    pub ip: IpAddr,
    /// True when it spoke TLS, to us or to a trusted proxy.
    pub secure: bool,
    /// `User-Agent`, shortened; empty when there is none.
    pub agent: String,
    /// One word that finds this request in the log; `X-Request-Id` of the answer.
    pub request_id: String,
}

impl Client {
    /// The address as limits count it: an IPv6 site has a /64 to itself and may use a new address for every request.
    pub fn network(&self) -> IpAddr {
        network(self.ip)
    }
}

/// The part of an address that one site has.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
        four => four,
    }
}

/// The client's address behind `peer`. Only a peer that is configured as a proxy is believed, and only as far as the first address that is
/// not a proxy itself, read from the right: what stands left of it the client may have written (ASVS 4.1.3).
pub fn forwarded(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> (IpAddr, Option<bool>) {
    let is_proxy = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip.to_canonical()));
    let peer = peer.to_canonical();
    if !is_proxy(peer) {
        return (peer, None);
    }
    let mut client = peer;
    let listed: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    for text in listed.into_iter().rev() {
        let Ok(ip) = text.parse::<IpAddr>() else { break };
        client = ip.to_canonical();
        if !is_proxy(client) {
            break;
        }
    }
    let secure = headers.get("x-forwarded-proto").map(|value| value == "https");
    (client, secure)
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self {
            ip: IpAddr::from([0, 0, 0, 0]),
            secure: false,
            agent: String::new(),
            request_id: String::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded_for: &str) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded_for.parse().unwrap());
        forwarded(peer.parse().unwrap(), &headers, &trusted).0.to_string()
    }

    #[test]
    fn only_a_configured_proxy_is_believed_about_the_client() {
        assert_eq!(client("203.0.113.9", "198.51.100.1"), "203.0.113.9");
        assert_eq!(client("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.7"), "198.51.100.1");
        assert_eq!(client("::1", "2001:db8::5"), "2001:db8::5");
        assert_eq!(client("::ffff:10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "rubbish"), "10.0.0.1");
        assert_eq!(client("10.0.0.1", "198.51.100.1, rubbish"), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_site_counts_as_one() {
        let a = network("2001:db8:1:2:aaaa::1".parse().unwrap());
        assert_eq!(a, network("2001:db8:1:2:bbbb::2".parse().unwrap()));
        assert_ne!(a, network("2001:db8:1:3::1".parse().unwrap()));
    }
}
