//! Searches for the record at the places where it is put by mistake: only in zones that are known already, with few
//! queries.
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deed_diagnosis::{AliasOrigin, Elsewhere, Findings, Place, Reply, Serial, ServerAnswer, Statement};
use futures::future::join_all;
use hickory_proto::rr::{Name, RData, RecordType};

use crate::delegation::Delegation;
use crate::follow_aliases::LookupResult;
use crate::lookup::{Lookup, Nesting, WalkDepth};
use crate::query_all::Consensus;
use crate::response::{Response, text_of};
use crate::wire::{DnsQuery, Recursion};

/// Queries of one search.
pub(crate) const QUERIES: usize = 8;
/// Servers tried per query: the second when the first does not answer.
const SERVERS_PER_QUERY: usize = 2;
/// Types that show what a name without TXT records is used for.
const OTHER_TYPES: [RecordType; 2] = [RecordType::A, RecordType::MX];

/// What has to be confirmed after the first lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FollowUp {
    /// One of the expected values was seen.
    Match,
    /// None was seen, and the absence has to be certain.
    Absence,
    None,
}

/// Queries left for the confirmation, which matters more.
const CONFIRMATION_RESERVE: u32 = 24;

/// One search: what the first lookup saw, and the queries that are left.
struct FindingsSearch<'a> {
    lookup: &'a Lookup<'a>,
    name: &'a Name,
    apex: &'a Name,
    result: &'a LookupResult,
    /// The zone around the name.
    home: &'a Arc<Delegation>,
    /// The zone around the registrable domain.
    apex_zone: Arc<Delegation>,
    left: AtomicUsize,
    /// Queries of the budget that are reserved for the confirmation.
    reserve: u32,
}

/// A name where the record may have been put by mistake.
struct LikelyPlace {
    place: Place,
    name: Name,
}

impl Lookup<'_> {
    /// The records found elsewhere when none of the values was seen; and whether what was seen comes from a wildcard.
    /// Sends nothing where the lookup failed or no server answered.
    pub(crate) async fn findings(
        &self,
        name: &Name,
        apex: &Name,
        result: &LookupResult,
        follow_up: FollowUp,
        queries: usize,
    ) -> Findings {
        let answered = result.servers.iter().any(|row| matches!(row.reply, Reply::Message { .. }));
        let Some(home) = result.home.as_ref().filter(|_| answered && result.failure.is_none()) else {
            return Findings::default();
        };
        let apex_zone = if home.zone.zone_of(apex) {
            Arc::clone(home)
        } else {
            match self.enclosing_zone(apex, WalkDepth::ToName, Nesting::Outer).await {
                Ok(zone) => zone,
                Err(_) => return Findings::default(),
            }
        };
        let left = AtomicUsize::new(queries);
        let reserve = if follow_up == FollowUp::None { 0 } else { CONFIRMATION_RESERVE };
        let search = FindingsSearch { lookup: self, name, apex, result, home, apex_zone, left, reserve };
        match follow_up {
            FollowUp::Match => search.of_a_match().await,
            FollowUp::Absence | FollowUp::None => search.of_an_absence().await,
        }
    }
}

