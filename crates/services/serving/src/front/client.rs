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
    /// Bytes of a request's body. Defaults to 64 KiB.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let listener = parallax_listener::Limits::default();
        Self { listener, body: Duration::from_secs(10), body_bytes: 64 << 10 }
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
