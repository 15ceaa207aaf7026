//! The root zone's keys at which local validation starts.
use std::str::FromStr;

use data_encoding::{BASE64, HEXUPPER_PERMISSIVE};
use hickory_proto::dnssec::rdata::{DNSKEY, DS};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKeyBuf, TrustAnchors};
use hickory_proto::rr::Name;

/// Keys of the root zone, or digests of them, in the form of a zone file: `. IN DS …` or `. IN DNSKEY …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    digests: Vec<DS>,
    keys: Vec<DNSKEY>,
}

/// Why a text is not a trust anchor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// A record that is not a usable DS or DNSKEY record.
    #[error("record {0} is not a usable DS or DNSKEY record")]
    Record(usize),
    /// The record belongs to another zone than the root.
    #[error("record {0} does not belong to the root zone, where chains of trust begin")]
    Owner(usize),
    /// The text has no key.
    #[error("there is no key")]
    Empty,
}

/// Flags of a DNSKEY: zone key and revoked (RFC 4034 §2.1.1, RFC 5011 §3).
const ZONE: u16 = 0x0100;
const REVOKED: u16 = 0x0080;

impl TrustAnchor {
    /// The trusted keys among those that the root's servers gave. A DS record only identifies a key; the key itself
    /// comes from the servers.
    pub(crate) fn among<'k>(&self, given: impl Iterator<Item = &'k DNSKEY>) -> TrustAnchors {
        let mut trusted = TrustAnchors::empty();
        for key in &self.keys {
            trusted.insert(key.public_key());
        }
        let root = Name::root();
        for key in given.filter(|key| key.zone_key() && !key.revoke()) {
            if self.digests.iter().any(|digest| digest.covers(&root, key).unwrap_or(false)) {
                trusted.insert(key.public_key());
            }
        }
        trusted
    }
}

impl FromStr for TrustAnchor {
    type Err = AnchorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut anchor = Self { digests: vec![], keys: vec![] };
        for (index, record) in records(text).iter().enumerate() {
            let number = index + 1;
            let fields: Vec<&str> = record.iter().map(String::as_str).collect();
            if fields.first() != Some(&".") {
                return Err(AnchorError::Owner(number));
            }
            let is_type = |field: &&str| ["DS", "DNSKEY"].iter().any(|t| field.eq_ignore_ascii_case(t));
            // Owner, optional TTL and class, type.
            let at = fields.iter().take(4).position(is_type).ok_or(AnchorError::Record(number))?;
            let data = &fields[at + 1..];
            if fields[at].eq_ignore_ascii_case("DS") {
                anchor.digests.push(digest(data).ok_or(AnchorError::Record(number))?);
            } else {
                anchor.keys.push(key(data).ok_or(AnchorError::Record(number))?);
            }
        }
        if anchor.digests.is_empty() && anchor.keys.is_empty() { Err(AnchorError::Empty) } else { Ok(anchor) }
    }
}

fn digest(data: &[&str]) -> Option<DS> {
    let [tag, algorithm, kind, hex @ ..] = data else { return None };
    let kind = DigestType::from(kind.parse::<u8>().ok()?);
    let bytes = HEXUPPER_PERMISSIVE.decode(hex.concat().as_bytes()).ok()?;
    let length = match kind {
        DigestType::SHA256 => 32,
        DigestType::SHA384 => 48,
        // SHA-1 is not accepted any more (RFC 8624 §3.3), and no other digest is supported.
        _ => return None,
    };
    (bytes.len() == length)
        .then(|| Some(DS::new(tag.parse().ok()?, known(algorithm)?, kind, bytes)))
        .flatten()
}

fn key(data: &[&str]) -> Option<DNSKEY> {
    let [flags, "3", algorithm, base64 @ ..] = data else { return None };
    let flags: u16 = flags.parse().ok()?;
    let bytes = BASE64.decode(base64.concat().as_bytes()).ok()?;
    let fits = flags & ZONE != 0 && flags & REVOKED == 0 && !bytes.is_empty();
    let public = PublicKeyBuf::new(bytes, known(algorithm)?);
    fits.then(|| DNSKEY::with_flags(flags, public))
}

/// An algorithm whose signatures can be verified.
fn known(number: &str) -> Option<Algorithm> {
    let algorithm = Algorithm::from_u8(number.parse().ok()?);
    algorithm.is_supported().then_some(algorithm)
}

/// The fields of each record, without comments; lines in parentheses are joined (RFC 1035 §5.1).
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut fields, mut open) = (vec![], vec![], false);
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default();
        let spaced = line.replace('(', " ( ").replace(')', " ) ");
        for field in spaced.split_whitespace() {
            match field {
                "(" => open = true,
                ")" => open = false,
                field => fields.push(field.to_owned()),
            }
        }
        if !open && !fields.is_empty() {
            records.push(std::mem::take(&mut fields));
        }
    }
    if !fields.is_empty() {
        records.push(fields);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = ". 3600 IN DS 20326 8 2 (\n  E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237 ; cut\n\
                          C7F8EC8D )\n";

    #[test]
    fn parses_ds_and_dnskey_in_zone_file_form() {
        let anchor: TrustAnchor = format!("; the root\n{DIGEST}. ds 38696 8 2 \
            683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16\n\
            . DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==\n")
            .parse()
            .unwrap();
        assert_eq!((anchor.digests.len(), anchor.keys.len()), (2, 1));
        assert_eq!((anchor.digests[0].key_tag(), anchor.digests[0].digest().len()), (20326, 32));
    }

    #[test]
    fn rejects_unusable_anchors() {
        let fault = |text: &str| text.parse::<TrustAnchor>().unwrap_err();
        assert_eq!(fault("; nothing\n"), AnchorError::Empty);
        assert_eq!(fault(&DIGEST.replacen(". ", "test. ", 1)), AnchorError::Owner(1));
        for faulty in [
            DIGEST.replace("8 2", "8 1"),
            DIGEST.replace("8 2", "5 9"),
            DIGEST.replace("C7F8EC8D", "C7F8EC"),
            DIGEST.replace(" DS ", " TXT "),
            ". DNSKEY 1 3 13 AAAA".to_owned(),
            ". DNSKEY 257 3 13 !".to_owned(),
            ". DNSKEY".to_owned(),
        ] {
            assert_eq!(fault(&faulty), AnchorError::Record(1), "{faulty}");
        }
    }

    #[test]
    fn built_in_keys_match_iana_digests() {
        // The keys are compiled into the library; the digests are IANA's, from another source.
        let published = "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D,\
                         38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16";
        let keys: Vec<DNSKEY> = (0..TrustAnchors::default().len())
            .filter_map(|i| TrustAnchors::default().get(i).map(|k| DNSKEY::with_flags(257, k.clone())))
            .collect();
        for digest in published.split(',') {
            let anchor: TrustAnchor = format!(". IN DS {digest}").parse().unwrap();
            assert_eq!(anchor.among(keys.iter()).len(), 1, "{digest}");
        }
        assert_eq!(keys.len(), 2);
    }
}
