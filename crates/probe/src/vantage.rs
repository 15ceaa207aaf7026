//! Vantage points: resolvers in other networks that report what they see.
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A resolver in another network, with its own cache and its own route to the servers. Written `name=address:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vantage {
    /// Its name in the evidence.
    pub name: String,
    /// Where it is queried.
    pub address: SocketAddr,
}

/// Why a text is not a vantage point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VantageError {
    /// There is no name before the `=`.
    #[error("the name is missing or invalid; write NAME=ADDRESS:PORT")]
    Name,
    /// The part after the name is not an address with a port.
    #[error("the part after `=` is not an address with a port")]
    Address,
}

impl FromStr for Vantage {
    type Err = VantageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = text.split_once('=').ok_or(VantageError::Name)?;
        let name = name.trim();
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            return Err(VantageError::Name);
        }
        let address = address.trim().parse().map_err(|_| VantageError::Address)?;
        Ok(Self { name: name.to_owned(), address })
    }
}

impl fmt::Display for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_vantage_name_and_address() {
        let vantage: Vantage = " tokyo = [2001:db8::53]:53".parse().unwrap();
        assert_eq!(vantage.to_string(), "tokyo=[2001:db8::53]:53");
        assert_eq!(vantage.to_string().parse(), Ok(vantage));
        assert_eq!("192.0.2.53:53".parse::<Vantage>(), Err(VantageError::Name));
        assert_eq!("a b=192.0.2.53:53".parse::<Vantage>(), Err(VantageError::Name));
        assert_eq!("tokyo=192.0.2.53".parse::<Vantage>(), Err(VantageError::Address));
    }
}
