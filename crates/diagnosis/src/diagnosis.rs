//! Diagnoses: the code of a cause, its class, and the phrases of its message and fix.
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::explain::{Phrase, render, say};

/// What a code means for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Waiting for the user: checks continue.
    Waiting,
    /// Transient failure of network or servers: never counts as absence.
    Transient,
    /// Permanent for this claim.
    Permanent,
    /// Failure on our side: never touches a claim.
    Internal,
}

impl Class {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Internal => "internal",
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $class:ident, $absence:literal;)*) => {
        /// The stable code of a cause. A new cause gets a new code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code { $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text of the code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What the cause means for a claim.
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// Whether authoritative servers say that the record does not exist: only this can cost a holding.
            pub const fn is_absence(self) -> bool {
                match self { $(Self::$name => $absence,)* }
            }

            /// How the cause is recognised.
            pub const fn detection(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)* }
            }
        }
    };
}

codes! {
    /// Every server that answers denies the name (NXDOMAIN), and the value is at none of the places where records are often put by mistake.
    RecordNotFound = "record_not_found", Waiting, true;
    /// The servers have no TXT record at the name, and do not all deny the name itself (NODATA).
    NoTxtAtName = "no_txt_at_name", Waiting, true;
    /// TXT records stand at the name, and none has the value. One that is nearly right is named, with the first character that differs: something stands around the value, characters are wrong, or are written as codes, or the random part is that of another claim.
    WrongValue = "wrong_value", Waiting, true;
    /// The value is right except for quotation marks or backslashes that are part of it.
    ValueQuoted = "value_quoted", Waiting, true;
    /// The value is right except for white space or invisible characters.
    ValueWhitespace = "value_whitespace", Waiting, true;
    /// The value is right except for upper and lower case.
    ValueCase = "value_case", Waiting, true;
    /// Only a part of the value stands there.
    ValueTruncated = "value_truncated", Waiting, true;
    /// The value, or its random part, stands there more than once in one record.
    ValueDoubled = "value_doubled", Waiting, true;
    /// The random part is right. What has to stand before it is missing, doubled, different, or has the record's name before it.
    ValuePrefixMissing = "value_prefix_missing", Waiting, true;
    /// The value belongs to an earlier claim of the same holder.
    ValueOfEarlierClaim = "value_of_earlier_claim", Waiting, true;
    /// Two TXT records make the value when they are joined.
    SplitOverRecords = "split_over_records", Waiting, true;
    /// The value, or nearly the value, stands at the registrable domain itself.
    AtApex = "at_apex", Waiting, true;
    /// The value, or nearly the value, stands at the name without the leading underscore, or under the registrable domain instead of the hostname.
    AtParentLabel = "at_parent_label", Waiting, true;
    /// A record stands at the name with the zone appended once more, and not at a random name beside it.
    DoubledZone = "doubled_zone", Waiting, true;
    /// The values at the name are those of a random name beside it: a wildcard gives them. One that gives the value is accepted, and said in the evidence.
    WildcardAnswer = "wildcard_answer", Waiting, true;
    /// The alias at the name leads to a name that does not exist. Where that name is the value itself, the value was entered as a CNAME instead of a TXT record.
    CnameDangling = "cname_dangling", Waiting, true;
    /// The aliases form a circle or are too many.
    CnameLoop = "cname_loop", Waiting, false;
    /// The alias at the name leads to a name that exists and has no TXT record with the value. The value itself may be that name here too.
    CnameElsewhere = "cname_elsewhere", Waiting, true;
    /// A DNAME moves the name elsewhere, and no TXT record with the value stands there.
    Dname = "dname", Waiting, true;
    /// The parent zone's servers deny the registrable domain.
    NotDelegated = "not_delegated", Waiting, true;
    /// An unusually large set of TXT records stands at the name. All were compared, and none has the value or is nearly right.
    OversizeAnswer = "oversize_answer", Waiting, true;
    /// No server has an address that may be asked: all are private or otherwise not public.
    BlockedAddress = "blocked_address", Waiting, false;
    /// Validation by DNSSEC fails.
    DnssecBogus = "dnssec_bogus", Waiting, false;
    /// No address was found for any of the servers that the delegation names.
    NsWithoutAddress = "ns_without_address", Transient, false;
    /// The listed servers answer without authority for the zone.
    LameDelegation = "lame_delegation", Transient, false;
    /// The servers that show the value are no majority, because others are listed that do not serve the zone; or another holder has the name and fewer than half of the listed servers answer. Where there is a majority without them, this is said in the evidence only.
    PartiallyLame = "partially_lame", Transient, false;
    /// No server answers, and most refuse the question.
    Refused = "refused", Transient, false;
    /// No server answers, and most fail (SERVFAIL, or bytes that are no answer).
    Servfail = "servfail", Transient, false;
    /// No server answers, and most fail at questions with EDNS.
    EdnsBroken = "edns_broken", Transient, false;
    /// No server answered in time.
    Timeout = "timeout", Transient, false;
    /// The answer is too big for UDP, and TCP does not work.
    TruncatedNoTcp = "truncated_no_tcp", Transient, false;
    /// Some servers show the value and others that answer do not, or they answer differently when they are asked again.
    InconsistentServers = "inconsistent_servers", Transient, false;
    /// Whether the zone is signed is unknown: no usable answer came for its DS and DNSKEY records, or the trusted resolver works but could not validate this name.
    DnssecIndeterminate = "dnssec_indeterminate", Transient, false;
    /// The zone's servers show the value, and the trusted resolver does not: it may keep an older answer.
    StaleNegativeCache = "stale_negative_cache", Transient, false;
    /// The record is seen, or seen to be gone, from fewer places than the deployment asks for.
    VantageDisagreement = "vantage_disagreement", Transient, false;
    /// The limits of one check were reached.
    BudgetExhausted = "budget_exhausted", Transient, false;
    /// The deployment's rules do not allow claims of the name any more.
    NameRefused = "name_refused", Permanent, false;
    /// A problem of ours: no sockets, or not even names that certainly exist can be looked up.
    Internal = "internal", Internal, false;
}

