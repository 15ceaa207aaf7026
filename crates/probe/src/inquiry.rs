//! One pass over the DNS for one name: find its zone, ask its servers, follow its aliases.
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use deed_claims::{NetworkFault, ProbeFailure, Reply, ServerAnswer};
use hickory_proto::rr::Name;

use crate::addresses::{Helpers, Need};
use crate::budget::Budget;
use crate::cache::Delegations;
use crate::canary::Canary;
use crate::config::{ConfigError, ProbeConfig};
use crate::delegation::{Addresses, Delegation};
use crate::plain::PlainServers;
use crate::response::{Chain, Moved, text_of};
use crate::round::{Next, Round};
use crate::transport::Transport;
use crate::validation::KeyMemory;
use crate::walk::{Nesting, Reach};
use crate::wire::Letters;

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
    pub(crate) plain: PlainServers,
    pub(crate) keys: KeyMemory,
    pub(crate) canary: Canary,
    /// Of the trusted resolvers alone.
    pub(crate) resolvers_canary: Canary,
}

impl Shared {
    pub(crate) fn new(config: ProbeConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            transport: Transport::new(&config),
            cache: Delegations::new(config.delegation_cache_ttl),
            root: Arc::new(Delegation::root(&config.roots)?),
            plain: PlainServers::default(),
            keys: KeyMemory::new(config.delegation_cache_ttl),
            canary: Canary::default(),
            resolvers_canary: Canary::default(),
            config,
        })
    }
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
    pub(crate) helpers: Helpers,
    /// The registrable domain of the name, where it is known.
    pub(crate) apex: Option<&'a Name>,
    /// In which letters names are asked for as datagrams.
    pub(crate) letters: Letters,
}

/// What a pass saw.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    pub(crate) zone: Option<Name>,
    /// The zone around the name itself, before any alias.
    pub(crate) home: Option<Arc<Delegation>>,
    pub(crate) dname: Option<Moved>,
    /// The target of each alias in turn.
    pub(crate) aliases: Vec<Name>,
    pub(crate) servers: Vec<ServerAnswer>,
    /// Servers on the way that contradict most of the others.
    pub(crate) dissent: Vec<ServerAnswer>,
    /// TXT values beside aliases.
    pub(crate) beside_alias: Vec<Vec<u8>>,
    pub(crate) failure: Option<ProbeFailure>,
}

impl<'a> Inquiry<'a> {
    pub(crate) fn new(shared: &'a Shared, budget: &'a Budget, mode: Mode) -> Self {
        Self {
            shared,
            budget,
            mode,
            order: RandomState::new(),
            referrals: AtomicU8::new(0),
            helpers: Helpers::new(shared.config.budgets.ns_resolved),
            apex: None,
            letters: Letters::Random,
        }
    }

    /// The same with names in lower case, for servers to which letters are not alike.
    pub(crate) fn in_lower_case(self) -> Self {
        Self { letters: Letters::Lower, ..self }
    }

    /// The same with the registrable domain, whose parent may deny it.
    pub(crate) fn below(self, apex: Option<&'a Name>) -> Self {
        Self { apex, ..self }
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
            if sight.dname.is_none() {
                sight.dname.clone_from(&chain.dname);
            }
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
        let end = self.walk(at, Reach::Parents, Nesting::Outer).await?;
        let mut cut = self.with_addresses(end.cut, Need::All, Nesting::Outer).await;
        sight.zone = Some(cut.zone.clone());
        if let Some(denied) = end.denied.filter(|name| self.encloses_apex(name, sight)) {
            self.check_delegation(&cut, &denied, sight).await?;
        }
        loop {
            cut = self.with_addresses(cut, Need::All, Nesting::Outer).await;
            sight.zone = Some(cut.zone.clone());
            if sight.aliases.is_empty() {
                sight.home = Some(Arc::clone(&cut));
            }
            sight.take_dissent(&cut.dissent);
            let round: Round = self.ask_all(&cut, at).await;
            let next = round.next();
            sight.take_dissent(&round.dissent(&next));
            sight.beside_alias.extend(round.beside_aliases());
            sight.servers = round.answers();
            if self.budget.is_exhausted() {
                return Err(self.budget.failure());
            }
            match next {
                Next::Follow(chain) => return Ok(Ended::Alias(chain)),
                Next::Here(chain) => {
                    return trouble(&cut, &sight.servers).map_or(Ok(Ended::Here(chain)), Err);
                }
                Next::Below(below) => {
                    self.refer(Nesting::Outer)?;
                    let dissent = sight.dissent.clone();
                    cut = Arc::new(Delegation { dissent, ..below });
                    self.shared.cache.remember(self.mode, cut.zone.clone(), &cut);
                }
            }
        }
    }

