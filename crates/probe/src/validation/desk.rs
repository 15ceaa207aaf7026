//! Answers the questions that validation has, each from the servers that it belongs to and out of the same budget.
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

use super::Subject;
use super::excerpt::excerpt;
use crate::addresses::{Need, settled};
use crate::budget::Budget;
use crate::delegation::{Delegation, referral};
use crate::egress::Peer;
use crate::inquiry::{Inquiry, Mode, Shared};
use crate::response::{Response, text_of};
use crate::walk::{Dead, IN_TURN, Nesting, Reach};
use crate::wire::{Letters, Recursion, Wanted};

/// Questions under way at a time.
const WAITING: usize = 16;
/// Questions of one check, those included whose answer is at hand. A check of a deep zone in the middle of a change of keys
/// has some dozens; whoever has more of them made wants our processor to be busy.
const REQUESTS: usize = 300;

/// Name servers turned to, one after the other, when what one of them said does not hold.
const TURNS: usize = 5;

/// A question that validation has, and where it waits for the answer.
#[derive(Debug)]
pub(super) struct Request {
    name: Name,
    rtype: RecordType,
    answer: oneshot::Sender<Option<Message>>,
}

/// Where the validating library asks; it never sees a socket.
#[derive(Debug, Clone)]
pub(super) struct Window {
    requests: mpsc::Sender<Request>,
}

impl Window {
    pub(super) fn open() -> (Self, mpsc::Receiver<Request>) {
        let (requests, waiting) = mpsc::channel(WAITING);
        (Self { requests }, waiting)
    }

    async fn ask(self, query: Option<Query>) -> Result<DnsResponse, NetError> {
        let query = query.ok_or(NetError::Message("a request without a question"))?;
        let (answer, told) = oneshot::channel();
        let request = Request { name: query.name.clone(), rtype: query.query_type, answer };
        self.requests.send(request).await.map_err(|_| NetError::NoConnections)?;
        let message = told.await.ok().flatten().ok_or(NetError::Timeout)?;
        DnsResponse::from_message(message).map_err(NetError::from)
    }
}

impl DnsHandle for Window {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    /// For its clock only.
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let query = request.queries.first().cloned();
        Box::pin(stream::once(self.clone().ask(query)))
    }
}

type Told = Arc<OnceCell<Option<Message>>>;

/// Finds the answers, each question once.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    shared: &'a Shared,
    budget: &'a Budget,
    subject: Subject<'a>,
    told: Mutex<HashMap<(Name, RecordType), Told>>,
    requests: AtomicUsize,
    /// Which of a zone's name servers is asked first, in canonical order; any, the first time.
    turn: Mutex<Option<usize>>,
}

/// What a server says to a question for records.
enum Said {
    Answer(Response),
    Below(Delegation),
}

impl<'a> Desk<'a> {
    pub(super) fn new(shared: &'a Shared, budget: &'a Budget, subject: Subject<'a>) -> Self {
        Self {
            shared,
            budget,
            subject,
            told: Mutex::default(),
            requests: AtomicUsize::new(0),
            turn: Mutex::default(),
        }
    }

    /// How many name servers the zone around a name has to turn to when one of them has said something that does not
    /// hold.
    pub(super) async fn turns(&self, at: &Name) -> usize {
        let inquiry = Inquiry::new(self.shared, self.budget, Mode::Usual);
        match inquiry.enclosing(at, Reach::Parents, Nesting::Outer).await {
            Ok(cut) => {
                let cut = inquiry.with_addresses(cut, Need::Any, Nesting::Outer).await;
                inquiry.one_of_each(&cut).len().min(TURNS)
            }
            Err(_) => 0,
        }
    }

