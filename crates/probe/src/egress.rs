//! The egress filter: claimants choose the addresses that are queried, so only public addresses are permitted.
use std::net::{IpAddr, SocketAddr};

use crate::network::Network;

/// The origin of an address, which decides whether it has to be public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    /// From the configuration: a root server or a trusted resolver.
    Configured(SocketAddr),
    /// From the DNS, and so possibly chosen by an attacker.
    FromDns(SocketAddr),
}

impl Peer {
    pub(crate) fn address(&self) -> IpAddr {
        match self {
            Self::Configured(address) | Self::FromDns(address) => address.ip().to_canonical(),
        }
    }
}

/// The configured networks in addition to the rule for public addresses.
#[derive(Debug)]
pub(crate) struct Egress {
    allow: Vec<Network>,
    refuse: Vec<Network>,
}

impl Egress {
    pub(crate) fn new(allow: Vec<Network>, refuse: Vec<Network>) -> Self {
        Self { allow, refuse }
    }

    /// The address to connect to, in canonical form; none when it is not permitted.
    ///
    /// Canonical first, because a socket for `::ffff:127.0.0.1` reaches loopback.
    pub(crate) fn permit(&self, peer: Peer) -> Option<SocketAddr> {
        match peer {
            Peer::Configured(address) => Some(SocketAddr::new(address.ip().to_canonical(), address.port())),
            Peer::FromDns(address) => {
                let ip = address.ip().to_canonical();
                let within = |list: &[Network]| list.iter().any(|network| network.contains(ip));
                (!within(&self.refuse) && (within(&self.allow) || is_public(ip)))
                    .then(|| SocketAddr::new(ip, address.port()))
            }
        }
    }
}

/// Not globally reachable by the IANA IPv4 Special-Purpose Address Registry (RFC 6890), multicast, or
/// withdrawn (6to4 anycast, RFC 7526).
const REFUSED_V4: [Network; 15] = [
    Network::v4([0, 0, 0, 0], 8),
    Network::v4([10, 0, 0, 0], 8),
    Network::v4([100, 64, 0, 0], 10),
    Network::v4([127, 0, 0, 0], 8),
    Network::v4([169, 254, 0, 0], 16),
    Network::v4([172, 16, 0, 0], 12),
    Network::v4([192, 0, 0, 0], 24),
    Network::v4([192, 0, 2, 0], 24),
    Network::v4([192, 88, 99, 0], 24),
    Network::v4([192, 168, 0, 0], 16),
    Network::v4([198, 18, 0, 0], 15),
    Network::v4([198, 51, 100, 0], 24),
    Network::v4([203, 0, 113, 0], 24),
    Network::v4([224, 0, 0, 0], 4),
    Network::v4([240, 0, 0, 0], 4),
];

/// The only block from which global unicast addresses are assigned (RFC 4291 §2.4). Loopback, `::/96`, mapped and
/// translated addresses, the discard prefix, unique local, link local, site local and multicast addresses lie
/// outside.
const GLOBAL_V6: Network = Network::v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Special blocks inside the global unicast block: IETF protocol assignments with Teredo, benchmarking and ORCHID,
/// documentation, 6to4, documentation again (RFC 9637).
const REFUSED_V6: [Network; 4] = [
    Network::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    Network::v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    Network::v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    Network::v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// Real name servers inside a refused network: AS112 (RFC 7535).
const KEPT_V6: [Network; 1] = [Network::v6([0x2001, 0x4, 0x112, 0, 0, 0, 0, 0], 48)];

/// Whether an address, already canonical, is globally reachable.
fn is_public(ip: IpAddr) -> bool {
    let within = |list: &[Network]| list.iter().any(|network| network.contains(ip));
    match ip {
        IpAddr::V4(_) => !within(&REFUSED_V4),
        IpAddr::V6(_) => GLOBAL_V6.contains(ip) && (!within(&REFUSED_V6) || within(&KEPT_V6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(address: &str) -> Peer {
        Peer::FromDns(SocketAddr::new(address.parse().unwrap(), 53))
    }

    fn permits(egress: &Egress, address: &str) -> bool {
        egress.permit(found(address)).is_some()
    }

    /// One or more addresses of every special-purpose block.
    const SPECIAL: &[&str] = &[
        "0.0.0.0",
        "0.255.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "10.0.0.5",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.169.254",
        "192.0.0.1",
        "192.0.0.9",
        "192.0.0.170",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::1",
        "64:ff9b::a00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:0:53aa:64c::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "3fff:fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fdff::1",
        "fe80::1",
        "fe80:1::1",
        "febf::1",
        "fec0::1",
        "feff::1",
        "ff00::1",
        "ff02::1",
        "ff0e::1",
        "4000::1",
        "1000::1",
    ];

    #[test]
    fn refuses_special_addresses() {
        let egress = Egress::new(vec![], vec![]);
        for address in SPECIAL {
            assert!(!permits(&egress, address), "{address} may not be asked");
        }
    }

    #[test]
    fn public_addresses_and_as112_are_kept() {
        let egress = Egress::new(vec![], vec![]);
        for address in [
            "8.8.8.8",
            "1.1.1.1",
            "192.175.48.1",
            "192.175.48.42",
            "192.31.196.1",
            "198.41.0.4",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.0.3.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2620:4f:8000::1",
            "2620:4f:8000::6",
            "2001:4:112::1",
            "2001:4860:4860::8888",
            "2001:500:2f::f",
            "2001:200::1",
            "2a00:1450::1",
            "2003::1",
            "3ffe::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(permits(&egress, address), "{address} may be asked");
        }
    }

    #[test]
    fn connects_mapped_address_as_ipv4() {
        let egress = Egress::new(vec![], vec![]);
        assert_eq!(egress.permit(found("::ffff:8.8.8.8")), Some("8.8.8.8:53".parse().unwrap()));
    }

    #[test]
    fn the_deployment_opens_and_closes_ranges() {
        let egress = Egress::new(
            vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            vec!["8.8.8.0/24".parse().unwrap(), "127.9.0.0/16".parse().unwrap()],
        );
        assert!(permits(&egress, "127.0.0.2"));
        assert!(permits(&egress, "::ffff:127.0.0.2"));
        assert!(permits(&egress, "fd00::53"));
        assert!(!permits(&egress, "10.0.0.1"));
        assert!(!permits(&egress, "8.8.8.8"));
        assert!(!permits(&egress, "::ffff:8.8.8.8"));
        assert!(!permits(&egress, "127.9.0.1"), "what is refused stays refused inside an opened range");
    }

    #[test]
    fn permits_private_servers_only_from_configuration() {
        let egress = Egress::new(vec![], vec!["127.0.0.0/8".parse().unwrap()]);
        let resolver = "127.0.0.1:5353".parse().unwrap();
        assert_eq!(egress.permit(Peer::Configured(resolver)), Some(resolver));
        assert_eq!(egress.permit(Peer::FromDns(resolver)), None);
    }
}
