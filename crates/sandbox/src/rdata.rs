//! Record values as text: how the control interface parses and shows them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::rr::rdata::{A, AAAA, CAA, CNAME, MX, NS, SOA, TXT};
use hickory_proto::rr::{RData, RecordType};

use crate::error::InvalidInput;
use crate::name::{escape_into, parse_name, show_name, unescape};

/// The types that the sandbox can serve.
pub(crate) const TYPES: [RecordType; 8] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CAA,
    RecordType::CNAME,
    RecordType::MX,
    RecordType::NS,
    RecordType::SOA,
    RecordType::TXT,
];

const MAX_STRING: usize = 255;
const MAX_RDATA: usize = 65_000;

/// Parses a type that records can be set for.
pub(crate) fn parse_served_type(field: &str, text: &str) -> Result<RecordType, InvalidInput> {
    TYPES
        .into_iter()
        .find(|served| <&str>::from(*served).eq_ignore_ascii_case(text))
        .ok_or_else(|| InvalidInput::new(field, "must be one of A, AAAA, CAA, CNAME, MX, NS, SOA, TXT"))
}

/// Parses any type that can be queried: a mnemonic or `TYPE123` (RFC 3597).
pub(crate) fn parse_asked_type(field: &str, text: &str) -> Result<RecordType, InvalidInput> {
    let upper = text.to_ascii_uppercase();
    let numbered = upper.strip_prefix("TYPE").and_then(|number| number.parse::<u16>().ok());
    match numbered {
        Some(number) => Ok(RecordType::from(number)),
        None => RecordType::from_str(&upper).map_err(|_| InvalidInput::new(field, "is not a record type")),
    }
}

/// The type's mnemonic, or `TYPE123` for one without.
pub(crate) fn show_type(kind: RecordType) -> String {
    match kind {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => <&str>::from(known).to_owned(),
    }
}

/// Parses one value in the usual zone-file form (for TXT: the text itself, with escapes).
pub(crate) fn parse_value(field: &str, kind: RecordType, text: &str) -> Result<RData, InvalidInput> {
    match kind {
        RecordType::TXT => {
            let bytes = parse_text(field, text)?;
            let parts: Vec<&[u8]> =
                if bytes.is_empty() { vec![&[]] } else { bytes.chunks(MAX_STRING).collect() };
            txt(field, parts)
        }
        RecordType::A => Ipv4Addr::from_str(text)
            .map(|address| RData::A(A(address)))
            .map_err(|_| InvalidInput::new(field, "must be an IPv4 address")),
        RecordType::AAAA => Ipv6Addr::from_str(text)
            .map(|address| RData::AAAA(AAAA(address)))
            .map_err(|_| InvalidInput::new(field, "must be an IPv6 address")),
        RecordType::NS => Ok(RData::NS(NS(parse_name(field, text)?))),
        RecordType::CNAME => Ok(RData::CNAME(CNAME(parse_name(field, text)?))),
        RecordType::MX => parse_mx(field, text),
        RecordType::SOA => parse_soa(field, text).map(RData::SOA),
        RecordType::CAA => parse_caa(field, text),
        _ => Err(InvalidInput::new(field, "has a type that the sandbox does not serve")),
    }
}

/// Parses one TXT record given as its character-strings.
pub(crate) fn parse_strings(field: &str, strings: &[String]) -> Result<RData, InvalidInput> {
    if strings.is_empty() {
        return Err(InvalidInput::new(field, "must have at least one character-string"));
    }
    let mut parts = Vec::with_capacity(strings.len());
    for (index, string) in strings.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let bytes = parse_text(&field, string)?;
        if bytes.len() > MAX_STRING {
            return Err(InvalidInput::new(
                field,
                "must have at most 255 bytes (give it in `values` to have it split)",
            ));
        }
        parts.push(bytes);
    }
    txt(field, parts.iter().map(Vec::as_slice).collect())
}

fn txt(field: &str, parts: Vec<&[u8]>) -> Result<RData, InvalidInput> {
    let wire: usize = parts.iter().map(|part| part.len() + 1).sum();
    if wire > MAX_RDATA {
        return Err(InvalidInput::new(field, "does not fit into one record"));
    }
    Ok(RData::TXT(TXT::from_bytes(parts)))
}

fn parse_text(field: &str, text: &str) -> Result<Vec<u8>, InvalidInput> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'\\' {
            let (escaped, tail) = unescape(rest).map_err(|problem| InvalidInput::new(field, problem))?;
            bytes.push(escaped);
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    Ok(bytes)
}

fn parse_mx(field: &str, text: &str) -> Result<RData, InvalidInput> {
    let shape = || InvalidInput::new(field, "must look like `10 mail.acme.com`");
    let (preference, exchange) = text.split_once(' ').ok_or_else(shape)?;
    let preference = preference.parse().map_err(|_| shape())?;
    Ok(RData::MX(MX::new(preference, parse_name(field, exchange.trim())?)))
}

