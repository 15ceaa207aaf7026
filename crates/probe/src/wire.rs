//! Writes a question so that only its server can answer it, and recognises the answer before reading it.
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) name: Name,
    pub(crate) rtype: RecordType,
    /// Set towards resolvers only; name servers are asked for what they hold themselves.
    pub(crate) recursion: Recursion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recursion {
    Desired,
    /// As well, without validation: to see what a resolver refuses to vouch for (RFC 4035 §3.2.2).
    Unchecked,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extended {
    Edns,
    /// For servers that cannot parse the other (RFC 6891 §6.2.2).
    Plain,
}

/// Bytes of a datagram that arrives everywhere unfragmented (RFC 9715).
const PAYLOAD: u16 = 1232;
/// The fixed part of a message (RFC 1035 §4.1.1).
const HEADER: usize = 12;

/// A question ready to be sent, with what its answer has to repeat.
#[derive(Debug)]
pub(crate) struct Outgoing {
    id: u16,
    name: Name,
    rtype: RecordType,
    pub(crate) bytes: Vec<u8>,
}

/// Whether bytes are the answer to a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    /// They are; cut short or not.
    Ours { truncated: bool },
    /// All but the letter case is right: a careless server, or a forger who guessed the id.
    CaseDiffers,
    /// The id is right and the question cannot be read.
    Garbled,
    /// The answer to something else.
    Foreign,
}

/// Why a question could not be written: our own trouble.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the operating system gives no random numbers")]
    Random(#[from] getrandom::Error),
    #[error("the question cannot be encoded")]
    Encode(#[from] hickory_proto::ProtoError),
}

impl Outgoing {
    /// Writes the question with an unpredictable id and unpredictable letter case (RFC 5452 §9.2, 0x20).
    ///
    /// The randomness comes straight from the operating system and is no parameter: whoever could choose it
    /// could forge answers.
    pub(crate) fn new(wanted: &Wanted, extended: Extended) -> Result<Self, WireError> {
        let id = (getrandom::u32()? >> 16) as u16;
        let name = with_random_case(&wanted.name)?;
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = wanted.recursion != Recursion::No;
        message.metadata.checking_disabled = wanted.recursion == Recursion::Unchecked;
        message.add_query(Query::query(name.clone(), wanted.rtype));
        if extended == Extended::Edns {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD).set_version(0).set_dnssec_ok(true);
            message.set_edns(edns);
        }
        let bytes = message.to_vec()?;
        Ok(Self { id, name, rtype: wanted.rtype, bytes })
    }

    /// Looks at header and question only: nothing of a message that is not ours gets parsed.
    pub(crate) fn echo(&self, bytes: &[u8]) -> Echo {
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return Echo::Foreign;
        };
        let [id_high, id_low, flags, low, questions_high, questions_low, ..] = *header;
        let response = flags & 0x80 != 0;
        let opcode = (flags >> 3) & 0x0f;
        if u16::from_be_bytes([id_high, id_low]) != self.id || !response || opcode != 0 {
            return Echo::Foreign;
        }
        let ours = Echo::Ours { truncated: flags & 0x02 != 0 };
        match u16::from_be_bytes([questions_high, questions_low]) {
            // Servers that cannot parse a question answer with an error and without it.
            0 if !matches!(low & 0x0f, 0 | 3) => ours,
            1 => match question(bytes) {
                None => Echo::Garbled,
                Some(query) if !self.asks(&query) => Echo::Foreign,
                Some(query) if !query.name.eq_case(&self.name) => Echo::CaseDiffers,
                Some(_) => ours,
            },
            _ => Echo::Garbled,
        }
    }

    fn asks(&self, query: &Query) -> bool {
        query.query_type == self.rtype && query.query_class == DNSClass::IN && query.name == self.name
    }
}

