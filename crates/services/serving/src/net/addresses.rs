//! Which addresses a request may make the server speak to.
//!
//! Only globally reachable unicast addresses, after the registries of special-purpose addresses
//! (RFC 6890 and its successors), and what the operator adds. Addresses that carry another one
//! inside are judged by it, so that no notation leads around the rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Networks that may be spoken to although they are not public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Public addresses and those in `networks`. Link-local addresses, where clouds hand out
    /// credentials, are never allowed.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Why the address may not be spoken to; `None` when it may.
    pub fn refuse(&self, address: IpAddr) -> Option<&'static str> {
        let address = innermost(address);
        if let Some(why) = never(address) {
            return Some(why);
        }
        if self.0.iter().any(|network| network.contains(&address)) {
            return None;
        }
        match address {
            IpAddr::V4(address) => special_v4(address),
            IpAddr::V6(address) => special_v6(address),
        }
    }
}

/// The IPv4 address that an IPv6 address stands for, where it stands for one.
fn innermost(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let s = v6.segments();
    let low = || IpAddr::V4(Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7])));
    match s {
        // ::ffff:a.b.c.d, ::ffff:0:a.b.c.d, and ::a.b.c.d but for :: and ::1.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => low(),
        [0, 0, 0, 0, 0, 0, high, low_part] if (high, low_part) > (0, 1) => low(),
        // NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => low(),
        // 6to4 has it in front.
        [0x2002, high, low_part, ..] => {
            IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low_part)))
        }
        _ => address,
    }
}

const METADATA_V4: [Ipv4Addr; 2] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];

/// Where credentials are handed out, and what is no host at all.
fn never(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => Some("a link-local address"),
        IpAddr::V4(v4) if v4.is_unspecified() || v4.octets()[0] == 0 => Some("no host"),
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Some("not a single host"),
        // Metadata of Alibaba Cloud, and of Azure, which is a public address.
        IpAddr::V4(v4) if METADATA_V4.contains(&v4) => Some("a metadata address"),
        // Metadata of AWS over IPv6.
        IpAddr::V6(v6) if v6.segments()[..3] == [0xfd00, 0x0ec2, 0] => Some("a metadata address"),
        // Metadata of Google Cloud over IPv6.
        IpAddr::V6(v6) if v6.segments()[..3] == [0xfd20, 0x00ce, 0] => Some("a metadata address"),
        // NAT64 of a network's own choice (RFC 8215) and Teredo: IPv4 addresses in forms that only
        // the network knows, or masked.
        IpAddr::V6(v6) if v6.segments()[..3] == [0x64, 0xff9b, 1] => Some("another address inside"),
        IpAddr::V6(v6) if v6.segments()[..2] == [0x2001, 0] => Some("another address inside"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V6(v6) if v6.is_unspecified() => Some("no host"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("not a single host"),
        _ => None,
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Some("a loopback address"),
        (10, ..) | (192, 168, _) | (172, 16..=31, _) => Some("a private address"),
        (100, 64..=127, _) => Some("a shared address"),
        (192, 0, 0) | (192, 0, 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            Some("an address for special purposes")
        }
        (192, 88, 99) => Some("a relay's address"),
        (240.., ..) => Some("a reserved address"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let s = address.segments();
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if s[0] & 0xe000 != 0x2000 {
        // Unique local, site local, discard-only, local NAT64, and whatever was never given out.
        return Some("not a public address");
    }
    match s {
        // Teredo, ORCHID, benchmarking and the rest of the protocol assignments.
        [0x2001, 0..=0x01ff, ..] => Some("an address for special purposes"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("an address for documentation"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> bool {
        Networks::default().refuse(text.parse().unwrap()).is_some()
    }

    #[test]
    fn special_addresses_are_refused_in_every_dress() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::169.254.169.254",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:a9fe:a9fe::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(refused(address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860::8888",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(!refused(address), "{address}");
        }
    }

    #[test]
    fn an_operator_may_add_networks_but_no_metadata() {
        let networks = ["10.0.0.0/8", "127.0.0.0/8", "0.0.0.0/0", "::/0"];
        let networks = Networks::new(networks.iter().map(|n| n.parse().unwrap()).collect());
        let refused = |text: &str| networks.refuse(text.parse().unwrap()).is_some();
        for address in ["10.1.2.3", "127.0.0.1", "::ffff:10.1.2.3", "192.168.0.1", "::1"] {
            assert!(!refused(address), "{address}");
        }
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "fd00:ec2::254",
            "fe80::1",
            "100.100.100.200",
            "168.63.129.16",
            "::ffff:168.63.129.16",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "2001:0:4136:e378:8000:63bf:5601:5601",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(refused(address), "{address}");
        }
    }

    proptest! {
        #[test]
        fn a_dress_changes_nothing(bits in any::<u32>()) {
            let plain = Ipv4Addr::from(bits);
            let networks = Networks::default();
            let expected = networks.refuse(IpAddr::V4(plain));
            let (high, low) = ((bits >> 16) as u16, bits as u16);
            let mut dresses = vec![
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ];
            if bits > 1 {
                dresses.push(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low));
            }
            for dressed in dresses {
                prop_assert_eq!(networks.refuse(IpAddr::V6(dressed)), expected);
            }
        }
    }
}
