//! Encodes a query so that only its server can answer it, and matches a reply to it before parsing.
use hickory_proto::op::Query;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// A query for the records of one type at one name.
#[derive(Debug, Clone)]
pub(crate) struct DnsQuery {
    pub(crate) name: Name,
    pub(crate) rtype: RecordType,
    /// Requested of resolvers only; name servers answer from their own data.
    pub(crate) recursion: Recursion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recursion {
    Desired,
    /// The same without validation, to see answers that a resolver considers bogus (RFC 4035 §3.2.2).
    Unchecked,
    No,
}

/// The letter case of the name in a query. Case has no meaning in names (RFC 4343), and a reply that repeats random
/// case comes from a host that has seen the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameCase {
    Random,
    /// For case-sensitive servers, and for transports that cannot be forged off-path.
    Lower,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EdnsMode {
    With,
    /// For servers that cannot parse EDNS (RFC 6891 §6.2.2).
    Without,
}

/// The largest datagram that arrives everywhere without fragmentation (RFC 9715).
const PAYLOAD: u16 = 1232;
/// The OPT record: EDNS version 0 with that size and the DO bit (RFC 6891 §6.1, RFC 3225 §3): root owner, type,
/// class, TTL with the flag, no options.
const OPT: [u8; 11] = {
    let [high, low] = PAYLOAD.to_be_bytes();
    [0, 0, 41, high, low, 0, 0, 0x80, 0, 0, 0]
};
const RECURSION_DESIRED: u16 = 0x0100;
const CHECKING_DISABLED: u16 = 0x0010;
/// The fixed part of a message (RFC 1035 §4.1.1).
const HEADER: usize = 12;

/// A query in wire format, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct EncodedQuery {
    pub(crate) bytes: Vec<u8>,
    /// Where the question section ends.
    end: usize,
}

/// Whether a message is the reply to a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReplyMatch {
    /// It is; truncated or not.
    Matches { truncated: bool },
    /// Everything but the letter case matches: a careless server, or a forger who guessed the id.
    CaseDiffers,
    /// The id matches and the question cannot be read.
    Malformed,
    /// A reply to something else, or no reply.
    Unrelated,
}

impl EncodedQuery {
    /// Encodes the query with a random id and, where wanted, random letter case (RFC 5452 §9.2, 0x20).
    ///
    /// The randomness comes from a cryptographic generator and is not a parameter: a caller that could choose it could
    /// forge answers.
    pub(crate) fn new(query: &DnsQuery, edns: EdnsMode, name_case: NameCase) -> Self {
        let flags = match query.recursion {
            Recursion::Desired => RECURSION_DESIRED,
            Recursion::Unchecked => RECURSION_DESIRED | CHECKING_DISABLED,
            Recursion::No => 0,
        };
        let opt: &[u8] = if edns == EdnsMode::With { &OPT } else { &[] };
        let mut bytes = Vec::with_capacity(HEADER + query.name.len() + 4 + opt.len());
        let mut put = |number: u16| bytes.extend_from_slice(&number.to_be_bytes());
        let counts = [1, 0, 0, u16::from(!opt.is_empty())];
        [rand::random(), flags].into_iter().chain(counts).for_each(&mut put);
        let name = bytes.len();
        for label in &query.name {
            // A label has at most 63 octets: the type guarantees it.
            bytes.push(u8::try_from(label.len()).unwrap_or_default());
            bytes.extend_from_slice(label);
        }
        bytes.push(0);
        match name_case {
            NameCase::Random => with_random_case(&mut bytes[name..]),
            // Length octets are below 64, so they are not letters.
            NameCase::Lower => bytes[name..].make_ascii_lowercase(),
        }
        let mut put = |number: u16| bytes.extend_from_slice(&number.to_be_bytes());
        [u16::from(query.rtype), u16::from(DNSClass::IN)].into_iter().for_each(&mut put);
        let end = bytes.len();
        bytes.extend_from_slice(opt);
        Self { bytes, end }
    }