/// The name as it goes on the wire.
pub(crate) fn absolute(text: &str) -> Option<Name> {
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

/// One random bit for each letter.
fn with_random_case(name: &Name) -> Result<Name, WireError> {
    let mut bits = 0u64;
    let mut left = 0;
    let mut labels: Vec<Vec<u8>> = vec![];
    for label in name {
        let mut cased = label.to_vec();
        for letter in cased.iter_mut().filter(|byte| byte.is_ascii_alphabetic()) {
            if left == 0 {
                (bits, left) = (getrandom::u64()?, u64::BITS);
            }
            *letter = if bits & 1 == 0 { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() };
            (bits, left) = (bits >> 1, left - 1);
        }
        labels.push(cased);
    }
    Ok(Name::from_labels(labels.iter().map(Vec::as_slice))?)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::ResponseCode;

    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            name: Name::from_ascii("_deed.a-rather-long-name.example.").unwrap(),
            rtype: RecordType::TXT,
            recursion: Recursion::No,
        }
    }

    fn asked() -> Outgoing {
        Outgoing::new(&wanted(), Extended::Edns).unwrap()
    }

    fn answer(asked: &Outgoing, change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::from_vec(&asked.bytes).unwrap().into_response();
        change(&mut message);
        message.to_vec().unwrap()
    }

    #[test]
    fn names_are_read_strictly() {
        assert_eq!(absolute("_deed.acme.test").unwrap().to_ascii(), "_deed.acme.test.");
        for faulty in ["", ".", "acme.test.", "a..test", "m\u{fc}ller.test", &"x".repeat(64)] {
            assert!(absolute(faulty).is_none(), "{faulty}");
        }
    }

    #[test]
    fn a_question_carries_what_the_rules_ask_for() {
        let message = Message::from_vec(&asked().bytes).unwrap();
        assert!(!message.metadata.recursion_desired);
        let edns = message.edns.as_ref().unwrap();
        assert_eq!((edns.max_payload(), edns.version(), edns.flags().dnssec_ok), (1232, 0, true));
        assert_eq!(message.queries.len(), 1);
        assert_eq!(message.queries[0].name, wanted().name);

        let plain = Outgoing::new(&wanted(), Extended::Plain).unwrap();
        assert!(Message::from_vec(&plain.bytes).unwrap().edns.is_none());
    }

    #[test]
    fn ids_and_letter_case_differ_from_question_to_question() {
        let questions: Vec<_> = (0..8).map(|_| asked()).collect();
        assert!(questions.iter().any(|q| q.id != questions[0].id));
        assert!(questions.iter().any(|q| !q.name.eq_case(&questions[0].name)));
        assert!(questions.iter().all(|q| q.name == questions[0].name));
    }

    #[test]
    fn only_the_answer_to_the_question_is_recognised() {
        let asked = asked();
        let echo = |bytes: &[u8]| asked.echo(bytes);
        assert_eq!(echo(&answer(&asked, |_| {})), Echo::Ours { truncated: false });
        assert_eq!(echo(&answer(&asked, |m| m.metadata.truncation = true)), Echo::Ours { truncated: true });
        assert_eq!(echo(&answer(&asked, |m| m.metadata.id ^= 1)), Echo::Foreign);
        assert_eq!(echo(&asked.bytes), Echo::Foreign, "a question is no answer");
        assert_eq!(echo(&answer(&asked, |m| m.queries[0].query_type = RecordType::A)), Echo::Foreign);
        assert_eq!(echo(&answer(&asked, |m| m.queries[0].query_class = DNSClass::CH)), Echo::Foreign);
        let other = Name::from_ascii("other.example.").unwrap();
        assert_eq!(echo(&answer(&asked, |m| m.queries[0].name = other)), Echo::Foreign);
        assert_eq!(echo(&answer(&asked, |m| m.metadata.op_code = OpCode::Notify)), Echo::Foreign);
        assert_eq!(echo(b"short"), Echo::Foreign);
    }

    #[test]
    fn another_letter_case_is_told_apart() {
        let asked = asked();
        let flipped = Name::from_labels(
            asked
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
        assert_eq!(asked.echo(&answer(&asked, |m| m.queries[0].name = flipped)), Echo::CaseDiffers);
    }

    #[test]
    fn a_missing_question_is_taken_from_errors_only() {
        let asked = asked();
        let without = |code| {
            answer(&asked, |m| {
                m.queries.clear();
                m.metadata.response_code = code;
            })
        };
        assert_eq!(asked.echo(&without(ResponseCode::FormErr)), Echo::Ours { truncated: false });
        assert_eq!(asked.echo(&without(ResponseCode::NoError)), Echo::Garbled);
        assert_eq!(asked.echo(&without(ResponseCode::NXDomain)), Echo::Garbled);
    }

    #[test]
    fn a_header_that_claims_thousands_of_questions_is_not_believed() {
        let asked = asked();
        let mut bytes = answer(&asked, |_| {});
        bytes[4..6].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(asked.echo(&bytes), Echo::Garbled);
        let mut cut = answer(&asked, |_| {});
        cut.truncate(20);
        assert_eq!(asked.echo(&cut), Echo::Garbled);
    }
}
