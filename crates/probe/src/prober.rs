//! The prober: one question in, one observation out, whatever happens in between.
use async_trait::async_trait;
use deed_claims::{
    Confirmation, Dname, Findings, NetworkFault, Observation, ProbeFailure, Reply, Security, ServerAnswer,
    Statement, Transport,
};
use hickory_proto::rr::Name;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, debug_span};

use crate::budget::Budget;
use crate::config::{ConfigError, ProbeConfig};
use crate::diagnosis::{Beside, QUESTIONS};
use crate::exchange::millis;
use crate::inquiry::{Inquiry, Mode, Shared, Sight};
use crate::response::text_of;
use crate::validation::{Subject, validate};
use crate::wire::absolute;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// The name to ask for TXT records: ASCII, without the trailing dot; labels may begin with an underscore.
    pub name: String,
    /// Values whose appearance has to be confirmed, byte for byte.
    pub looking_for: Vec<Vec<u8>>,
    /// Whether the absence of all these values has to be confirmed as well: for looks that may take something
    /// away, because one forged datagram can make a record vanish as easily as it can make one appear.
    pub confirm_absence: bool,
    /// The registrable domain that the name lies in: tells a name that is not delegated at all, and lets a look that
    /// did not see the values ask where else they may stand. Without it no such questions are asked.
    pub apex: Option<String>,
    /// A hostname and the target that it has to point at; without it nobody asks where a hostname leads.
    pub route: Option<Route>,
}

/// A hostname and the target of its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The hostname, as [`Question::name`].
    pub host: String,
    /// Where it has to point, as [`Question::name`].
    pub target: String,
}

/// Looks at the DNS. The way to stand in for a [`Prober`] in tests.
#[async_trait]
pub trait Look: Send + Sync {
    /// Looks once. Total: our own troubles are in the observation too.
    async fn look(&self, question: Question) -> Observation;

    /// Whether a name that has to exist could not be asked for just now, so that every look would fail for our
    /// reasons. Cheap: asks again only where the last answer was a failure and is some seconds old, and not at all
    /// as long as looks succeed.
    async fn canary_failing(&self) -> bool {
        false
    }
}

/// Asks the DNS itself, from the root servers downwards. Cheap to share behind an `Arc`; needs a tokio runtime.
#[derive(Debug)]
pub struct Prober {
    pub(crate) shared: Shared,
}

impl Prober {
    /// Takes a configuration that can work.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that cannot.
    pub fn new(config: ProbeConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let shared = Shared::new(config)?;
        Ok(Self { shared })
    }

    /// Registers what it tells about itself, and tells that from now on.
    ///
    /// # Errors
    /// When the registry has a prober already.
    pub fn measure(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.shared.transport.measure(registry)
    }

    /// Looks once, within the budgets: finds the zone, asks all its servers, and follows aliases. When a value that was
    /// looked for shows, or is absent and that has to be sure, DNSSEC is asked for its verdict, and where it has none
    /// everything is asked once more, over connections and at the vantages. When nothing answers, the canary is asked.
    ///
    /// Dropping the future abandons the look; nothing goes on behind it.
    pub async fn look(&self, question: Question) -> Observation {
        // Without the name, which is somebody's: a span goes where no log goes.
        let span = debug_span!("dns.look", otel.kind = "client", queries = Empty, failed = Empty);
        self.look_within(question).instrument(span).await
    }

    async fn look_within(&self, question: Question) -> Observation {
        debug!(name = %question.name.escape_default(), "looking");
        let started = Instant::now();
        let config = &self.shared.config;
        let budget = Budget::of_look(&config.budgets);
        let seen = match absolute(&question.name) {
            None => Seen::of(no_name()),
            Some(name) => self.see(&name, &question, &budget).await,
        };
        let Seen { sight, confirmation, findings, others } = seen;
        let routing = match &question.route {
            Some(route) if others == 0 => {
                let inquiry = Inquiry::new(&self.shared, &budget, Mode::Usual);
                inquiry.route(&route.host, &route.target).await
            }
            _ => None,
        };
        let observation = Observation {
            name: question.name,
            zone: sight.zone.as_ref().map(text_of),
            aliases: sight.aliases.iter().map(text_of).collect(),
            dname: sight
                .dname
                .as_ref()
                .map(|moved| Dname { owner: text_of(&moved.owner), target: text_of(&moved.target) }),
            servers: sight.servers,
            dissent: sight.dissent,
            beside_alias: sight.beside_alias,
            failure: sight.failure,
            confirmation,
            findings,
            routing,
            queries: budget.sent() + others,
            took_ms: millis(started),
            vantage: config.vantage.clone(),
        };
        let span = Span::current();
        span.record("queries", observation.queries);
        span.record("failed", observation.failure.is_some());
        debug!(
            servers = observation.servers.len(),
            aliases = observation.aliases.len(),
            queries = observation.queries,
            ms = observation.took_ms,
            failed = observation.failure.is_some(),
            validated = ?observation.confirmation.validation.as_ref().map(|validation| validation.security),
            repeated = observation.confirmation.repeated.is_some(),
            "looked"
        );
        observation
    }

