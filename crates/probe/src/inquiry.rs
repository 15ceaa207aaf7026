//! One pass over the DNS for one name: find its zone, ask its servers, follow its aliases.
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use deed_claims::{NetworkFault, ProbeFailure, Reply, ServerAnswer};
use hickory_proto::rr::Name;

use crate::addresses::Need;
use crate::budget::Budget;
use crate::cache::Delegations;
use crate::config::ProbeConfig;
use crate::delegation::{Addresses, Delegation};
use crate::response::Chain;
use crate::round::{Next, Round};
use crate::transport::Transport;
use crate::walk::{Nesting, Reach};

/// How the questions of a pass travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// As datagrams, and over a connection where that does not do.
    Usual,
    /// Over connections only, from the root downwards: a confirmation. Asking only the last servers again
    /// would not do, since a forged referral or alias may have led to them.
    Connected,
}

/// What all looks of a prober share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ProbeConfig,
    pub(crate) transport: Transport,
    pub(crate) cache: Delegations,
    pub(crate) root: Arc<Delegation>,
}

/// One pass.
#[derive(Debug)]
pub(crate) struct Inquiry<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) budget: &'a Budget,
    pub(crate) mode: Mode,
    /// Orders servers, differently in each look and unpredictably.
    pub(crate) order: RandomState,
    pub(crate) referrals: AtomicU8,
}

/// What a pass saw.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    pub(crate) zone: Option<Name>,
    /// The target of each alias in turn.
    pub(crate) aliases: Vec<Name>,
    pub(crate) servers: Vec<ServerAnswer>,
    pub(crate) failure: Option<ProbeFailure>,
}

impl<'a> Inquiry<'a> {
    pub(crate) fn new(shared: &'a Shared, budget: &'a Budget, mode: Mode) -> Self {
        Self { shared, budget, mode, order: RandomState::new(), referrals: AtomicU8::new(0) }
    }

    /// Looks; whatever goes wrong is in the sight, with what was seen until then.
    pub(crate) async fn look(&self, name: &Name) -> Sight {
        let mut sight = Sight::default();
        if let Err(failure) = self.pursue(name, &mut sight).await {
            sight.failure = Some(failure);
        }
        sight
    }

    async fn pursue(&self, name: &Name, sight: &mut Sight) -> Result<(), ProbeFailure> {
        let mut at = name.clone();
        loop {
            let next = self.look_at(&at, sight).await?;
            let (chain, follow) = match next {
                Ended::Here(chain) => (chain, false),
                Ended::Alias(chain) => (chain, true),
            };
            self.pass(name, chain, &mut sight.aliases)?;
            match sight.aliases.last() {
                Some(target) if follow => at = target.clone(),
                _ => return Ok(()),
            }
            sight.zone = None;
            sight.servers.clear();
        }
    }

    /// Asks the servers of the zone around one name, and of zones below it when they say that these are meant.
    async fn look_at(&self, at: &Name, sight: &mut Sight) -> Result<Ended, ProbeFailure> {
        let mut cut = self.enclosing(at, Reach::Parents, Nesting::Outer).await?;
        loop {
            cut = self.with_addresses(cut, Need::All, Nesting::Outer).await;
            sight.zone = Some(cut.zone.clone());
            let round: Round = self.ask_all(&cut, at).await;
            let next = round.next();
            sight.servers = round.answers();
            if self.budget.is_exhausted() {
                return Err(ProbeFailure::BudgetExhausted);
            }
            match next {
                Next::Follow(chain) => return Ok(Ended::Alias(chain)),
                Next::Here(chain) => {
                    return trouble(&cut, &sight.servers).map_or(Ok(Ended::Here(chain)), Err);
                }
                Next::Below(below) => {
                    self.refer(Nesting::Outer)?;
                    cut = Arc::new(below);
                    self.shared.cache.remember(self.mode, cut.zone.clone(), &cut);
                }
            }
        }
    }

    /// Passes along aliases, which may neither return nor go on for ever.
    fn pass(&self, name: &Name, chain: Chain, passed: &mut Vec<Name>) -> Result<(), ProbeFailure> {
        for target in chain.targets {
            let again = target == *name || passed.contains(&target);
            passed.push(target);
            if again {
                return Err(ProbeFailure::AliasLoop);
            }
            if passed.len() > self.shared.config.budgets.aliases {
                return Err(ProbeFailure::AliasTooLong);
            }
        }
        Ok(())
    }
}

/// How the look at one name ended.
enum Ended {
    /// With answers, and the aliases inside them.
    Here(Chain),
    /// At an alias that leads elsewhere.
    Alias(Chain),
}

/// What speaks of more than single servers.
fn trouble(cut: &Delegation, servers: &[ServerAnswer]) -> Option<ProbeFailure> {
    if !cut.has_addresses() {
        let mut asked = cut.servers.iter().filter(|s| s.addresses != Addresses::Unknown).peekable();
        let ours =
            asked.peek().is_some() && asked.all(|s| s.addresses == Addresses::Failed(NetworkFault::Internal));
        return Some(if ours {
            ProbeFailure::Internal("no trusted resolver answered".to_owned())
        } else {
            ProbeFailure::NoAddress
        });
    }
    let ours = servers.iter().all(|s| s.reply == Reply::Fault(NetworkFault::Internal));
    (ours && !servers.is_empty()).then(|| ProbeFailure::Internal("no way to any server".to_owned()))
}
