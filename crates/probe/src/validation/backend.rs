//! The backend of the validating library: answers its queries from the right servers, out of the same budget.
use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deed_claims::name::is_registry;
use futures::stream::{self, FuturesUnordered, Stream};
use futures::{FutureExt, StreamExt};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::xfer::DnsHandle;
use hickory_net::{DnsError, NetError};
use hickory_proto::op::{DnsRequest, DnsResponse, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::NS;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::sync::{OnceCell, mpsc, oneshot};

use super::scrub::scrub;
use super::subject::Subject;
use crate::budget::Budget;
use crate::delegation::{Delegation, referral};
use crate::egress::Peer;
use crate::lookup::{AddressNeed, Lookup, Nesting, Shared, WalkDepth};
use crate::lookup_mode::LookupMode;
use crate::response::{Response, text_of};
use crate::staggered::ZoneFailure;
use crate::walk::SERVERS_PER_STEP;
use crate::wire::{DnsQuery, NameCase, Recursion};

/// Queries waiting at a time.
const QUEUE: usize = 16;
/// Queries of one validation, cached answers included. A deep zone in the middle of a key rollover needs some dozens;
/// more than this is an attack on our CPU.
const MAX_QUERIES: usize = 300;

/// Name servers tried in turn when the answer of one does not validate.
const MAX_SERVERS: usize = 5;

/// A query of the validating library, and where it waits for the answer.
#[derive(Debug)]
pub(super) struct ValidatorQuery {
    name: Name,
    rtype: RecordType,
    answer: oneshot::Sender<Option<Message>>,
}

/// The library's side of the backend; the library never sees a socket.
#[derive(Debug, Clone)]
pub(super) struct ValidatorHandle {
    queries: mpsc::Sender<ValidatorQuery>,
}

impl ValidatorHandle {
    pub(super) fn open() -> (Self, mpsc::Receiver<ValidatorQuery>) {
        let (queries, waiting) = mpsc::channel(QUEUE);
        (Self { queries }, waiting)
    }

    async fn ask(self, query: Option<Query>) -> Result<DnsResponse, NetError> {
        let query = query.ok_or(NetError::Message("a query without a question"))?;
        let (answer, reply) = oneshot::channel();
        let query = ValidatorQuery { name: query.name.clone(), rtype: query.query_type, answer };
        self.queries.send(query).await.map_err(|_| NetError::NoConnections)?;
        let message = reply.await.ok().flatten().ok_or(NetError::Timeout)?;
        DnsResponse::from_message(message).map_err(NetError::from)
    }
}

impl DnsHandle for ValidatorHandle {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    /// The library needs only its clock.
    type Runtime = TokioRuntimeProvider;

    fn send(&self, query: DnsRequest) -> Self::Response {
        let query = query.queries.first().cloned();
        Box::pin(stream::once(self.clone().ask(query)))
    }
}

type AnswerCell = Arc<OnceCell<Option<Message>>>;

/// Answers the queries of one validation, each distinct query once.
#[derive(Debug)]
pub(super) struct ValidatorBackend<'a> {
    shared: &'a Shared,
    budget: &'a Budget,
    subject: Subject<'a>,
    answers: Mutex<HashMap<(Name, RecordType), AnswerCell>>,
    queries: AtomicUsize,
    /// The index of the name server that is queried first, in canonical order; random in the first round.
    first_server: Mutex<Option<usize>>,
}

/// A server's reply to a query for records.
enum ZoneReply {
    Answer(Response),
    Referral(Delegation),
}

impl<'a> ValidatorBackend<'a> {
    pub(super) fn new(shared: &'a Shared, budget: &'a Budget, subject: Subject<'a>) -> Self {
        Self {
            shared,
            budget,
            subject,
            answers: Mutex::default(),
            queries: AtomicUsize::new(0),
            first_server: Mutex::default(),
        }
    }

    /// How many name servers of the zone around a name can be tried when an answer does not validate.
    pub(super) async fn servers_to_try(&self, at: &Name) -> usize {
        let lookup = Lookup::new(self.shared, self.budget, LookupMode::UdpFirst);
        match lookup.enclosing_zone(at, WalkDepth::ToParent, Nesting::Outer).await {
            Ok(cut) => {
                let cut = lookup.with_addresses(cut, AddressNeed::Any, Nesting::Outer).await;
                lookup.one_per_server(&cut).len().min(MAX_SERVERS)
            }
            Err(_) => 0,
        }
    }

