//! Looks where else a record may stand: asked only of zones that are known already, with few questions.
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deed_claims::{AliasOrigin, Elsewhere, Findings, Place, Reply, Serial, ServerAnswer, Statement};
use futures::future::join_all;
use hickory_proto::rr::{Name, RData, RecordType};

use crate::addresses::settled;
use crate::delegation::Delegation;
use crate::inquiry::{Inquiry, Sight};
use crate::response::{Response, text_of};
use crate::round::Next;
use crate::walk::{Nesting, Reach};
use crate::wire::{Recursion, Wanted};

/// Questions of one diagnosis.
pub(crate) const QUESTIONS: usize = 8;
/// Servers asked one of them: the second when the first does not answer.
const SERVERS: usize = 2;
/// Types that tell what a name without TXT records is there for.
const OTHER_TYPES: [RecordType; 2] = [RecordType::A, RecordType::MX];

/// What is being confirmed at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// A value was seen.
    Match,
    /// None was, and that has to be sure.
    Absence,
    Nothing,
}

/// Questions left for a confirmation, which matters more.
const SPARE: u32 = 24;

/// What was seen, and what it may still cost to find out more.
struct Diagnosis<'a> {
    inquiry: &'a Inquiry<'a>,
    name: &'a Name,
    apex: &'a Name,
    sight: &'a Sight,
    /// The zone around the name.
    home: &'a Arc<Delegation>,
    /// The zone around the registrable domain.
    apex_zone: Arc<Delegation>,
    left: AtomicUsize,
    /// Questions of the budget that are not its to spend.
    spare: u32,
}

/// Somewhere the record may stand instead.
struct Spot {
    place: Place,
    name: Name,
}

impl Inquiry<'_> {
    /// What stands elsewhere when none of the values was seen; and whether what was seen comes from a wildcard. Asks
    /// nothing where the look did not get to the end, or nobody answered.
    pub(crate) async fn diagnose(
        &self,
        name: &Name,
        apex: &Name,
        sight: &Sight,
        beside: Beside,
        questions: usize,
    ) -> Findings {
        let answered = sight.servers.iter().any(|row| matches!(row.reply, Reply::Message { .. }));
        let Some(home) = sight.home.as_ref().filter(|_| answered && sight.failure.is_none()) else {
            return Findings::default();
        };
        let apex_zone = if home.zone.zone_of(apex) {
            Arc::clone(home)
        } else {
            match self.enclosing(apex, Reach::Whole, Nesting::Outer).await {
                Ok(zone) => zone,
                Err(_) => return Findings::default(),
            }
        };
        let left = AtomicUsize::new(questions);
        let spare = if beside == Beside::Nothing { 0 } else { SPARE };
        let diagnosis = Diagnosis { inquiry: self, name, apex, sight, home, apex_zone, left, spare };
        match beside {
            Beside::Match => diagnosis.of_a_match().await,
            Beside::Absence | Beside::Nothing => diagnosis.of_an_absence().await,
        }
    }
}