    /// Forgets what zones below the registries said, and asks this name server of theirs first, in lower case: the
    /// proofs of some servers depend on the letters of the question.
    pub(super) fn turn_to(&self, turn: usize) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        let of_registry = |name: &Name| is_registry(&text_of(name));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(name, rtype), _| match rtype {
            RecordType::NS => true,
            RecordType::DS => of_registry(&name.base_name()),
            _ => of_registry(name),
        });
    }

    fn turn(&self) -> Option<usize> {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers requests until the work that has them is done.
    pub(super) async fn serve<T>(
        &self,
        mut requests: mpsc::Receiver<Request>,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(request) = requests.recv() => running.push(self.settle(request)),
                Some(()) = running.next() => {}
            }
        }
    }

    async fn settle(&self, request: Request) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = if self.is_overrun() { None } else { self.answer(&request.name, request.rtype).await };
        // Whoever asked may not need it any more.
        let _ = request.answer.send(answer);
    }

    /// The part of an answer that validation may see; none when nobody gave one.
    pub(super) async fn answer(&self, name: &Name, rtype: RecordType) -> Option<Message> {
        let told = {
            let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry((name.clone(), rtype)).or_default())
        };
        // Boxed: the walk behind it is deep.
        told.get_or_init(|| self.find(name, rtype).boxed()).await.clone()
    }

    /// Whether validation has more questions than any honest zone gives rise to.
    pub(super) fn is_overrun(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > REQUESTS
    }

    /// Questions that nobody answered.
    pub(super) fn unanswered(&self) -> Vec<(Name, RecordType)> {
        self.entries().into_iter().filter(|(_, message)| message.is_none()).map(|(key, _)| key).collect()
    }

    /// Every answer so far.
    pub(super) fn answers(&self) -> Vec<((Name, RecordType), Message)> {
        self.entries().into_iter().filter_map(|(key, message)| Some((key, message?))).collect()
    }

    /// Has keys and what parents say of them remembered, since they have proven what they are.
    pub(super) fn keep(&self) {
        for ((name, rtype), message) in self.answers() {
            if matches!(rtype, RecordType::DNSKEY | RecordType::DS) {
                self.shared.keys.keep(&name, rtype, &message);
            }
        }
    }

    fn entries(&self) -> Vec<((Name, RecordType), Option<Message>)> {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(|(key, told)| Some((key.clone(), told.get()?.clone()))).collect()
    }

    async fn find(&self, name: &Name, rtype: RecordType) -> Option<Message> {
        let turned = self.turn().is_some();
        if let Some(known) = self.shared.keys.get(name, rtype).filter(|_| !turned) {
            return Some(known);
        }
        // Each with limits of its own besides the budget: what the first look found is remembered anyway.
        let mut inquiry = Inquiry::new(self.shared, self.budget, Mode::Usual);
        if turned || self.subject.letters == Letters::Lower {
            inquiry = inquiry.in_lower_case();
        }
        match rtype {
            RecordType::NS => self.cut_at(&inquiry, name).await,
            // The parent's servers know it; the zone's own deny it.
            RecordType::DS if name.is_root() => None,
            RecordType::DS => self.ask(&inquiry, name, rtype, &name.base_name(), Reach::Whole).await,
            RecordType::DNSKEY => self.ask(&inquiry, name, rtype, name, Reach::Whole).await,
            _ => self.ask(&inquiry, name, rtype, name, Reach::Parents).await,
        }
    }

    /// Whether a zone begins at the name, which the walk knows.
    async fn cut_at(&self, inquiry: &Inquiry<'_>, name: &Name) -> Option<Message> {
        let cut = inquiry.enclosing(name, Reach::Whole, Nesting::Outer).await.ok()?;
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

    /// Asks the servers of the zone around a place, and of zones below it that they refer to.
    async fn ask(
        &self,
        inquiry: &Inquiry<'_>,
        name: &Name,
        rtype: RecordType,
        place: &Name,
        reach: Reach,
    ) -> Option<Message> {
        let mut cut = inquiry.enclosing(place, reach, Nesting::Outer).await.ok()?;
        let wanted = Wanted { name: name.clone(), rtype, recursion: Recursion::No };
        loop {
            cut = inquiry.with_addresses(cut, Need::Any, Nesting::Outer).await;
            match self.first(inquiry, &cut, &wanted).await? {
                Said::Answer(response) => return Some(excerpt(&response, &cut.zone, &wanted)),
                Said::Below(below) => {
                    inquiry.refer(Nesting::Outer).ok()?;
                    cut = Arc::new(below);
                }
            }
        }
    }

    /// The first answer that will do. Where a value was seen, an answer with it is looked for: servers differ while
    /// a zone spreads.
    async fn first(&self, inquiry: &Inquiry<'_>, cut: &Delegation, wanted: &Wanted) -> Option<Said> {
        let spare = Mutex::new(None);
        let most = self.shared.config.budgets.ns_read;
        let peers = self.peers(inquiry, cut);
        let said = inquiry.first_among(peers, wanted, |response| {
            if !(settled(&response) && response.authoritative() && !response.truncated()) {
                return referral(&response, &cut.zone, &wanted.name, most).map(Said::Below);
            }
            if self.is_wanted(&response, wanted) {
                return Some(Said::Answer(response));
            }
            *spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
            None
        });
        match said.await {
            Ok((said, _)) => Some(said),
            Err(Dead::Useless(_)) => {
                spare.into_inner().unwrap_or_else(PoisonError::into_inner).map(Said::Answer)
            }
            Err(Dead::Blocked | Dead::Exhausted) => None,
        }
    }

    /// Whom to ask, in which order.
    fn peers(&self, inquiry: &Inquiry<'_>, cut: &Delegation) -> Vec<Peer> {
        match self.turn().filter(|_| !is_registry(&text_of(&cut.zone))) {
            None => inquiry.in_turn(cut, IN_TURN),
            Some(turn) => {
                let mut each: Vec<Peer> =
                    inquiry.one_of_each(cut).into_iter().map(|(_, peer)| peer).collect();
                let first = turn.checked_rem(each.len()).unwrap_or_default();
                each.rotate_left(first);
                each
            }
        }
    }

    fn is_wanted(&self, response: &Response, wanted: &Wanted) -> bool {
        // Whoever has the turn is heard, whatever it says.
        if wanted.rtype != RecordType::TXT || self.subject.seen.is_empty() || self.turn().is_some() {
            return true;
        }
        let budgets = &self.shared.config.budgets;
        let texts = response.texts(&wanted.name, budgets.txt_records, budgets.txt_bytes);
        let alias = !response.chain(&wanted.name, 1).targets.is_empty();
        alias || texts.values.iter().any(|value| self.subject.seen.contains(value))
    }
}

/// The answer to a question of validation, whatever its denial is worth: `Some` says what that is.
pub(super) fn answered(
    result: Result<DnsResponse, NetError>,
) -> Option<(DnsResponse, Option<hickory_proto::dnssec::Proof>)> {
    match result {
        Ok(response) => Some((response, None)),
        Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) => Some((*response, Some(proof))),
        Err(_) => None,
    }
}