    async fn see(&self, name: &Name, question: &Question, budget: &Budget) -> Seen {
        let apex = question.apex.as_deref().and_then(absolute).filter(|apex| apex.zone_of(name));
        let mut inquiry = Inquiry::new(&self.shared, budget, Mode::Usual).below(apex.as_ref());
        let mut sight = inquiry.look(name).await;
        let mut questions = QUESTIONS;
        let diagnosed = apex.is_some() && !question.looking_for.is_empty();
        if diagnosed && confirmable(&sight, question) != Beside::Match {
            let minds_letters = inquiry.minds_letters(name, &sight).await;
            questions -= usize::from(minds_letters.is_some());
            if minds_letters == Some(true) {
                inquiry =
                    Inquiry::new(&self.shared, budget, Mode::Connected).below(apex.as_ref()).in_lower_case();
                sight = inquiry.look(name).await;
            }
        }
        if is_silent(&sight, budget) {
            let (fault, others) = self.shared.canary.fault(&self.shared).await;
            if let Some(fault) = fault {
                sight.failure = Some(ProbeFailure::Canary(fault));
            }
            return Seen { others, ..Seen::of(sight) };
        }
        let beside = confirmable(&sight, question);
        let findings = async {
            match &apex {
                Some(apex) if !question.looking_for.is_empty() => {
                    inquiry.diagnose(name, apex, &sight, beside, questions).await
                }
                _ => Findings::default(),
            }
        };
        let confirmation = self.confirm(name, apex.as_ref(), question, beside, &inquiry);
        let (confirmation, findings) = tokio::join!(confirmation, findings);
        Seen { sight, confirmation, findings, others: 0 }
    }

    /// What has to agree before a match, or an absence that may take something away, counts. Whatever ends a second
    /// pass shows in its own answers: the first has seen what it has seen.
    async fn confirm(
        &self,
        name: &Name,
        apex: Option<&Name>,
        question: &Question,
        beside: Beside,
        inquiry: &Inquiry<'_>,
    ) -> Confirmation {
        let (budget, letters) = (inquiry.budget, inquiry.letters);
        let seen = match beside {
            Beside::Match => question.looking_for.as_slice(),
            Beside::Absence => &[],
            Beside::Nothing => return Confirmation::default(),
        };
        let validation = validate(&self.shared, budget, Subject { name, seen, letters }).await;
        let config = &self.shared.config;
        let confirmation =
            Confirmation { validation, quorum: config.vantage_quorum, ..Confirmation::default() };
        let security = confirmation.validation.as_ref().map(|validation| validation.security);
        if matches!(security, Some(Security::Secure | Security::Bogus)) {
            return confirmation;
        }
        let again = Inquiry::new(&self.shared, budget, Mode::Connected).below(apex);
        let elsewhere = Inquiry::new(&self.shared, budget, Mode::Usual);
        let (again, vantages) = tokio::join!(again.look(name), elsewhere.ask_vantages(name));
        let dissent = again.dissent.clone();
        Confirmation { repeated: Some(confirming(again)), dissent, vantages, ..confirmation }
    }
}

/// What has to be confirmed of a first pass.
fn confirmable(sight: &Sight, question: &Question) -> Beside {
    if sight.servers.iter().any(|answer| shows(answer, &question.looking_for)) {
        Beside::Match
    } else if question.confirm_absence && sight.servers.iter().any(tells) {
        Beside::Absence
    } else {
        Beside::Nothing
    }
}

/// All that a look saw.
struct Seen {
    sight: Sight,
    confirmation: Confirmation,
    findings: Findings,
    /// Questions of the canary, which the look's own budget kept back for it.
    others: u32,
}

impl Seen {
    fn of(sight: Sight) -> Self {
        Self { sight, confirmation: Confirmation::default(), findings: Findings::default(), others: 0 }
    }
}

/// Whether a look ended without a word from anybody, so that the trouble may well be ours.
fn is_silent(sight: &Sight, budget: &Budget) -> bool {
    let lost = sight.servers.iter().any(|row| matches!(row.reply, Reply::Fault(_)));
    let failed = matches!(
        &sight.failure,
        Some(ProbeFailure::NoDelegation(_) | ProbeFailure::Internal(_) | ProbeFailure::BudgetExhausted)
    );
    !budget.has_heard() && !budget.is_crowded() && (lost || failed)
}

/// The answers of a second pass that may count, with a row of our own when it was we who failed.
fn confirming(again: Sight) -> Vec<ServerAnswer> {
    let mut answers = again.servers;
    let internal = Reply::Fault(NetworkFault::Internal);
    match again.failure {
        // Time or questions ran out over some servers; the others have been heard.
        // And a parent that denies the domain has been heard as well.
        None | Some(ProbeFailure::BudgetExhausted | ProbeFailure::NotDelegated(_)) => {}
        Some(ProbeFailure::Internal(_)) => {
            answers.retain(|answer| matches!(answer.reply, Reply::Fault(_)));
            if !answers.iter().any(|answer| answer.reply == internal) {
                answers.push(ServerAnswer {
                    server: String::new(),
                    address: None,
                    transport: Transport::Tcp,
                    reply: internal,
                    ms: 0,
                });
            }
        }
        // It did not get to the end; what was said on the way is no answer.
        Some(_) => answers.retain(|answer| matches!(answer.reply, Reply::Fault(_))),
    }
    answers
}

#[async_trait]
impl Look for Prober {
    async fn look(&self, question: Question) -> Observation {
        Prober::look(self, question).await
    }

    async fn canary_failing(&self) -> bool {
        self.shared.canary.is_failing(&self.shared).await
    }
}

fn shows(answer: &ServerAnswer, looking_for: &[Vec<u8>]) -> bool {
    match &answer.reply {
        Reply::Message { values, .. } => values.iter().any(|value| looking_for.contains(value)),
        _ => false,
    }
}

/// Whether a server told with authority what stands at the name, or that nothing does.
fn tells(answer: &ServerAnswer) -> bool {
    match &answer.reply {
        Reply::Message { statement, .. } => *statement != Statement::Nothing,
        _ => false,
    }
}

fn no_name() -> Sight {
    Sight {
        failure: Some(ProbeFailure::Internal("the name cannot be asked for".to_owned())),
        ..Sight::default()
    }
}