impl Diagnosis<'_> {
    async fn of_a_match(&self) -> Findings {
        let (wildcard, serials, alias_origin) =
            tokio::join!(self.beside(self.name), self.serials(), self.alias_origin());
        Findings { wildcard, serials, alias_origin, ..Findings::default() }
    }

    /// Where the alias at the name comes from. All servers are asked, as for the name: one alone must not be able to
    /// hide a wildcard.
    async fn alias_origin(&self) -> AliasOrigin {
        let Some(target) = self.sight.aliases.first() else { return AliasOrigin::NotAsked };
        let Some(sibling) = sibling(self.name) else { return AliasOrigin::Unknown };
        let round = self.inquiry.ask_all(self.home, &sibling).await;
        match round.next() {
            Next::Follow(chain) | Next::Here(chain) if chain.targets.first() == Some(target) => {
                AliasOrigin::Wildcard
            }
            _ if round.is_answered() => AliasOrigin::Name,
            _ => AliasOrigin::Unknown,
        }
    }

    async fn of_an_absence(&self) -> Findings {
        let spots = self.spots();
        let (found, wildcard, other_types, alias_origin) = tokio::join!(
            join_all(spots.iter().map(|spot| self.values_at(&spot.name))),
            self.beside(self.name),
            self.other_types(),
            self.alias_origin(),
        );
        let found = spots.into_iter().zip(found).filter(|(_, values)| !values.is_empty());
        let elsewhere = join_all(found.map(|(spot, values)| self.with_control(spot, values, &wildcard)));
        let (elsewhere, serials) = tokio::join!(elsewhere, self.serials());
        Findings { elsewhere, other_types, wildcard, serials, alias_origin }
    }

    /// Where records are put by mistake, the likeliest first.
    fn spots(&self) -> Vec<Spot> {
        let mut spots: Vec<Spot> = vec![];
        let mut add = |place, name: Option<Name>| {
            let new = |name: &Name| name != self.name && spots.iter().all(|spot| spot.name != *name);
            if let Some(name) = name.filter(new) {
                spots.push(Spot { place, name });
            }
        };
        let label = self.name.iter().next().unwrap_or_default();
        let parent = self.name.base_name();
        add(Place::DoubledZone, doubled(self.name, &self.home.zone, self.apex));
        add(Place::Apex, Some(self.apex.clone()));
        add(Place::ParentLabel, label.strip_prefix(b"_").and_then(|bare| parent.prepend_label(bare).ok()));
        add(Place::ParentLabel, self.apex.prepend_label(label).ok());
        spots
    }

    async fn with_control(&self, spot: Spot, values: Vec<Vec<u8>>, wildcard: &[Vec<u8>]) -> Elsewhere {
        let control = if spot.place == Place::Apex {
            // It has no sibling in its zone.
            vec![]
        } else if spot.name.base_name() == self.name.base_name() {
            wildcard.to_vec()
        } else {
            self.beside(&spot.name).await
        };
        Elsewhere { place: spot.place, name: text_of(&spot.name), values, control }
    }

    /// The values at a sibling that nobody can have made.
    async fn beside(&self, name: &Name) -> Vec<Vec<u8>> {
        match sibling(name) {
            Some(sibling) => self.values_at(&sibling).await,
            None => vec![],
        }
    }

    async fn values_at(&self, name: &Name) -> Vec<Vec<u8>> {
        let Some(response) = self.ask(name, RecordType::TXT).await else { return vec![] };
        let budgets = &self.inquiry.shared.config.budgets;
        let chain = response.chain(name, budgets.aliases);
        let end = chain.targets.last().unwrap_or(name);
        response.texts(end, budgets.txt_records, budgets.txt_bytes).values
    }

    /// What stands at a name that exists without TXT records.
    async fn other_types(&self) -> Vec<String> {
        let no_data =
            |row: &ServerAnswer| matches!(&row.reply, Reply::Message { statement: Statement::NoData, .. });
        if !self.sight.aliases.is_empty() || !self.sight.servers.iter().any(no_data) {
            return vec![];
        }
        let asked = join_all(OTHER_TYPES.iter().map(|rtype| self.ask(self.name, *rtype))).await;
        let stands = |(rtype, response): &(&RecordType, Option<Response>)| {
            response
                .iter()
                .flat_map(Response::answers)
                .any(|r| r.name == *self.name && r.record_type() == **rtype)
        };
        OTHER_TYPES.iter().zip(asked).filter(stands).map(|(rtype, _)| rtype.to_string()).collect()
    }

    /// The zone's serial at each server, where they do not say the same.
    async fn serials(&self) -> Vec<Serial> {
        let telling: Vec<&ServerAnswer> =
            self.sight.servers.iter().filter(|row| said(row).is_some()).collect();
        let differ = telling.windows(2).any(|pair| said(pair[0]) != said(pair[1]));
        if !differ || !self.sight.aliases.is_empty() {
            return vec![];
        }
        let zone = text_of(&self.home.zone);
        let known = join_all(telling.iter().map(|row| async {
            let address = row.address?;
            let serial = match &row.reply {
                Reply::Message { soa: Some(soa), .. } if soa.owner == zone => soa.serial,
                _ => self.serial_at(address).await?,
            };
            Some(Serial { server: row.server.clone(), address, serial })
        }));
        known.await.into_iter().flatten().collect()
    }

    async fn serial_at(&self, address: IpAddr) -> Option<u32> {
        let peer = self.inquiry.in_order(self.home).into_iter().find(|p| p.address() == address)?;
        let wanted =
            Wanted { name: self.home.zone.clone(), rtype: RecordType::SOA, recursion: Recursion::No };
        self.pay()?;
        let response = self.inquiry.ask(peer, &wanted).await.result.ok()?;
        response.answers().filter(|r| r.name == wanted.name).find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        })
    }

    /// Asks a server of the zone around a name, one that has answered before if there is one. None without an answer
    /// that counts.
    async fn ask(&self, name: &Name, rtype: RecordType) -> Option<Response> {
        let zone = [self.home, &self.apex_zone]
            .into_iter()
            .filter(|cut| cut.zone.zone_of(name))
            .max_by_key(|cut| cut.zone.iter().len())?;
        let mut peers = self.inquiry.in_order(zone);
        peers.sort_by_key(|peer| !self.has_answered(peer.address()));
        let wanted = Wanted { name: name.clone(), rtype, recursion: Recursion::No };
        self.pay()?;
        for peer in peers.into_iter().take(SERVERS) {
            match self.inquiry.ask(peer, &wanted).await.result {
                Ok(response) if settled(&response) && response.authoritative() && !response.truncated() => {
                    return Some(response);
                }
                _ => {}
            }
        }
        None
    }

    fn has_answered(&self, address: IpAddr) -> bool {
        self.sight
            .servers
            .iter()
            .any(|row| row.address == Some(address) && matches!(row.reply, Reply::Message { .. }))
    }

    /// Takes one of the questions that are left.
    fn pay(&self) -> Option<()> {
        let take = |left: usize| left.checked_sub(1);
        let paid = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        (paid && self.inquiry.budget.left() > self.spare).then_some(())
    }
}

