//! Queries the canary, to tell a failure of our own network from failures elsewhere.
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use tokio::time::Instant;

use crate::budget::Budget;
use crate::config::DelegationSource;
use crate::delegation::Delegation;
use crate::lookup::{AddressNeed, Lookup, Nesting, Shared, WalkDepth};
use crate::lookup_mode::LookupMode;
use crate::rcode::NOERROR;
use crate::response::text_of;
use crate::wire::{DnsQuery, Recursion, absolute_name};

/// The budget for finding out whether the trusted resolvers answer at all.
const RESOLVERS: (u32, Duration) = (3, Duration::from_secs(3));

/// The failure of the canary, if there is one, and how many queries it took to find out.
pub(crate) async fn canary_fault(shared: &Shared) -> (Option<String>, u32) {
    let Some(budget) = Budget::of_canary(&shared.config.budgets) else { return (None, 0) };
    let fault = shared.canary.fault_or_query(query_canary(shared, &budget)).await;
    (fault, budget.sent())
}

/// Whether the canary fails now. Queries only when it failed last, to see the failure end.
pub(crate) async fn is_canary_failing(shared: &Shared) -> bool {
    shared.canary.failed() && canary_fault(shared).await.0.is_some()
}

/// Queries as probes do: the canary's own servers, found like those of any name, or the trusted resolvers.
async fn query_canary(shared: &Shared, budget: &Budget) -> Option<String> {
    let lookup = Lookup::new(shared, budget, LookupMode::UdpFirst);
    let name = name_of(shared);
    let answered = match shared.config.delegation {
        DelegationSource::FromResolver => by_resolver(&lookup, &name).await,
        DelegationSource::FromParent => by_its_servers(&lookup, &name).await,
    };
    (!answered).then(|| fault_of(&name))
}

fn name_of(shared: &Shared) -> Name {
    shared.config.canary.as_deref().and_then(absolute_name).unwrap_or_else(Name::root)
}

fn fault_of(name: &Name) -> String {
    format!("the canary `{}` gave no answer either", text_of(name))
}

impl Lookup<'_> {
    /// Whether the trusted resolvers also have no answer for a name that has to exist. The calling probe pays; with
    /// too little budget left the answer is false, and the probe's failure counts as its own limit.
    pub(crate) async fn are_resolvers_down(&self) -> bool {
        let (shared, probe_budget) = (self.shared, self.budget);
        let queries = probe_budget.left().min(RESOLVERS.0);
        let time = probe_budget.deadline().saturating_duration_since(Instant::now()).min(RESOLVERS.1);
        if queries < RESOLVERS.0 || time < RESOLVERS.1 / 2 {
            return false;
        }
        let fault = shared.resolvers_canary.fault_or_query(async {
            let budget = Budget::new(queries, time);
            let name = name_of(shared);
            let answered = by_resolver(&Lookup::new(shared, &budget, LookupMode::UdpFirst), &name).await;
            probe_budget.charge(budget.sent());
            (!answered).then(|| fault_of(&name))
        });
        fault.await.is_some()
    }
}

async fn by_resolver(lookup: &Lookup<'_>, name: &Name) -> bool {
    let query = DnsQuery { name: name.clone(), rtype: RecordType::NS, recursion: Recursion::Desired };
    lookup
        .query_resolvers(&query)
        .await
        .is_some_and(|response| response.is_conclusive() && response.rcode() == NOERROR)
}

async fn by_its_servers(lookup: &Lookup<'_>, name: &Name) -> bool {
    let cut: Arc<Delegation> = match lookup.enclosing_zone(name, WalkDepth::ToName, Nesting::Outer).await {
        Ok(cut) => lookup.with_addresses(cut, AddressNeed::Any, Nesting::Outer).await,
        Err(_) => return false,
    };
    let query = DnsQuery { name: name.clone(), rtype: RecordType::NS, recursion: Recursion::No };
    // A referral further down counts as an answer.
    lookup.first_usable(&cut, &query, |response| (response.rcode() == NOERROR).then_some(())).await.is_ok()
}
