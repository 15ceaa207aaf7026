//! The prober: one question in, one observation out, whatever fails in between.
use async_trait::async_trait;
use deed_diagnosis::{
    Confirmation, Dname, Findings, NetworkFault, Observation, ProbeFailure, Reply, Security, ServerAnswer,
    Statement, Transport,
};
use hickory_proto::rr::Name;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, debug_span};

use crate::budget::Budget;
use crate::canary_query::{canary_fault, is_canary_failing};
use crate::config::{ConfigError, ProbeConfig};
use crate::exchange::millis;
use crate::findings::{FollowUp, QUERIES};
use crate::follow_aliases::LookupResult;
use crate::lookup::{Lookup, Shared};
use crate::lookup_mode::LookupMode;
use crate::response::text_of;
use crate::validation::{Subject, validate};
use crate::wire::absolute_name;

/// The name to probe, and what to look for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// The name to ask for TXT records: ASCII, without the trailing dot; labels may begin with an underscore.
    pub name: String,
    /// The expected values, which have to be confirmed when they are seen; compared byte for byte.
    pub looking_for: Vec<Vec<u8>>,
    /// Whether the absence of all these values has to be confirmed as well: for checks that may cost a holding,
    /// because one forged datagram can make a record vanish as easily as it can make one appear.
    pub confirm_absence: bool,
    /// The registrable domain of the name. With it, a domain that is not delegated is recognised, and a probe that
    /// did not see the values searches other likely places for them.
    pub apex: Option<String>,
    /// A hostname and the target that it has to point at; without it routing is not probed.
    pub route: Option<RoutingQuestion>,
}

/// A hostname and the target of its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingQuestion {
    /// The hostname, as [`Question::name`].
    pub host: String,
    /// The target, as [`Question::name`].
    pub target: String,
}

/// Probes the DNS. Tests replace the [`Prober`] through this trait.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Probes once. It cannot fail: our own failures are part of the observation.
    async fn probe(&self, question: Question) -> Observation;

    /// Whether the canary fails at present, so that every probe would fail for reasons on our side. Cheap: sends
    /// queries only where the last result was a failure and is some seconds old, and none at all as long as probes
    /// succeed.
    async fn canary_failing(&self) -> bool {
        false
    }
}

/// Probes the DNS itself, from the root servers down. Cheap to share behind an `Arc`; needs a tokio runtime.
#[derive(Debug)]
pub struct Prober {
    pub(crate) shared: Shared,
}

impl Prober {
    /// Builds a prober from a valid configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the first invalid setting.
    pub fn new(config: ProbeConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let shared = Shared::new(config)?;
        Ok(Self { shared })
    }

    /// Registers the metrics and records them from now on.
    ///
    /// # Errors
    /// When the registry already has a prober.
    pub fn measure(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.shared.transport.measure(registry)
    }

    /// Probes once, within the budgets: finds the zone, queries all its servers, and follows aliases. When an
    /// expected value is seen, or an absence has to be certain, the answer is validated by DNSSEC; where that does
    /// not settle it, everything is looked up once more over TCP and at the vantage points. When no server answers,
    /// the canary is queried.
    ///
    /// Dropping the future cancels the probe; nothing keeps running.
    pub async fn probe(&self, question: Question) -> Observation {
        // Without the name, which belongs to a customer: spans are exported further than logs.
        let span = debug_span!("dns.probe", otel.kind = "client", queries = Empty, failed = Empty);
        // Boxed: it is large, and callers hold many.
        Box::pin(self.probe_inner(question)).instrument(span).await
    }

    async fn probe_inner(&self, question: Question) -> Observation {
        debug!(name = %question.name.escape_default(), "probe started");
        let started = Instant::now();
        let config = &self.shared.config;
        let budget = Budget::of_probe(&config.budgets);
        let collected = match absolute_name(&question.name) {
            None => Collected::of(no_name()),
            Some(name) => self.collect(&name, &question, &budget).await,
        };
        let Collected { result, confirmation, findings, canary_queries } = collected;
        let routing = match &question.route {
            Some(route) if canary_queries == 0 => {
                let lookup = Lookup::new(&self.shared, &budget, LookupMode::UdpFirst);
                lookup.route(&route.host, &route.target).await
            }
            _ => None,
        };
        let observation = Observation {
            name: question.name,
            zone: result.zone.as_ref().map(text_of),
            aliases: result.aliases.iter().map(text_of).collect(),
            dname: result
                .dname
                .as_ref()
                .map(|redirect| Dname { owner: text_of(&redirect.owner), target: text_of(&redirect.target) }),
            servers: result.servers,
            dissent: result.dissent,
            beside_alias: result.beside_alias,
            failure: result.failure,
            confirmation,
            findings,
            routing,
            queries: budget.sent() + canary_queries,
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
            "probe ended"
        );
        observation
    }