    pub(crate) fn id(&self) -> u16 {
        self.bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id))
    }

    /// The same query with another random id.
    pub(crate) fn with_another_id(&self) -> Self {
        let mut other = self.clone();
        other.bytes[..2].copy_from_slice(&rand::random::<[u8; 2]>());
        other
    }

    /// Reads header and question only: a message that does not match is never parsed.
    pub(crate) fn match_reply(&self, bytes: &[u8]) -> ReplyMatch {
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return ReplyMatch::Unrelated;
        };
        let [id_high, id_low, flags, low, questions_high, questions_low, ..] = *header;
        let response = flags & 0x80 != 0;
        let opcode = (flags >> 3) & 0x0f;
        if u16::from_be_bytes([id_high, id_low]) != self.id() || !response || opcode != 0 {
            return ReplyMatch::Unrelated;
        }
        let ours = ReplyMatch::Matches { truncated: flags & 0x02 != 0 };
        match u16::from_be_bytes([questions_high, questions_low]) {
            // Servers that cannot parse a query answer with an error and without the question.
            0 if !matches!(low & 0x0f, 0 | 3) => ours,
            1 if bytes.get(HEADER..self.end) == self.bytes.get(HEADER..self.end) => ours,
            1 => match (question(bytes), question(&self.bytes)) {
                (Some(query), Some(asked)) if query.name.eq_case(&asked.name) && query == asked => ours,
                (Some(query), Some(asked)) if query == asked => ReplyMatch::CaseDiffers,
                (Some(_), _) => ReplyMatch::Unrelated,
                (None, _) => ReplyMatch::Malformed,
            },
            _ => ReplyMatch::Malformed,
        }
    }
}

