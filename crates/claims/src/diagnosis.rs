//! The codes that say what is wrong, and the four classes that say what it means for a claim.
use serde::{Deserialize, Serialize};

/// What a failed check means for the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Waiting on the user: watching goes on.
    Waiting,
    /// Transient trouble of network or servers: never counts as absence.
    Transient,
    /// Permanent for this claim.
    Permanent,
    /// Our own trouble: never touches a claim.
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $class:ident, $absence:literal;)*) => {
        /// One cause, told to the tenant. Codes are stable; a new cause gets a new code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

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

            /// Whether servers that know said that the record is not there: the only thing that
            /// may start or continue the loss of a holding.
            pub const fn is_absence(self) -> bool {
                match self { $(Self::$name => $absence,)* }
            }
        }
    };
}

codes! {
    /// Every answering server denies the name (NXDOMAIN).
    RecordNotFound = "record_not_found", Waiting, true;
    /// The name exists without a TXT record.
    NoTxtAtName = "no_txt_at_name", Waiting, true;
    /// TXT records exist, none is ours.
    WrongValue = "wrong_value", Waiting, true;
    /// The alias at the name leads to a name that does not exist.
    CnameDangling = "cname_dangling", Waiting, true;
    /// The aliases form a circle or are too many.
    CnameLoop = "cname_loop", Waiting, false;
    /// More records than are read stand at the name.
    OversizeAnswer = "oversize_answer", Waiting, false;
    /// Every server's address is one that is not asked.
    BlockedAddress = "blocked_address", Waiting, false;
    /// Signatures are broken.
    DnssecBogus = "dnssec_bogus", Waiting, false;
    /// The delegation names servers without addresses.
    NsWithoutAddress = "ns_without_address", Transient, false;
    /// The listed servers do not serve the zone.
    LameDelegation = "lame_delegation", Transient, false;
    /// The servers refuse the question.
    Refused = "refused", Transient, false;
    /// The servers fail.
    Servfail = "servfail", Transient, false;
    /// No server answered in time.
    Timeout = "timeout", Transient, false;
    /// The answer is too big for UDP and TCP does not work.
    TruncatedNoTcp = "truncated_no_tcp", Transient, false;
    /// The servers contradict each other or themselves.
    InconsistentServers = "inconsistent_servers", Transient, false;
    /// The limits of one check were reached.
    BudgetExhausted = "budget_exhausted", Transient, false;
    /// The name may no longer be claimed.
    NameRefused = "name_refused", Permanent, false;
    /// Our own trouble.
    Internal = "internal", Internal, false;
}

/// One cause and one fix, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// What is wrong.
    pub code: Code,
    /// What it means for the claim.
    pub class: Class,
    /// A sentence that names the record, the servers asked and what was seen.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// Values seen, printable and capped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<String>,
}