/// What a server said that counts: the kind of its statement, and its values, which are in canonical order.
fn said(row: &ServerAnswer) -> Option<(Statement, &[Vec<u8>])> {
    match &row.reply {
        Reply::Message { values, statement, .. } if *statement != Statement::Nothing => {
            Some((*statement, values))
        }
        _ => None,
    }
}

/// The name with the zone once more behind it, as editors make it that append the zone by themselves; a zone above the
/// registrable domain is nobody's to edit.
fn doubled(name: &Name, zone: &Name, apex: &Name) -> Option<Name> {
    let zone = if apex.zone_of(zone) { zone } else { apex };
    name.clone().append_name(zone).ok()
}

/// A name beside this one with a label that nobody can have guessed.
fn sibling(name: &Name) -> Option<Name> {
    let label = format!("_{:016x}", getrandom::u64().ok()?);
    name.base_name().prepend_label(label.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn the_doubled_name_is_the_one_an_editor_makes() {
        let of =
            |at: &str, zone: &str| doubled(&name(at), &name(zone), &name("acme.test.")).unwrap().to_ascii();
        assert_eq!(of("_deed.acme.test.", "acme.test."), "_deed.acme.test.acme.test.");
        assert_eq!(of("_v.www.acme.test.", "www.acme.test."), "_v.www.acme.test.www.acme.test.");
        assert_eq!(of("_deed.acme.test.", "test."), "_deed.acme.test.acme.test.");
        let long = name(&format!("{0}.{0}.{0}.acme.test.", "a".repeat(60)));
        let longer = name(&format!("{0}.acme.test.", "b".repeat(60)));
        assert!(doubled(&long, &longer, &name("acme.test.")).is_none());
    }

    #[test]
    fn siblings_differ_from_each_other() {
        let at = name("_deed.acme.test.");
        let (one, two) = (sibling(&at).unwrap(), sibling(&at).unwrap());
        assert!(one != two && one.base_name() == name("acme.test."), "{one} {two}");
    }
}