    /// Whether a denial of the name denies the registrable domain as a whole.
    fn encloses_apex(&self, name: &Name, sight: &Sight) -> bool {
        sight.aliases.is_empty() && self.apex.is_some_and(|apex| name.zone_of(apex))
    }

    /// Asks all of a parent's servers for a name of which one said that it does not exist: a holder may lose by it,
    /// and the registry's servers need not all be up to date.
    ///
    /// # Errors
    /// [`ProbeFailure::NotDelegated`] when most of them say so; their answers are in the sight.
    async fn check_delegation(
        &self,
        parent: &Delegation,
        denied: &Name,
        sight: &mut Sight,
    ) -> Result<(), ProbeFailure> {
        let round = self.ask_all(parent, denied).await;
        if self.budget.is_exhausted() {
            return Err(self.budget.failure());
        }
        if !round.denies(&parent.zone) {
            return Ok(());
        }
        sight.servers = round.answers();
        Err(ProbeFailure::NotDelegated(text_of(&parent.zone)))
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

impl Sight {
    fn take_dissent(&mut self, dissent: &[ServerAnswer]) {
        for answer in dissent {
            if !self.dissent.contains(answer) {
                self.dissent.push(answer.clone());
            }
        }
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
        let mut failed = cut.servers.iter().filter_map(|server| match server.addresses {
            Addresses::Failed(fault) => Some(fault),
            _ => None,
        });
        return match failed.next() {
            // Asked for, and there is none.
            None => Some(ProbeFailure::NoAddress),
            Some(NetworkFault::Internal) if failed.all(|fault| fault == NetworkFault::Internal) => Some(
                ProbeFailure::Internal("nobody could be asked for the name servers' addresses".to_owned()),
            ),
            // Nobody knows whether they have one; each server says so for itself.
            Some(_) => None,
        };
    }
    let ours = servers.iter().all(|s| s.reply == Reply::Fault(NetworkFault::Internal));
    (ours && !servers.is_empty()).then(|| ProbeFailure::Internal("no way to any server".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::delegation::{NameServer, Source};

    #[tokio::test(start_paused = true)]
    async fn time_spent_waiting_for_our_own_sockets_is_our_trouble() {
        let config = ProbeConfig {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            in_flight: Some(0),
            ..ProbeConfig::default()
        };
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let known = Addresses::Known(vec![IpAddr::from([127, 0, 0, 4])]);
        let server = NameServer { name: name("ns.acme.test."), addresses: known };
        let cut = Arc::new(Delegation::new(name("acme.test."), vec![server], Source::Dns));
        let shared = Shared::new(config).unwrap();
        shared.cache.remember(Mode::Usual, cut.zone.clone(), &cut);
        let budget = Budget::new(60, shared.config.budgets.time);
        let sight = Inquiry::new(&shared, &budget, Mode::Usual).look(&name("_deed.acme.test.")).await;
        assert!(matches!(sight.failure, Some(ProbeFailure::Internal(_))), "{sight:?}");
        assert_eq!(sight.servers[0].reply, Reply::Fault(NetworkFault::Internal));
    }
}
