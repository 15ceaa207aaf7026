//! Answers that no single name server of a zone may decide: delegations and addresses below the registries.
//!
//! Whoever runs one of a zone's name servers, perhaps because its name was given up and registered anew, could otherwise
//! lead a whole check to servers of their own, whenever their server happens to be asked.
use deed_claims::name::is_registry;
use deed_claims::{Reply, ServerAnswer};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use hickory_proto::rr::Name;
use tokio::time::{Instant, sleep_until};

use crate::delegation::{Delegation, Step, agreed, step};
use crate::egress::Peer;
use crate::exchange::{Heard, Silence};
use crate::inquiry::Inquiry;
use crate::response::{Response, text_of};
use crate::servers::server_answer;
use crate::walk::{Dead, Useless, prevailing};
use crate::wire::Wanted;

impl Inquiry<'_> {
    /// The step that most of a zone's name servers tell; those that tell another one are remembered with the zone below.
    pub(crate) async fn step_of_most(&self, cut: &Delegation, wanted: &Wanted) -> Result<Step, Dead> {
        let asked = self.ask_each(cut, wanted).await?;
        let most = self.shared.config.budgets.ns_read;
        let mut told: Vec<(ServerAnswer, Step)> = vec![];
        let mut useless = vec![];
        for (server, peer, heard) in asked {
            match &heard.result {
                Ok(response) => match step(response, &cut.zone, &wanted.name, most) {
                    Some(step) => told.push((self.answer_of(&server, peer, &heard, &cut.zone, wanted), step)),
                    None => useless.push(Useless::Rcode(response.rcode())),
                },
                Err(Silence::Exhausted) => return Err(Dead::Exhausted),
                Err(Silence::Fault(fault)) => useless.push(Useless::Fault(*fault)),
                Err(Silence::Blocked) => {}
            }
        }
        let kind = prevailing(told.iter().map(|(_, step)| step.family())).ok_or(Dead::Useless(useless))?;
        let delegations: Vec<&Delegation> = told.iter().filter_map(|(_, step)| step.delegation()).collect();
        let below = agreed(&delegations).filter(|_| kind == Family::Cut);
        let Some(mut below) = below else {
            let step = told.into_iter().find(|(_, step)| step.family() == kind);
            return step.map(|(_, step)| step).ok_or(Dead::Blocked);
        };
        below.dissent.clone_from(&cut.dissent);
        let other = |step: &Step| step.delegation().is_none_or(|other| !other.has_servers_of(&below));
        let dissent: Vec<ServerAnswer> =
            told.iter().filter(|(_, step)| other(step)).map(|(answer, _)| answer.clone()).collect();
        below.dissent.extend(dissent);
        let shared = told.iter().any(|(_, step)| matches!(step, Step::Shared(_)));
        Ok(if shared { Step::Shared(below) } else { Step::Referred(below) })
    }

    /// Asks one address of each name server at the same time.
    async fn ask_each(&self, cut: &Delegation, wanted: &Wanted) -> Result<Vec<(Name, Peer, Heard)>, Dead> {
        let mut each = self.one_of_each(cut);
        if each.is_empty() {
            return Err(Dead::Blocked);
        }
        each.truncate(self.shared.config.budgets.servers);
        let asked = each.into_iter().map(|(server, peer)| async move {
            let heard = self.ask(peer, wanted).await;
            (server, peer, heard)
        });
        Ok(join_all(asked).await)
    }

    fn answer_of(
        &self,
        server: &Name,
        peer: Peer,
        heard: &Heard,
        zone: &Name,
        wanted: &Wanted,
    ) -> ServerAnswer {
        let reply = self.read(heard, zone, &wanted.name).map_or(Reply::Blocked, |reading| reading.reply);
        server_answer(server, peer, heard, reply)
    }

    /// What a zone's name servers say: the first usable answer of a registry's, what [`Self::agreed_of`] finds below.
    ///
    /// `read` tells what of an answer counts, in a form that can be compared.
    pub(crate) async fn told_by<T: Ord>(
        &self,
        cut: &Delegation,
        wanted: &Wanted,
        read: impl Fn(&Response) -> Option<T>,
    ) -> Result<T, Dead> {
        if is_registry(&text_of(&cut.zone)) {
            self.first_of(cut, wanted, |response| read(&response)).await.map(|(answer, _)| answer)
        } else {
            self.agreed_of(cut, wanted, read).await
        }
    }

    /// The answer that two name servers agree on; where the first two differ, the one that most of them give. One
    /// answer is enough where no other name server gives any.
    async fn agreed_of<T: Ord>(
        &self,
        cut: &Delegation,
        wanted: &Wanted,
        read: impl Fn(&Response) -> Option<T>,
    ) -> Result<T, Dead> {
        let mut each = self.one_of_each(cut);
        if each.is_empty() {
            return Err(Dead::Blocked);
        }
        each.truncate(self.shared.config.budgets.servers);
        let mut waiting = each.into_iter().map(|(_, peer)| peer);
        let patience = self.shared.config.udp_timeout / 3;
        let mut running = FuturesUnordered::new();
        running.extend(waiting.by_ref().take(AGREE).map(|peer| self.ask(peer, wanted)));
        let (mut told, mut useless): (Vec<T>, Vec<Useless>) = (vec![], vec![]);
        let mut next = Instant::now() + patience;
        loop {
            let missing =
                AGREE.saturating_sub(told.len() + running.len()).max(usize::from(Instant::now() >= next));
            // Once they differ, everybody is heard.
            let missing = if differ(&told) { usize::MAX } else { missing };
            running.extend(waiting.by_ref().take(missing).map(|peer| self.ask(peer, wanted)));
            if Instant::now() >= next {
                next = Instant::now() + patience;
            }
            if running.is_empty() {
                told.sort_unstable();
                return prevailing(told.into_iter()).ok_or(Dead::Useless(useless));
            }
            let heard = tokio::select! {
                heard = running.next() => heard,
                () = sleep_until(next), if waiting.len() > 0 => None,
            };
            match heard.map(|heard| heard.result) {
                None | Some(Err(Silence::Blocked)) => {}
                Some(Err(Silence::Exhausted)) => return Err(Dead::Exhausted),
                Some(Err(Silence::Fault(fault))) => useless.push(Useless::Fault(fault)),
                Some(Ok(response)) => match read(&response) {
                    Some(answer) => told.push(answer),
                    None => useless.push(Useless::Rcode(response.rcode())),
                },
            }
            if told.len() >= AGREE && !differ(&told) {
                return Ok(told.swap_remove(0));
            }
        }
    }
}

/// Name servers that have to agree before the others need not be heard.
const AGREE: usize = 2;

fn differ<T: PartialEq>(told: &[T]) -> bool {
    told.windows(2).any(|pair| pair[0] != pair[1])
}

/// What a step says, apart from which servers a zone below has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Cut,
    NoCut,
    Denied,
    Alias,
}

impl Step {
    fn family(&self) -> Family {
        match self {
            Self::Referred(_) | Self::Shared(_) => Family::Cut,
            Self::NoCut => Family::NoCut,
            Self::Denied => Family::Denied,
            Self::Alias => Family::Alias,
        }
    }

    fn delegation(&self) -> Option<&Delegation> {
        match self {
            Self::Referred(below) | Self::Shared(below) => Some(below),
            Self::NoCut | Self::Denied | Self::Alias => None,
        }
    }
}
