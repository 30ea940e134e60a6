//! What a client may take, and who is one.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use axum::Extension;
use parallax_listener::Peer;

/// What a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of its connections.
    pub listener: parallax_listener::Limits,
    /// Time for a request's body. Defaults to 10 s.
    pub body: Duration,
    /// Bytes of a request's body, beside an input within it. Defaults to 64 KiB.
    pub body_bytes: usize,
    /// Bytes of an input within a request, before it is written in base64. Defaults to 0: none.
    pub inline_bytes: usize,
}

impl Limits {
    /// Bytes of a request's body with an input in base64, which has four letters for three bytes.
    pub(super) fn most_body_bytes(&self) -> usize {
        self.body_bytes.saturating_add(self.inline_bytes.div_ceil(3).saturating_mul(4))
    }
}

impl Default for Limits {
    fn default() -> Self {
        let listener = parallax_listener::Limits::default();
        Self { listener, body: Duration::from_secs(10), body_bytes: 64 << 10, inline_bytes: 0 }
    }
}

/// A client as fairness counts it: an address, and of IPv6 the network that one subscriber is
/// given, whose addresses are for the taking.
pub(super) fn client(peer: Option<Extension<Peer>>) -> String {
    let Some(Extension(Peer(peer))) = peer else { return "unknown".to_owned() };
    match peer.ip().to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_subscriber_is_one_client_whatever_address_it_takes() {
        let client = |address: &str| {
            client(Some(Extension(Peer(SocketAddr::new(address.parse().unwrap(), 1)))))
        };
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }
}