    /// Drops the answers of zones below the registries and queries this name server of theirs first, in lower case:
    /// the proofs of some servers depend on the letter case of the query.
    pub(super) fn retry_from(&self, first_server: usize) {
        *self.first_server.lock().unwrap_or_else(PoisonError::into_inner) = Some(first_server);
        let of_registry = |name: &Name| is_registry(&text_of(name));
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|(name, rtype), _| match rtype {
            RecordType::NS => true,
            RecordType::DS => of_registry(&name.base_name()),
            _ => of_registry(name),
        });
    }

    fn first_server(&self) -> Option<usize> {
        *self.first_server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers queries until the validation that sends them is done.
    pub(super) async fn serve<T>(
        &self,
        mut queries: mpsc::Receiver<ValidatorQuery>,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(query) = queries.recv() => running.push(self.respond(query)),
                Some(()) = running.next() => {}
            }
        }
    }

    async fn respond(&self, query: ValidatorQuery) {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let answer = if self.is_over_limit() { None } else { self.answer(&query.name, query.rtype).await };
        // The receiver may be gone.
        let _ = query.answer.send(answer);
    }

    /// The part of an answer that validation may see; none without an answer.
    pub(super) async fn answer(&self, name: &Name, rtype: RecordType) -> Option<Message> {
        let cell = {
            let mut all = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry((name.clone(), rtype)).or_default())
        };
        // Boxed: the future of the walk is large.
        cell.get_or_init(|| self.look_up(name, rtype).boxed()).await.clone()
    }

    /// Whether validation needs more queries than any honest zone causes.
    pub(super) fn is_over_limit(&self) -> bool {
        self.queries.load(Ordering::Relaxed) > MAX_QUERIES
    }

    /// Queries without an answer.
    pub(super) fn unanswered(&self) -> Vec<(Name, RecordType)> {
        self.entries().into_iter().filter(|(_, message)| message.is_none()).map(|(key, _)| key).collect()
    }

    /// Every answer so far.
    pub(super) fn answers(&self) -> Vec<((Name, RecordType), Message)> {
        self.entries().into_iter().filter_map(|(key, message)| Some((key, message?))).collect()
    }

    /// Caches DNSKEY and DS answers, now that they have been validated.
    pub(super) fn cache_keys(&self) {
        for ((name, rtype), message) in self.answers() {
            if matches!(rtype, RecordType::DNSKEY | RecordType::DS) {
                self.shared.keys.insert(&name, rtype, &message);
            }
        }
    }

    fn entries(&self) -> Vec<((Name, RecordType), Option<Message>)> {
        let all = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(|(key, cell)| Some((key.clone(), cell.get()?.clone()))).collect()
    }

    async fn look_up(&self, name: &Name, rtype: RecordType) -> Option<Message> {
        let retrying = self.first_server().is_some();
        if let Some(known) = self.shared.keys.get(name, rtype).filter(|_| !retrying) {
            return Some(known);
        }
        // Each lookup has its own limits besides the budget; what the first lookup found is cached anyway.
        let mut lookup = Lookup::new(self.shared, self.budget, LookupMode::UdpFirst);
        if retrying || self.subject.name_case == NameCase::Lower {
            lookup = lookup.in_lower_case();
        }
        match rtype {
            RecordType::NS => self.cut_at(&lookup, name).await,
            // The parent's servers hold the DS records; the zone's own servers deny them.
            RecordType::DS if name.is_root() => None,
            RecordType::DS => {
                self.query_zone(&lookup, name, rtype, &name.base_name(), WalkDepth::ToName).await
            }
            RecordType::DNSKEY => self.query_zone(&lookup, name, rtype, name, WalkDepth::ToName).await,
            _ => self.query_zone(&lookup, name, rtype, name, WalkDepth::ToParent).await,
        }
    }

    /// Whether a zone cut is at the name, according to the walk.
    async fn cut_at(&self, lookup: &Lookup<'_>, name: &Name) -> Option<Message> {
        let cut = lookup.enclosing_zone(name, WalkDepth::ToName, Nesting::Outer).await.ok()?;
        let mut message = Message::new(0, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(name.clone(), RecordType::NS));
        message.metadata.response_code = ResponseCode::NoError;
        if cut.zone == *name {
            for server in &cut.servers {
                message.add_answer(Record::from_rdata(name.clone(), 0, RData::NS(NS(server.name.clone()))));
            }
        }
        Some(message)
    }

    /// Queries the servers of the zone around a name, and of zones below that they refer to.
    async fn query_zone(
        &self,
        lookup: &Lookup<'_>,
        name: &Name,
        rtype: RecordType,
        at: &Name,
        depth: WalkDepth,
    ) -> Option<Message> {
        let mut cut = lookup.enclosing_zone(at, depth, Nesting::Outer).await.ok()?;
        let query = DnsQuery { name: name.clone(), rtype, recursion: Recursion::No };
        loop {
            cut = lookup.with_addresses(cut, AddressNeed::Any, Nesting::Outer).await;
            match self.first_answer(lookup, &cut, &query).await? {
                ZoneReply::Answer(response) => return Some(scrub(&response, &cut.zone, &query)),
                ZoneReply::Referral(below) => {
                    lookup.count_referral(Nesting::Outer).ok()?;
                    cut = Arc::new(below);
                }
            }
        }
    }

    /// The first usable answer. Where a value was seen, an answer that holds it is preferred: servers differ while a
    /// change spreads.
    async fn first_answer(
        &self,
        lookup: &Lookup<'_>,
        cut: &Delegation,
        query: &DnsQuery,
    ) -> Option<ZoneReply> {
        let fallback = Mutex::new(None);
        let most = self.shared.config.budgets.ns_read;
        let peers = self.peers(lookup, cut);
        let reply = lookup.first_usable_of(peers, query, |response| {
            if !(response.is_conclusive() && response.authoritative() && !response.truncated()) {
                return referral(&response, &cut.zone, &query.name, most).map(ZoneReply::Referral);
            }
            if self.is_expected(&response, query) {
                return Some(ZoneReply::Answer(response));
            }
            *fallback.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
            None
        });
        match reply.await {
            Ok((reply, _)) => Some(reply),
            Err(ZoneFailure::Unusable(_)) => {
                fallback.into_inner().unwrap_or_else(PoisonError::into_inner).map(ZoneReply::Answer)
            }
            Err(ZoneFailure::Blocked | ZoneFailure::BudgetSpent) => None,
        }
    }

    /// The servers to query, in order.
    fn peers(&self, lookup: &Lookup<'_>, cut: &Delegation) -> Vec<Peer> {
        match self.first_server().filter(|_| !is_registry(&text_of(&cut.zone))) {
            None => lookup.in_random_order(cut, SERVERS_PER_STEP),
            Some(first_server) => {
                let mut each: Vec<Peer> =
                    lookup.one_per_server(cut).into_iter().map(|(_, peer)| peer).collect();
                let first = first_server.checked_rem(each.len()).unwrap_or_default();
                each.rotate_left(first);
                each
            }
        }
    }

    fn is_expected(&self, response: &Response, query: &DnsQuery) -> bool {
        // In a later round the first server's answer is taken as it is.
        if query.rtype != RecordType::TXT || self.subject.seen.is_empty() || self.first_server().is_some() {
            return true;
        }
        let budgets = &self.shared.config.budgets;
        let texts = response.txt_values(&query.name, budgets);
        let alias = !response.chain(&query.name, 1).targets.is_empty();
        alias || texts.values.iter().any(|value| self.subject.seen.contains(value))
    }
}

/// The response in the library's result, with the proof of its denial where it is one.
pub(super) fn response_of(
    result: Result<DnsResponse, NetError>,
) -> Option<(DnsResponse, Option<hickory_proto::dnssec::Proof>)> {
    match result {
        Ok(response) => Some((response, None)),
        Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) => Some((*response, Some(proof))),
        Err(_) => None,
    }
}