    async fn collect(&self, name: &Name, question: &Question, budget: &Budget) -> Collected {
        let apex = question.apex.as_deref().and_then(absolute_name).filter(|apex| apex.zone_of(name));
        let mut lookup = Lookup::new(&self.shared, budget, LookupMode::UdpFirst).with_apex(apex.as_ref());
        let mut result = lookup.run(name).await;
        let mut queries = QUERIES;
        let diagnosed = apex.is_some() && !question.looking_for.is_empty();
        if diagnosed && follow_up_of(&result, question) != FollowUp::Match {
            let is_case_sensitive = lookup.is_case_sensitive(name, &result).await;
            queries -= usize::from(is_case_sensitive.is_some());
            if is_case_sensitive == Some(true) {
                lookup = Lookup::new(&self.shared, budget, LookupMode::TcpOnly)
                    .with_apex(apex.as_ref())
                    .in_lower_case();
                result = lookup.run(name).await;
            }
        }
        if is_silent(&result, budget) {
            let (fault, canary_queries) = canary_fault(&self.shared).await;
            if let Some(fault) = fault {
                result.failure = Some(ProbeFailure::Canary(fault));
            }
            return Collected { canary_queries, ..Collected::of(result) };
        }
        let follow_up = follow_up_of(&result, question);
        let findings = async {
            match &apex {
                Some(apex) if !question.looking_for.is_empty() => {
                    lookup.findings(name, apex, &result, follow_up, queries).await
                }
                _ => Findings::default(),
            }
        };
        let confirmation = self.confirm(name, apex.as_ref(), question, follow_up, &lookup);
        let (confirmation, findings) = tokio::join!(confirmation, findings);
        Collected { result, confirmation, findings, canary_queries: 0 }
    }

    /// The evidence that has to agree before a match, or an absence that may cost a holding, counts. A failure of the
    /// second lookup is part of its own answers and does not change the first.
    async fn confirm(
        &self,
        name: &Name,
        apex: Option<&Name>,
        question: &Question,
        follow_up: FollowUp,
        lookup: &Lookup<'_>,
    ) -> Confirmation {
        let (budget, name_case) = (lookup.budget, lookup.name_case);
        let seen = match follow_up {
            FollowUp::Match => question.looking_for.as_slice(),
            FollowUp::Absence => &[],
            FollowUp::None => return Confirmation::default(),
        };
        let validation = validate(&self.shared, budget, Subject { name, seen, name_case }).await;
        let config = &self.shared.config;
        let confirmation =
            Confirmation { validation, quorum: config.vantage_quorum, ..Confirmation::default() };
        let security = confirmation.validation.as_ref().map(|validation| validation.security);
        if matches!(security, Some(Security::Secure | Security::Bogus)) {
            return confirmation;
        }
        let again = Lookup::new(&self.shared, budget, LookupMode::TcpOnly).with_apex(apex);
        let elsewhere = Lookup::new(&self.shared, budget, LookupMode::UdpFirst);
        let (again, vantages) = tokio::join!(again.run(name), elsewhere.query_vantages(name));
        let dissent = again.dissent.clone();
        Confirmation { repeated: Some(confirming_answers(again)), dissent, vantages, ..confirmation }
    }
}

/// What has to be confirmed after the first lookup.
fn follow_up_of(result: &LookupResult, question: &Question) -> FollowUp {
    if result.servers.iter().any(|answer| contains_any(answer, &question.looking_for)) {
        FollowUp::Match
    } else if question.confirm_absence && result.servers.iter().any(has_statement) {
        FollowUp::Absence
    } else {
        FollowUp::None
    }
}

/// Everything that a probe collected.
struct Collected {
    result: LookupResult,
    confirmation: Confirmation,
    findings: Findings,
    /// Queries of the canary, for which the probe's own budget kept a reserve.
    canary_queries: u32,
}

impl Collected {
    fn of(result: LookupResult) -> Self {
        Self {
            result,
            confirmation: Confirmation::default(),
            findings: Findings::default(),
            canary_queries: 0,
        }
    }
}

/// Whether a probe ended without any answer, so that the fault may be ours.
fn is_silent(result: &LookupResult, budget: &Budget) -> bool {
    let lost = result.servers.iter().any(|row| matches!(row.reply, Reply::Fault(_)));
    let failed = matches!(
        &result.failure,
        Some(ProbeFailure::NoDelegation(_) | ProbeFailure::Internal(_) | ProbeFailure::BudgetExhausted)
    );
    !budget.has_answer() && !budget.was_at_capacity() && (lost || failed)
}

/// The answers of a second lookup that may count, with a row of our own when the failure was ours.
fn confirming_answers(again: LookupResult) -> Vec<ServerAnswer> {
    let mut answers = again.servers;
    let internal = Reply::Fault(NetworkFault::Internal);
    match again.failure {
        // Time or queries ran out over some servers; the others have answered. A parent that denies the domain has
        // answered as well.
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
        // The lookup did not finish; answers on the way do not count.
        Some(_) => answers.retain(|answer| matches!(answer.reply, Reply::Fault(_))),
    }
    answers
}

#[async_trait]
impl Probe for Prober {
    async fn probe(&self, question: Question) -> Observation {
        Prober::probe(self, question).await
    }

    async fn canary_failing(&self) -> bool {
        is_canary_failing(&self.shared).await
    }
}

fn contains_any(answer: &ServerAnswer, looking_for: &[Vec<u8>]) -> bool {
    match &answer.reply {
        Reply::Message { values, .. } => values.iter().any(|value| looking_for.contains(value)),
        _ => false,
    }
}

/// Whether a server said with authority what is at the name, or that nothing is.
fn has_statement(answer: &ServerAnswer) -> bool {
    match &answer.reply {
        Reply::Message { statement, .. } => *statement != Statement::Nothing,
        _ => false,
    }
}

fn no_name() -> LookupResult {
    LookupResult {
        failure: Some(ProbeFailure::Internal("the name is not a domain name".to_owned())),
        ..LookupResult::default()
    }
}
