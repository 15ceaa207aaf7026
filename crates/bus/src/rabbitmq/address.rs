//! Parses the URL of the broker. Errors never repeat it, because it holds a password.

use std::fmt;

use lapin::uri::AMQPUri;

use crate::BusError;

/// A parsed URL of the broker.
#[derive(Clone)]
pub(super) struct Address {
    pub uri: AMQPUri,
}

impl Address {
    pub fn parse(url: &str) -> Result<Self, BusError> {
        let refused = |problem| BusError::Address(problem);
        if !url.starts_with("amqp://") && !url.starts_with("amqps://") {
            return Err(refused("it does not start with amqp:// or amqps://"));
        }
        let mut uri: AMQPUri = url.parse().map_err(|_| refused("it is no AMQP URL"))?;
        if let Some(literal) = ipv6_literal(url) {
            literal.clone_into(&mut uri.authority.host);
        }
        // A URL that ends in "/" names the vhost "", which brokers do not have; the default vhost is meant.
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        Ok(Self { uri })
    }
}

/// The host of a URL with an IPv6 literal, which the library does not parse.
fn ipv6_literal(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?.split_once(']').map(|(literal, _)| literal)
}

/// Leaves the credentials out.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { authority, vhost, .. } = &self.uri;
        write!(f, "{}:{} vhost {vhost:?}", authority.host, authority.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_leaves_credentials_out() {
        for (url, shown) in [
            ("amqp://user:secret@broker.test:5673/deed", r#"broker.test:5673 vhost "deed""#),
            ("amqp://user:secret@127.0.0.1", r#"127.0.0.1:5672 vhost "/""#),
            ("amqp://user:secret@127.0.0.1/", r#"127.0.0.1:5672 vhost "/""#),
            ("amqp://user:secret@[::1]:1/%2f", r#"::1:1 vhost "/""#),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn rejects_unusable_urls_without_repeating_them() {
        for url in ["http://user:secret@h", "amqp:user:secret", "amqp://user:secret@h:port", "", "secret"] {
            let error = Address::parse(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }

    #[test]
    fn accepts_amqps_urls() {
        assert_eq!(Address::parse("amqps://user:secret@h/v").unwrap().to_string(), r#"h:5671 vhost "v""#);
    }
}
