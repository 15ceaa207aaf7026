//! One zone: its SOA, its record sets, and what exists in it.

use std::collections::BTreeMap;
use std::ops::Bound;

use hickory_proto::rr::rdata::{CNAME, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::error::InvalidInput;
use crate::name::{is_wildcard, lineage};

/// The default TTL in seconds; short, since people experiment here.
pub(crate) const DEFAULT_TTL: u32 = 5;
/// The largest TTL there is (RFC 2181 §8).
pub(crate) const MAX_TTL: u32 = i32::MAX as u32;

/// The records of one type at one name.
#[derive(Debug, Clone)]
pub(crate) struct RecordSet {
    pub(crate) ttl: u32,
    pub(crate) data: Vec<RData>,
}

impl RecordSet {
    /// The set as records of `owner`.
    pub(crate) fn records(&self, owner: &Name) -> impl Iterator<Item = Record> {
        self.data.iter().map(|data| Record::from_rdata(owner.clone(), self.ttl, data.clone()))
    }
}

pub(crate) type Node = BTreeMap<RecordType, RecordSet>;

/// The result of looking up a name in a zone.
pub(crate) enum ZoneLookup<'a> {
    /// The records at the name, or at the wildcard that covers it.
    Records(&'a Node),
    /// There is no record, but the name exists because another one is below it.
    EmptyNonTerminal,
    NxDomain,
}

#[derive(Debug, Clone)]
pub(crate) struct Zone {
    origin: Name,
    soa: SOA,
    soa_ttl: u32,
    // Canonical order: the names below a name follow it directly.
    nodes: BTreeMap<Name, Node>,
}

impl Zone {
    /// An empty zone that is served by `server`.
    pub(crate) fn new(origin: Name, server: &Name, contact: &Name) -> Self {
        let soa = SOA::new(server.clone(), contact.clone(), 1, 3600, 600, 86_400, DEFAULT_TTL);
        let mut zone = Self { origin, soa, soa_ttl: DEFAULT_TTL, nodes: BTreeMap::new() };
        zone.replace_servers(vec![server.clone()]);
        zone
    }

    pub(crate) fn origin(&self) -> &Name {
        &self.origin
    }

    pub(crate) fn soa(&self) -> &SOA {
        &self.soa
    }

    pub(crate) fn soa_set(&self) -> RecordSet {
        RecordSet { ttl: self.soa_ttl, data: vec![RData::SOA(self.soa.clone())] }
    }

    /// The SOA record of a negative answer: RFC 2308 §3 limits its TTL to the minimum field.
    pub(crate) fn negative_soa(&self) -> Record {
        let ttl = self.soa_ttl.min(self.soa.minimum);
        Record::from_rdata(self.origin.clone(), ttl, RData::SOA(self.soa.clone()))
    }

    pub(crate) fn node(&self, name: &Name) -> Option<&Node> {
        self.nodes.get(name)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&Name, &Node)> {
        self.nodes.iter()
    }

    /// Names of the servers at the apex.
    pub(crate) fn servers(&self) -> Vec<Name> {
        let set = self.nodes.get(&self.origin).and_then(|node| node.get(&RecordType::NS));
        set.map(|set| set.data.iter().filter_map(ns_target).cloned().collect()).unwrap_or_default()
    }

    /// The delegation at or above `name`, topmost first, not counting the apex.
    pub(crate) fn delegation(&self, name: &Name) -> Option<(&Name, &RecordSet)> {
        let mut path: Vec<Name> = lineage(name).take_while(|ancestor| *ancestor != self.origin).collect();
        path.reverse();
        path.iter().find_map(|ancestor| {
            let (owner, node) = self.nodes.get_key_value(ancestor)?;
            Some((owner, node.get(&RecordType::NS)?))
        })
    }

    /// Looks up a name of this zone. `is_above_zone` tells names that exist because a zone is below them.
    pub(crate) fn look_up(&self, name: &Name, is_above_zone: impl Fn(&Name) -> bool) -> ZoneLookup<'_> {
        let exists = |name: &Name| {
            *name == self.origin
                || self.nodes.contains_key(name)
                || self.has_below(name)
                || is_above_zone(name)
        };
        if let Some(node) = self.nodes.get(name) {
            return ZoneLookup::Records(node);
        }
        if exists(name) {
            return ZoneLookup::EmptyNonTerminal;
        }
        // RFC 4592 §3.3.1: only the wildcard right below the closest encloser counts.
        let encloser = lineage(name).skip(1).find(|ancestor| exists(ancestor));
        let wildcard = encloser.and_then(|encloser| encloser.prepend_label(b"*".as_slice()).ok());
        match wildcard {
            Some(wildcard) => match self.nodes.get(&wildcard) {
                Some(node) => ZoneLookup::Records(node),
                None if self.has_below(&wildcard) => ZoneLookup::EmptyNonTerminal,
                None => ZoneLookup::NxDomain,
            },
            None => ZoneLookup::NxDomain,
        }
    }

    fn has_below(&self, name: &Name) -> bool {
        let after = (Bound::Excluded(name), Bound::Unbounded);
        self.nodes.range::<Name, _>(after).next().is_some_and(|(next, _)| name.zone_of(next))
    }

    /// Whether `data` may be set at `name`, given the other types there.
    pub(crate) fn check(&self, name: &Name, kind: RecordType, data: &[RData]) -> Result<(), InvalidInput> {
        let at_apex = *name == self.origin;
        let present = self.nodes.get(name).into_iter().flat_map(Node::keys);
        let others: Vec<RecordType> = present.copied().filter(|other| *other != kind).collect();
        match kind {
            RecordType::SOA if !at_apex => {
                Err(InvalidInput::new("name", "is not the apex of a zone, where the SOA is"))
            }
            RecordType::SOA | RecordType::CNAME if data.len() != 1 => {
                Err(InvalidInput::new("values", "must be exactly one for this type"))
            }
            RecordType::CNAME if at_apex => {
                Err(InvalidInput::new("name", "is the apex of a zone, where no CNAME can be"))
            }
            RecordType::CNAME if !others.is_empty() => {
                Err(InvalidInput::new("name", "has other records; a CNAME must be alone"))
            }
            RecordType::NS if is_wildcard(name) => {
                Err(InvalidInput::new("name", "is a wildcard, which cannot be delegated"))
            }
            RecordType::CNAME | RecordType::SOA => Ok(()),
            _ if others.contains(&RecordType::CNAME) => {
                Err(InvalidInput::new("name", "has a CNAME, which must be alone"))
            }
            _ => Ok(()),
        }
    }

    /// Replaces the set and increments the serial; an SOA is stored as given, serial included.
    pub(crate) fn put(&mut self, name: &Name, kind: RecordType, set: RecordSet) {
        if let (RecordType::SOA, [RData::SOA(soa)]) = (kind, set.data.as_slice()) {
            self.soa = soa.clone();
            self.soa_ttl = set.ttl;
            return;
        }
        self.nodes.entry(name.clone()).or_default().insert(kind, set);
        self.bump();
    }

    /// Removes the set; returns whether there was one.
    pub(crate) fn remove(&mut self, name: &Name, kind: RecordType) -> bool {
        let Some(node) = self.nodes.get_mut(name) else {
            return false;
        };
        if node.remove(&kind).is_none() {
            return false;
        }
        if node.is_empty() {
            self.nodes.remove(name);
        }
        self.bump();
        true
    }

    pub(crate) fn set_minimum(&mut self, minimum: u32) {
        self.soa.minimum = minimum;
        self.soa_ttl = minimum;
    }

    pub(crate) fn replace_servers(&mut self, servers: Vec<Name>) {
        let data = servers.into_iter().map(|server| RData::NS(NS(server))).collect();
        let set = RecordSet { ttl: DEFAULT_TTL, data };
        self.nodes.entry(self.origin.clone()).or_default().insert(RecordType::NS, set);
    }

    /// RFC 1982: serials wrap; zero is left out because some software takes it for "none".
    pub(crate) fn bump(&mut self) {
        self.soa.serial = self.soa.serial.checked_add(1).unwrap_or(1);
    }
}

/// The server that an NS record points to.
pub(crate) fn ns_target(data: &RData) -> Option<&Name> {
    match data {
        RData::NS(NS(target)) => Some(target),
        _ => None,
    }
}

/// The name that a CNAME record points to.
pub(crate) fn cname_target(set: &RecordSet) -> Option<&Name> {
    match set.data.first() {
        Some(RData::CNAME(CNAME(target))) => Some(target),
        _ => None,
    }
}