impl FindingsSearch<'_> {
    async fn of_a_match(&self) -> Findings {
        let (wildcard, serials, alias_origin) =
            tokio::join!(self.sibling_values(self.name), self.serials(), self.alias_origin());
        Findings { wildcard, serials, alias_origin, ..Findings::default() }
    }

    /// The origin of the alias at the name. All servers are queried, as for the name itself: one server alone must
    /// not be able to hide a wildcard.
    async fn alias_origin(&self) -> AliasOrigin {
        let Some(target) = self.result.aliases.first() else { return AliasOrigin::NotAsked };
        let Some(sibling) = sibling(self.name) else { return AliasOrigin::Unknown };
        let responses = self.lookup.query_all(self.home, &sibling).await;
        match responses.consensus() {
            Consensus::FollowAlias(chain) | Consensus::Answer(chain)
                if chain.targets.first() == Some(target) =>
            {
                AliasOrigin::Wildcard
            }
            _ if responses.is_answered() => AliasOrigin::Name,
            _ => AliasOrigin::Unknown,
        }
    }

    async fn of_an_absence(&self) -> Findings {
        let places = self.places();
        let (found, sibling, other_types) = tokio::join!(
            join_all(places.iter().map(|place| self.values_at(&place.name))),
            self.sibling_response(self.name),
            self.other_types(),
        );
        let (wildcard, alias_origin) = match &sibling {
            Some((sibling, response)) => {
                (self.values_of(sibling, response), self.alias_origin_by(sibling, response))
            }
            None => (vec![], AliasOrigin::NotAsked),
        };
        let found = places.into_iter().zip(found).filter(|(_, values)| !values.is_empty());
        let elsewhere = join_all(found.map(|(place, values)| self.with_control(place, values, &wildcard)));
        let (elsewhere, serials) = tokio::join!(elsewhere, self.serials());
        Findings { elsewhere, other_types, wildcard, serials, alias_origin }
    }

    /// The names where records are put by mistake, the likeliest first.
    fn places(&self) -> Vec<LikelyPlace> {
        let mut places: Vec<LikelyPlace> = vec![];
        let mut add = |place, name: Option<Name>| {
            let new = |name: &Name| name != self.name && places.iter().all(|place| place.name != *name);
            if let Some(name) = name.filter(new) {
                places.push(LikelyPlace { place, name });
            }
        };
        let label = self.name.iter().next().unwrap_or_default();
        let parent = self.name.base_name();
        add(Place::DoubledZone, doubled(self.name, &self.home.zone, self.apex));
        add(Place::Apex, Some(self.apex.clone()));
        add(Place::ParentLabel, label.strip_prefix(b"_").and_then(|bare| parent.prepend_label(bare).ok()));
        add(Place::ParentLabel, self.apex.prepend_label(label).ok());
        places
    }

    async fn with_control(
        &self,
        place: LikelyPlace,
        values: Vec<Vec<u8>>,
        wildcard: &[Vec<u8>],
    ) -> Elsewhere {
        let control = if place.place == Place::Apex {
            // The apex has no sibling in its zone.
            vec![]
        } else if place.name.base_name() == self.name.base_name() {
            wildcard.to_vec()
        } else {
            self.sibling_values(&place.name).await
        };
        Elsewhere { place: place.place, name: text_of(&place.name), values, control }
    }

    /// A random sibling name and the response for it, to which only a wildcard can give records.
    async fn sibling_response(&self, name: &Name) -> Option<(Name, Response)> {
        let sibling = sibling(name)?;
        let response = self.query(&sibling, RecordType::TXT).await?;
        Some((sibling, response))
    }

    async fn sibling_values(&self, name: &Name) -> Vec<Vec<u8>> {
        let response = self.sibling_response(name).await;
        response.map_or_else(Vec::new, |(sibling, response)| self.values_of(&sibling, &response))
    }

    /// The origin of the alias at the name by the word of one server, which is enough where nothing is proven by it.
    fn alias_origin_by(&self, sibling: &Name, response: &Response) -> AliasOrigin {
        let Some(target) = self.result.aliases.first() else { return AliasOrigin::NotAsked };
        let chain = response.chain(sibling, self.lookup.shared.config.budgets.aliases);
        if chain.targets.first() == Some(target) { AliasOrigin::Wildcard } else { AliasOrigin::Name }
    }

    async fn values_at(&self, name: &Name) -> Vec<Vec<u8>> {
        match self.query(name, RecordType::TXT).await {
            Some(response) => self.values_of(name, &response),
            None => vec![],
        }
    }

    fn values_of(&self, name: &Name, response: &Response) -> Vec<Vec<u8>> {
        let budgets = &self.lookup.shared.config.budgets;
        let chain = response.chain(name, budgets.aliases);
        response.txt_values(chain.end(name), budgets).values
    }

    /// The other record types at a name that exists without TXT records.
    async fn other_types(&self) -> Vec<String> {
        let no_data =
            |row: &ServerAnswer| matches!(&row.reply, Reply::Message { statement: Statement::NoData, .. });
        if !self.result.aliases.is_empty() || !self.result.servers.iter().any(no_data) {
            return vec![];
        }
        let asked = join_all(OTHER_TYPES.iter().map(|rtype| self.query(self.name, *rtype))).await;
        let stands = |(rtype, response): &(&RecordType, Option<Response>)| {
            response
                .iter()
                .flat_map(Response::answers)
                .any(|r| r.name == *self.name && r.record_type() == **rtype)
        };
        OTHER_TYPES.iter().zip(asked).filter(stands).map(|(rtype, _)| rtype.to_string()).collect()
    }

    /// The zone's serial at each server, where the servers give different answers.
    async fn serials(&self) -> Vec<Serial> {
        let telling: Vec<&ServerAnswer> =
            self.result.servers.iter().filter(|row| usable_answer(row).is_some()).collect();
        let differ = telling.windows(2).any(|pair| usable_answer(pair[0]) != usable_answer(pair[1]));
        if !differ || !self.result.aliases.is_empty() {
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
        let peer = self.lookup.in_canonical_order(self.home).into_iter().find(|p| p.address() == address)?;
        let query =
            DnsQuery { name: self.home.zone.clone(), rtype: RecordType::SOA, recursion: Recursion::No };
        self.take_query()?;
        let response = self.lookup.query(peer, &query).await.result.ok()?;
        response.answers().filter(|r| r.name == query.name).find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        })
    }

    /// Queries a server of the zone around a name, preferably one that has answered before. None without a usable
    /// answer.
    async fn query(&self, name: &Name, rtype: RecordType) -> Option<Response> {
        let zone = [self.home, &self.apex_zone]
            .into_iter()
            .filter(|cut| cut.zone.zone_of(name))
            .max_by_key(|cut| cut.zone.iter().len())?;
        let mut peers = self.lookup.in_canonical_order(zone);
        peers.sort_by_key(|peer| !self.has_answered(peer.address()));
        let query = DnsQuery { name: name.clone(), rtype, recursion: Recursion::No };
        self.take_query()?;
        for peer in peers.into_iter().take(SERVERS_PER_QUERY) {
            match self.lookup.query(peer, &query).await.result {
                Ok(response)
                    if response.is_conclusive() && response.authoritative() && !response.truncated() =>
                {
                    return Some(response);
                }
                _ => {}
            }
        }
        None
    }

    fn has_answered(&self, address: IpAddr) -> bool {
        self.result
            .servers
            .iter()
            .any(|row| row.address == Some(address) && matches!(row.reply, Reply::Message { .. }))
    }

    /// Takes one of the queries that are left.
    fn take_query(&self) -> Option<()> {
        let take = |left: usize| left.checked_sub(1);
        let paid = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        (paid && self.lookup.budget.left() > self.reserve).then_some(())
    }
}

/// The usable part of a server's answer: its statement, and its values in canonical order.
fn usable_answer(row: &ServerAnswer) -> Option<(Statement, &[Vec<u8>])> {
    match &row.reply {
        Reply::Message { values, statement, .. } if *statement != Statement::Nothing => {
            Some((*statement, values))
        }
        _ => None,
    }
}

/// The name with the zone appended once more, as DNS editors do that append the zone by themselves. A zone above the
/// registrable domain is not the claimant's to edit.
fn doubled(name: &Name, zone: &Name, apex: &Name) -> Option<Name> {
    let zone = if apex.zone_of(zone) { zone } else { apex };
    name.clone().append_name(zone).ok()
}

/// A sibling of this name with a random label.
fn sibling(name: &Name) -> Option<Name> {
    let label = format!("_{:016x}", rand::random::<u64>());
    name.base_name().prepend_label(label.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn doubles_zone_as_dns_editors_do() {
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