/// One cause and its fix as phrases; [`Diagnosis::message`] and [`Diagnosis::fix`] render them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// The code of the cause.
    pub code: Code,
    /// The class of the code.
    pub class: Class,
    /// Parameters that all sentences share, such as `record`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// What was seen, and from which servers.
    #[serde(deserialize_with = "sentences")]
    pub message: Vec<Phrase>,
    /// What to do.
    #[serde(deserialize_with = "sentences")]
    pub fix: Vec<Phrase>,
    /// Values that were seen, printable and capped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<String>,
    /// After how many seconds the cause may have passed by itself, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clears_in: Option<u32>,
}

/// Deserializes phrases, or the text that a snapshot of an older version has until it is folded again.
fn sentences<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Phrase>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Sentences {
        Phrases(Vec<Phrase>),
        Text(String),
    }
    Ok(match Sentences::deserialize(from)? {
        Sentences::Phrases(phrases) => phrases,
        Sentences::Text(text) => vec![say("text").with("text", text)],
    })
}

impl Diagnosis {
    /// A diagnosis with given sentences, as older versions stored them.
    pub fn from_text(code: Code, message: &str, fix: &str) -> Self {
        let text = |text: &str| vec![say("text").with("text", text)];
        let (message, fix) = (text(message), text(fix));
        Self {
            code,
            class: code.class(),
            params: BTreeMap::new(),
            message,
            fix,
            observed: vec![],
            clears_in: None,
        }
    }

    /// What was seen, in sentences: printable, at most 1000 characters.
    pub fn message(&self) -> String {
        render(&self.message, &self.params)
    }

    /// What to do, in sentences: printable, at most 1000 characters.
    pub fn fix(&self) -> String {
        render(&self.fix, &self.params)
    }
}