/// The name in absolute form; none where the text is not a name.
pub(crate) fn absolute_name(text: &str) -> Option<Name> {
    if text.is_empty() || !text.is_ascii() || text.ends_with('.') {
        return None;
    }
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The first question of a message.
fn question(bytes: &[u8]) -> Option<Query> {
    let mut decoder = BinDecoder::new(bytes);
    decoder.read_slice(HEADER).ok()?;
    Query::read(&mut decoder).ok()
}

/// Sets the case of each letter at random. Length octets are below 64, so they are not letters.
fn with_random_case(name: &mut [u8]) {
    // A name has at most 255 octets.
    let bits: [u8; 32] = rand::random();
    for (at, letter) in name.iter_mut().enumerate().filter(|(_, byte)| byte.is_ascii_alphabetic()) {
        // Upper and lower case differ in one bit.
        *letter = (*letter & !0x20) | (bits[at / 8] >> (at % 8) & 1) << 5;
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, OpCode, ResponseCode};

    use super::*;

    fn query() -> DnsQuery {
        DnsQuery {
            name: Name::from_ascii("_deed.a-rather-long-name.example.").unwrap(),
            rtype: RecordType::TXT,
            recursion: Recursion::No,
        }
    }

    fn encoded() -> EncodedQuery {
        EncodedQuery::new(&query(), EdnsMode::With, NameCase::Random)
    }

    fn answer(encoded: &EncodedQuery, change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::from_vec(&encoded.bytes).unwrap().into_response();
        change(&mut message);
        message.to_vec().unwrap()
    }

    #[test]
    fn names_are_read_strictly() {
        assert_eq!(absolute_name("_deed.acme.test").unwrap().to_ascii(), "_deed.acme.test.");
        for faulty in ["", ".", "acme.test.", "a..test", "m\u{fc}ller.test", &"x".repeat(64)] {
            assert!(absolute_name(faulty).is_none(), "{faulty}");
        }
    }

    #[test]
    fn encodes_edns_and_flags() {
        let message = Message::from_vec(&encoded().bytes).unwrap();
        assert!(!message.metadata.recursion_desired);
        let edns = message.edns.as_ref().unwrap();
        assert_eq!((edns.max_payload(), edns.version(), edns.flags().dnssec_ok), (1232, 0, true));
        assert_eq!(message.queries.len(), 1);
        assert_eq!(message.queries[0].name, query().name);

        let plain = EncodedQuery::new(&query(), EdnsMode::Without, NameCase::Random);
        assert!(Message::from_vec(&plain.bytes).unwrap().edns.is_none());
    }

    #[test]
    fn randomises_id_and_case_per_query() {
        let questions: Vec<_> = (0..8).map(|_| encoded()).collect();
        let name = |q: &EncodedQuery| question(&q.bytes).unwrap().name;
        assert!(questions.iter().any(|q| q.id() != questions[0].id()));
        assert!(questions.iter().any(|q| !name(q).eq_case(&name(&questions[0]))));
        assert!(questions.iter().all(|q| name(q) == query().name));
        let other = questions[0].with_another_id();
        assert_eq!(other.bytes[2..], questions[0].bytes[2..]);
    }

    #[test]
    fn encodes_lower_case_names_on_request() {
        let upper = DnsQuery { name: Name::from_ascii("_Deed.ACME.example.").unwrap(), ..query() };
        let lower = EncodedQuery::new(&upper, EdnsMode::With, NameCase::Lower);
        assert_eq!(question(&lower.bytes).unwrap().name.to_ascii(), "_deed.acme.example.");
    }

    #[test]
    fn matches_only_replies_to_the_query() {
        let encoded = encoded();
        let matched = |bytes: &[u8]| encoded.match_reply(bytes);
        assert_eq!(matched(&answer(&encoded, |_| {})), ReplyMatch::Matches { truncated: false });
        assert_eq!(
            matched(&answer(&encoded, |m| m.metadata.truncation = true)),
            ReplyMatch::Matches { truncated: true }
        );
        assert_eq!(matched(&answer(&encoded, |m| m.metadata.id ^= 1)), ReplyMatch::Unrelated);
        assert_eq!(matched(&encoded.bytes), ReplyMatch::Unrelated, "a question is no answer");
        assert_eq!(
            matched(&answer(&encoded, |m| m.queries[0].query_type = RecordType::A)),
            ReplyMatch::Unrelated
        );
        assert_eq!(
            matched(&answer(&encoded, |m| m.queries[0].query_class = DNSClass::CH)),
            ReplyMatch::Unrelated
        );
        let other = Name::from_ascii("other.example.").unwrap();
        assert_eq!(matched(&answer(&encoded, |m| m.queries[0].name = other)), ReplyMatch::Unrelated);
        assert_eq!(
            matched(&answer(&encoded, |m| m.metadata.op_code = OpCode::Notify)),
            ReplyMatch::Unrelated
        );
        assert_eq!(matched(b"short"), ReplyMatch::Unrelated);
    }

    #[test]
    fn tells_differing_letter_case() {
        let encoded = encoded();
        let flipped = Name::from_labels(
            question(&encoded.bytes)
                .unwrap()
                .name
                .iter()
                .map(|label| {
                    label
                        .iter()
                        .map(|b| {
                            if b.is_ascii_uppercase() {
                                b.to_ascii_lowercase()
                            } else {
                                b.to_ascii_uppercase()
                            }
                        })
                        .collect::<Vec<u8>>()
                })
                .collect::<Vec<_>>()
                .iter()
                .map(Vec::as_slice),
        )
        .unwrap();
        assert_eq!(
            encoded.match_reply(&answer(&encoded, |m| m.queries[0].name = flipped)),
            ReplyMatch::CaseDiffers
        );
    }

    #[test]
    fn accepts_missing_question_in_errors_only() {
        let encoded = encoded();
        let without = |code| {
            answer(&encoded, |m| {
                m.queries.clear();
                m.metadata.response_code = code;
            })
        };
        assert_eq!(
            encoded.match_reply(&without(ResponseCode::FormErr)),
            ReplyMatch::Matches { truncated: false }
        );
        assert_eq!(encoded.match_reply(&without(ResponseCode::NoError)), ReplyMatch::Malformed);
        assert_eq!(encoded.match_reply(&without(ResponseCode::NXDomain)), ReplyMatch::Malformed);
    }

    #[test]
    fn rejects_header_with_wrong_question_count() {
        let encoded = encoded();
        let mut bytes = answer(&encoded, |_| {});
        bytes[4..6].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(encoded.match_reply(&bytes), ReplyMatch::Malformed);
        let mut cut = answer(&encoded, |_| {});
        cut.truncate(20);
        assert_eq!(encoded.match_reply(&cut), ReplyMatch::Malformed);
    }
}