fn parse_soa(field: &str, text: &str) -> Result<SOA, InvalidInput> {
    let shape = || {
        InvalidInput::new(
            field,
            "must look like `ns1.acme.com admin.acme.com 1 3600 600 86400 5` (mname … minimum)",
        )
    };
    let parts: Vec<&str> = text.split_whitespace().collect();
    let &[mname, rname, serial, refresh, retry, expire, minimum] = parts.as_slice() else {
        return Err(shape());
    };
    let seconds = |part: &str| part.parse::<i32>().ok().filter(|value| *value >= 0).ok_or_else(shape);
    Ok(SOA::new(
        parse_name(field, mname)?,
        parse_name(field, rname)?,
        serial.parse().map_err(|_| shape())?,
        seconds(refresh)?,
        seconds(retry)?,
        seconds(expire)?,
        seconds(minimum)?.unsigned_abs(),
    ))
}

fn parse_caa(field: &str, text: &str) -> Result<RData, InvalidInput> {
    let shape = || InvalidInput::new(field, "must look like `0 issue \"ca.example.net\"`");
    let mut parts = text.splitn(3, ' ');
    let (Some(flags), Some(tag), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(shape());
    };
    let flags: u8 = flags.parse().map_err(|_| shape())?;
    if tag.is_empty() || tag.len() > 15 || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(InvalidInput::new(field, "has a tag that is not 1 to 15 letters and digits"));
    }
    let value = value.trim();
    let bare = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
    let mut caa = CAA::new_issue(flags & 0x80 != 0, None, Vec::new());
    caa.reserved_flags = flags & 0x7f;
    tag.clone_into(&mut caa.tag);
    caa.value = parse_text(field, bare)?;
    Ok(RData::CAA(caa))
}

/// The value in the form that [`parse_value`] reads.
pub(crate) fn show_value(data: &RData) -> String {
    match data {
        RData::TXT(strings) => {
            let mut text = String::new();
            strings.txt_data.iter().for_each(|part| escape_into(&mut text, part, b"\\"));
            text
        }
        RData::A(A(address)) => address.to_string(),
        RData::AAAA(AAAA(address)) => address.to_string(),
        RData::NS(NS(name)) | RData::CNAME(CNAME(name)) => show_name(name),
        RData::MX(mx) => format!("{} {}", mx.preference, show_name(&mx.exchange)),
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            show_name(&soa.mname),
            show_name(&soa.rname),
            soa.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum
        ),
        RData::CAA(caa) => {
            let mut text = format!("{} {} \"", caa.flags(), caa.tag);
            escape_into(&mut text, &caa.value, b"\\\"");
            text.push('"');
            text
        }
        // Other types cannot be set.
        other => other.to_string(),
    }
}

/// A TXT record's character-strings in the form that [`parse_strings`] reads; `None` for other types.
pub(crate) fn show_strings(data: &RData) -> Option<Vec<String>> {
    let RData::TXT(record) = data else { return None };
    let strings = record.txt_data.iter().map(|part| {
        let mut text = String::new();
        escape_into(&mut text, part, b"\\");
        text
    });
    Some(strings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_reading_and_writing() {
        for (kind, text) in [
            (RecordType::TXT, "deed-domain-claim=abc"),
            (RecordType::TXT, "\"quoted\" and \\\\ and \\000\\200"),
            (RecordType::TXT, ""),
            (RecordType::A, "127.0.0.9"),
            (RecordType::AAAA, "::1"),
            (RecordType::NS, "ns1.acme.com"),
            (RecordType::CNAME, "*.acme.com"),
            (RecordType::MX, "10 mail.acme.com"),
            (RecordType::SOA, "ns1.acme.com admin.acme.com 7 3600 600 86400 5"),
            (RecordType::CAA, "128 issuewild \"ca.test; a=\\\"b\\\"\""),
        ] {
            assert_eq!(show_value(&parse_value("v", kind, text).unwrap()), text, "{kind}");
        }
    }

    #[test]
    fn long_text_is_split_every_255_bytes() {
        let RData::TXT(txt) = parse_value("v", RecordType::TXT, &"x".repeat(600)).unwrap() else { panic!() };
        assert_eq!(txt.txt_data.iter().map(|part| part.len()).collect::<Vec<_>>(), [255, 255, 90]);
    }

    #[test]
    fn rejects_invalid_values_by_field() {
        for (kind, text) in [
            (RecordType::A, "::1"),
            (RecordType::AAAA, "127.0.0.1"),
            (RecordType::NS, "a..b"),
            (RecordType::MX, "mail.acme.com"),
            (RecordType::MX, "70000 mail.acme.com"),
            (RecordType::SOA, "a b 1 2 3 4"),
            (RecordType::SOA, "a b 1 2 3 4 -5"),
            (RecordType::CAA, "0 issue"),
            (RecordType::CAA, "0 is-sue \"x\""),
            (RecordType::TXT, "half an escape \\1"),
        ] {
            assert_eq!(parse_value("values[0]", kind, text).unwrap_err().field, "values[0]", "{kind} {text}");
        }
        assert!(parse_strings("strings[0]", &[]).is_err());
        let long = parse_strings("strings[0]", &["ok".into(), "x".repeat(256)]).unwrap_err();
        assert_eq!(long.field, "strings[0][1]");
    }

    #[test]
    fn types_are_read_in_any_case_and_by_number() {
        assert_eq!(parse_served_type("type", "txt").unwrap(), RecordType::TXT);
        assert!(parse_served_type("type", "SRV").is_err());
        assert_eq!(parse_asked_type("type", "TYPE16").unwrap(), RecordType::TXT);
        assert_eq!(parse_asked_type("type", "dnskey").unwrap(), RecordType::DNSKEY);
        assert!(parse_asked_type("type", "nonsense").is_err());
    }
}
