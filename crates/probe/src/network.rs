//! A network in CIDR notation, for the configuration and the egress tables.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A network of IPv4 or IPv6 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text is not a [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The part before the slash is not an address.
    #[error("`{0}` does not start with an IP address")]
    Address(String),
    /// The part after the slash is not a prefix length of that family.
    #[error("`{0}` has no valid prefix length for its address family")]
    Prefix(String),
    /// Bits behind the prefix are set, which is nearly always a mistake.
    #[error("`{0}` has bits set after its prefix")]
    HostBits(String),
    /// An IPv4 network written as IPv6 would never match, because addresses are made canonical first.
    #[error("`{0}` is an IPv4 network in IPv6 notation; write it as IPv4")]
    Mapped(String),
}

/// The networks of the largest reverse proxy, as Cloudflare publishes them.
pub fn proxy_networks() -> Vec<Network> {
    vec![
        Network::v4([103, 21, 244, 0], 22),
        Network::v4([103, 22, 200, 0], 22),
        Network::v4([103, 31, 4, 0], 22),
        Network::v4([104, 16, 0, 0], 13),
        Network::v4([104, 24, 0, 0], 14),
        Network::v4([108, 162, 192, 0], 18),
        Network::v4([131, 0, 72, 0], 22),
        Network::v4([141, 101, 64, 0], 18),
        Network::v4([162, 158, 0, 0], 15),
        Network::v4([172, 64, 0, 0], 13),
        Network::v4([173, 245, 48, 0], 20),
        Network::v4([188, 114, 96, 0], 20),
        Network::v4([190, 93, 240, 0], 20),
        Network::v4([197, 234, 240, 0], 22),
        Network::v4([198, 41, 128, 0], 17),
        Network::v6([0x2400, 0xcb00, 0, 0, 0, 0, 0, 0], 32),
        Network::v6([0x2405, 0x8100, 0, 0, 0, 0, 0, 0], 32),
        Network::v6([0x2405, 0xb500, 0, 0, 0, 0, 0, 0], 32),
        Network::v6([0x2606, 0x4700, 0, 0, 0, 0, 0, 0], 32),
        Network::v6([0x2803, 0xf800, 0, 0, 0, 0, 0, 0], 32),
        Network::v6([0x2a06, 0x98c0, 0, 0, 0, 0, 0, 0], 29),
        Network::v6([0x2c0f, 0xf248, 0, 0, 0, 0, 0, 0], 32),
    ]
}

impl Network {
    /// A network of the tables above and of the egress filter.
    pub(crate) const fn v4(base: [u8; 4], prefix: u8) -> Self {
        Self(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_octets(base), prefix)))
    }

    /// A network of the tables above and of the egress filter.
    pub(crate) const fn v6(base: [u16; 8], prefix: u8) -> Self {
        Self(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_segments(base), prefix)))
    }

    /// Whether the address lies in the network. IPv4-mapped addresses have to be made canonical before.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `10.0.0.0/8`, `fd00::/8`, or a single address.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address(text.to_owned()))?;
        if address.to_canonical() != address {
            return Err(NetworkError::Mapped(text.to_owned()));
        }
        let network = if text.contains('/') {
            text.parse().map_err(|_| NetworkError::Prefix(text.to_owned()))?
        } else {
            IpNet::from(address)
        };
        if network.trunc() == network {
            Ok(Self(network))
        } else {
            Err(NetworkError::HostBits(text.to_owned()))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn network_contains_addresses_of_its_prefix() {
        assert!(has("10.0.0.0/8", "10.255.255.255"));
        assert!(!has("10.0.0.0/8", "11.0.0.0"));
        assert!(has("192.0.2.7", "192.0.2.7"));
        assert!(!has("192.0.2.7", "192.0.2.6"));
        assert!(has("0.0.0.0/0", "255.255.255.255"));
        assert!(has("::/0", "ffff::1"));
        assert!(has("fe80::/10", "febf::1"));
        assert!(!has("fe80::/10", "fec0::1"));
        assert!(!has("0.0.0.0/0", "::1"));
    }

    #[test]
    fn rejects_and_names_mistakes() {
        let fault = |text: &str| text.parse::<Network>().unwrap_err();
        assert_eq!(fault("ten/8"), NetworkError::Address("ten/8".into()));
        assert_eq!(fault("10.0.0.0/33"), NetworkError::Prefix("10.0.0.0/33".into()));
        assert_eq!(fault("10.0.0.0/"), NetworkError::Prefix("10.0.0.0/".into()));
        assert_eq!(fault("10.0.0.1/8"), NetworkError::HostBits("10.0.0.1/8".into()));
        assert_eq!(fault("::ffff:10.0.0.0/104"), NetworkError::Mapped("::ffff:10.0.0.0/104".into()));
    }

    #[test]
    fn network_prints_as_written() {
        for text in ["10.0.0.0/8", "fd00::/8", "192.0.2.7/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }
}
