//! Asks for a name that has to exist, to tell our own broken network from everybody else's.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::addresses::{Need, settled};
use crate::budget::Budget;
use crate::config::DelegationSource;
use crate::delegation::Delegation;
use crate::inquiry::{Inquiry, Mode, Shared};
use crate::response::text_of;
use crate::walk::{Nesting, Reach};
use crate::wire::{Recursion, Wanted, absolute};

/// How long an answer counts for all looks: an outage makes crowds of them fail at the same time.
const FRESH: Duration = Duration::from_secs(5);

/// What may be spent on finding out whether the trusted resolvers answer at all.
const RESOLVERS: (u32, Duration) = (3, Duration::from_secs(3));

/// The last answer of the canary.
#[derive(Debug, Default)]
pub(crate) struct Canary {
    last: Mutex<Option<Arc<Asked>>>,
}

/// One time that it was asked.
#[derive(Debug)]
struct Asked {
    at: Instant,
    /// What failed; none where it was answered.
    fault: OnceCell<Option<String>>,
}

impl Canary {
    /// What fails, by an answer at most some seconds old; and how many questions that took us.
    pub(crate) async fn fault(&self, shared: &Shared) -> (Option<String>, u32) {
        let Some(budget) = Budget::of_canary(&shared.config.budgets) else { return (None, 0) };
        let asked = self.current();
        // Whoever comes by in the meantime waits for the same answer.
        let fault = asked.fault.get_or_init(|| ask(shared, &budget)).await.clone();
        (fault, budget.sent())
    }

    /// Whether it fails now. Asks only when it failed last, which is what has to be seen to end.
    pub(crate) async fn is_failing(&self, shared: &Shared) -> bool {
        let failed = {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.as_ref().is_some_and(|asked| matches!(asked.fault.get(), Some(Some(_))))
        };
        failed && self.fault(shared).await.0.is_some()
    }

    fn current(&self) -> Arc<Asked> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(asked) if asked.at.elapsed() < FRESH => Arc::clone(asked),
            _ => Arc::clone(last.insert(Arc::new(Asked { at: Instant::now(), fault: OnceCell::new() }))),
        }
    }
}

/// Asks as looks do: the canary's own servers, found like those of any name, or the trusted resolvers.
async fn ask(shared: &Shared, budget: &Budget) -> Option<String> {
    let inquiry = Inquiry::new(shared, budget, Mode::Usual);
    let name = name_of(shared);
    let answered = match shared.config.delegation {
        DelegationSource::FromResolver => by_resolver(&inquiry, &name).await,
        DelegationSource::FromParent => by_its_servers(&inquiry, &name).await,
    };
    (!answered).then(|| fault_of(&name))
}

fn name_of(shared: &Shared) -> Name {
    shared.config.canary.as_deref().and_then(absolute).unwrap_or_else(Name::root)
}

fn fault_of(name: &Name) -> String {
    format!("`{}`, which has to exist, could not be asked for either", text_of(name))
}

impl Inquiry<'_> {
    /// Whether the trusted resolvers have no answer for a name that has to exist either. Paid for by the look that asks;
    /// one that has nothing left does not find out, and its trouble is its own limits.
    pub(crate) async fn are_resolvers_down(&self) -> bool {
        let (shared, look) = (self.shared, self.budget);
        let queries = look.left().min(RESOLVERS.0);
        let time = look.deadline().saturating_duration_since(Instant::now()).min(RESOLVERS.1);
        if queries < RESOLVERS.0 || time < RESOLVERS.1 / 2 {
            return false;
        }
        let asked = shared.resolvers_canary.current();
        let fault = asked.fault.get_or_init(|| async move {
            let budget = Budget::new(queries, time);
            let name = name_of(shared);
            let answered = by_resolver(&Inquiry::new(shared, &budget, Mode::Usual), &name).await;
            look.charge(budget.sent());
            (!answered).then(|| fault_of(&name))
        });
        fault.await.is_some()
    }
}

async fn by_resolver(inquiry: &Inquiry<'_>, name: &Name) -> bool {
    let wanted = Wanted { name: name.clone(), rtype: RecordType::NS, recursion: Recursion::Desired };
    inquiry.ask_resolvers(&wanted).await.is_some_and(|response| settled(&response) && response.rcode() == 0)
}

async fn by_its_servers(inquiry: &Inquiry<'_>, name: &Name) -> bool {
    let cut: Arc<Delegation> = match inquiry.enclosing(name, Reach::Whole, Nesting::Outer).await {
        Ok(cut) => inquiry.with_addresses(cut, Need::Any, Nesting::Outer).await,
        Err(_) => return false,
    };
    let wanted = Wanted { name: name.clone(), rtype: RecordType::NS, recursion: Recursion::No };
    // A referral further down is an answer too.
    inquiry.first_of(&cut, &wanted, |response| (response.rcode() == 0).then_some(())).await.is_ok()
}
