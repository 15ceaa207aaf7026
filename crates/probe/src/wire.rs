//! Writes a question so that only its server can answer it, and recognises the answer before reading it.
use hickory_proto::op::Query;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::random;

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

/// In which letters a name is asked for. Names are the same in any (RFC 4343), and an answer that repeats letters that
/// nobody can guess comes from somebody who has seen the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letters {
    Random,
    /// For servers to which letters are not alike, and for ways on which nobody can guess anyway.
    Lower,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extended {
    Edns,
    /// For servers that cannot parse the other (RFC 6891 §6.2.2).
    Plain,
}

/// Bytes of a datagram that arrives everywhere unfragmented (RFC 9715).
const PAYLOAD: u16 = 1232;
/// EDNS version 0 with that many bytes and the wish for DNSSEC records (RFC 6891 §6.1, RFC 3225 §3): root owner, type,
/// class, TTL with the flag, no options.
const OPT: [u8; 11] = {
    let [high, low] = PAYLOAD.to_be_bytes();
    [0, 0, 41, high, low, 0, 0, 0x80, 0, 0, 0]
};
const RECURSION_DESIRED: u16 = 0x0100;
const CHECKING_DISABLED: u16 = 0x0010;
/// The fixed part of a message (RFC 1035 §4.1.1).
const HEADER: usize = 12;

/// A question ready to be sent, which its answer has to repeat.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Vec<u8>,
    /// Where the question section ends.
    end: usize,
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

impl Outgoing {
    /// Writes the question with an unpredictable id and unpredictable letter case (RFC 5452 §9.2, 0x20).
    ///
    /// The randomness comes straight from the operating system and is no parameter: whoever could choose it
    /// could forge answers.
    pub(crate) fn new(
        wanted: &Wanted,
        extended: Extended,
        letters: Letters,
    ) -> Result<Self, getrandom::Error> {
        let flags = match wanted.recursion {
            Recursion::Desired => RECURSION_DESIRED,
            Recursion::Unchecked => RECURSION_DESIRED | CHECKING_DISABLED,
            Recursion::No => 0,
        };
        let opt: &[u8] = if extended == Extended::Edns { &OPT } else { &[] };
        let mut bytes = Vec::with_capacity(HEADER + wanted.name.len() + 4 + opt.len());
        let mut put = |number: u16| bytes.extend_from_slice(&number.to_be_bytes());
        let counts = [1, 0, 0, u16::from(!opt.is_empty())];
        [random::id()?, flags].into_iter().chain(counts).for_each(&mut put);
        let name = bytes.len();
        for label in &wanted.name {
            // A label is at most 63 octets long: that is how the type is made.
            bytes.push(u8::try_from(label.len()).unwrap_or_default());
            bytes.extend_from_slice(label);
        }
        bytes.push(0);
        match letters {
            Letters::Random => with_random_case(&mut bytes[name..])?,
            // Lengths of labels are below 64, and no letters.
            Letters::Lower => bytes[name..].make_ascii_lowercase(),
        }
        let mut put = |number: u16| bytes.extend_from_slice(&number.to_be_bytes());
        [u16::from(wanted.rtype), u16::from(DNSClass::IN)].into_iter().for_each(&mut put);
        let end = bytes.len();
        bytes.extend_from_slice(opt);
        Ok(Self { bytes, end })
    }

    pub(crate) fn id(&self) -> u16 {
        self.bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id))
    }

    /// The same question with another random id.
    pub(crate) fn with_another_id(&self) -> Result<Self, getrandom::Error> {
        let mut other = self.clone();
        other.bytes[..2].copy_from_slice(&random::id()?.to_be_bytes());
        Ok(other)
    }

    /// Looks at header and question only: nothing of a message that is not ours gets parsed.
    pub(crate) fn echo(&self, bytes: &[u8]) -> Echo {
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return Echo::Foreign;
        };
        let [id_high, id_low, flags, low, questions_high, questions_low, ..] = *header;
        let response = flags & 0x80 != 0;
        let opcode = (flags >> 3) & 0x0f;
        if u16::from_be_bytes([id_high, id_low]) != self.id() || !response || opcode != 0 {
            return Echo::Foreign;
        }
        let ours = Echo::Ours { truncated: flags & 0x02 != 0 };
        match u16::from_be_bytes([questions_high, questions_low]) {
            // Servers that cannot parse a question answer with an error and without it.
            0 if !matches!(low & 0x0f, 0 | 3) => ours,
            1 if bytes.get(HEADER..self.end) == self.bytes.get(HEADER..self.end) => ours,
            1 => match (question(bytes), question(&self.bytes)) {
                (Some(query), Some(asked)) if query.name.eq_case(&asked.name) && query == asked => ours,
                (Some(query), Some(asked)) if query == asked => Echo::CaseDiffers,
                (Some(_), _) => Echo::Foreign,
                (None, _) => Echo::Garbled,
            },
            _ => Echo::Garbled,
        }
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

/// One random bit for each letter. Lengths of labels are no letters: they are below 64.
fn with_random_case(name: &mut [u8]) -> Result<(), getrandom::Error> {
    let (mut bits, mut left) = (0u64, 0);
    for letter in name.iter_mut().filter(|byte| byte.is_ascii_alphabetic()) {
        if left == 0 {
            (bits, left) = (random::bits()?, u64::BITS);
        }
        // Upper and lower case differ in one bit.
        *letter = (*letter & !0x20) | ((bits & 1) as u8) << 5;
        (bits, left) = (bits >> 1, left - 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, OpCode, ResponseCode};

    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            name: Name::from_ascii("_deed.a-rather-long-name.example.").unwrap(),
            rtype: RecordType::TXT,
            recursion: Recursion::No,
        }
    }

    fn asked() -> Outgoing {
        Outgoing::new(&wanted(), Extended::Edns, Letters::Random).unwrap()
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

        let plain = Outgoing::new(&wanted(), Extended::Plain, Letters::Random).unwrap();
        assert!(Message::from_vec(&plain.bytes).unwrap().edns.is_none());
    }

    #[test]
    fn ids_and_letter_case_differ_from_question_to_question() {
        let questions: Vec<_> = (0..8).map(|_| asked()).collect();
        let name = |q: &Outgoing| question(&q.bytes).unwrap().name;
        assert!(questions.iter().any(|q| q.id() != questions[0].id()));
        assert!(questions.iter().any(|q| !name(q).eq_case(&name(&questions[0]))));
        assert!(questions.iter().all(|q| name(q) == wanted().name));
        let other = questions[0].with_another_id().unwrap();
        assert_eq!(other.bytes[2..], questions[0].bytes[2..]);
    }

    #[test]
    fn names_are_asked_for_in_lower_case_where_that_is_wanted() {
        let upper = Wanted { name: Name::from_ascii("_Deed.ACME.example.").unwrap(), ..wanted() };
        let lower = Outgoing::new(&upper, Extended::Edns, Letters::Lower).unwrap();
        assert_eq!(question(&lower.bytes).unwrap().name.to_ascii(), "_deed.acme.example.");
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
            question(&asked.bytes)
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
