//! All zones together: which one holds a name, and every change to them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;

use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::error::InvalidInput;
use crate::name::{is_automatic_zone, is_wildcard, lineage};
use crate::zone::{DEFAULT_TTL, RecordSet, Zone};

/// The zones of the sandbox. With `auto_zones` there is a zone at the root, at every public suffix and at every
/// registrable domain without being stored: queries never grow the memory, the first change stores the zone.
#[derive(Debug)]
pub(crate) struct Namespace {
    auto_zones: bool,
    address: IpAddr,
    server: Name,
    contact: Name,
    zones: BTreeMap<Name, Zone>,
    removed: BTreeSet<Name>,
}

impl Namespace {
    /// `address` is where this server answers: the glue of the default name server of all zones.
    pub(crate) fn new(auto_zones: bool, address: IpAddr) -> Self {
        let home = label(&label(&Name::root(), b"invalid"), b"sandbox");
        let mut namespace = Self {
            auto_zones,
            address,
            server: label(&home, b"ns1"),
            contact: label(&home, b"hostmaster"),
            zones: BTreeMap::new(),
            removed: BTreeSet::new(),
        };
        namespace.reset();
        namespace
    }

    /// Removes everything but the zone of the server's own name.
    pub(crate) fn reset(&mut self) {
        self.zones.clear();
        self.removed.clear();
        let home = self.server.base_name();
        let mut zone = self.empty_zone(home.clone());
        let (kind, data) = match self.address {
            IpAddr::V4(address) => (RecordType::A, RData::A(A(address))),
            IpAddr::V6(address) => (RecordType::AAAA, RData::AAAA(AAAA(address))),
        };
        zone.put(&self.server, kind, RecordSet { ttl: DEFAULT_TTL, data: vec![data] });
        self.zones.insert(home, zone);
    }

    fn empty_zone(&self, origin: Name) -> Zone {
        Zone::new(origin, &self.server, &self.contact)
    }

    /// The deepest zone that `name` lies in.
    pub(crate) fn zone_for(&self, name: &Name) -> Option<Cow<'_, Zone>> {
        lineage(name).find_map(|origin| match self.zones.get(&origin) {
            Some(zone) => Some(Cow::Borrowed(zone)),
            None if self.is_automatic(&origin) && !self.removed.contains(&origin) => {
                Some(Cow::Owned(self.empty_zone(origin)))
            }
            None => None,
        })
    }

    fn is_automatic(&self, origin: &Name) -> bool {
        self.auto_zones && is_automatic_zone(origin)
    }

    /// Whether a stored zone is at `name` or below it, which makes the name exist in its parent.
    pub(crate) fn is_above_zone(&self, name: &Name) -> bool {
        let from = (Bound::Included(name), Bound::Unbounded);
        self.zones.range::<Name, _>(from).next().is_some_and(|(origin, _)| name.zone_of(origin))
    }

    /// The addresses of a host in any zone here, also below a delegation, where they are glue.
    pub(crate) fn addresses(&self, host: &Name) -> Vec<Record> {
        let Some(zone) = self.zone_for(host) else {
            return Vec::new();
        };
        let Some(node) = zone.node(host) else {
            return Vec::new();
        };
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| node.get(&kind))
            .flat_map(|set| set.records(host).collect::<Vec<_>>())
            .collect()
    }

    pub(crate) fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.values()
    }

    /// Creates a zone, or changes the given fields of an existing one.
    pub(crate) fn put_zone(
        &mut self,
        origin: &Name,
        soa_minimum: Option<u32>,
        servers: Option<Vec<Name>>,
    ) -> Result<&Zone, InvalidInput> {
        if is_wildcard(origin) {
            return Err(InvalidInput::new("zone", "is a wildcard, which cannot be a zone"));
        }
        let zone = self.stored(origin);
        if let Some(minimum) = soa_minimum {
            zone.set_minimum(minimum);
        }
        if let Some(servers) = servers {
            zone.replace_servers(servers);
        }
        zone.bump();
        Ok(zone)
    }

    /// Removes a zone with all its records. An automatic zone stays removed until something is set in it.
    pub(crate) fn delete_zone(&mut self, origin: &Name) -> bool {
        let was_stored = self.zones.remove(origin).is_some();
        let was_automatic = self.is_automatic(origin) && self.removed.insert(origin.clone());
        was_stored || was_automatic
    }

    /// Replaces a record set, or with `RecordUpdate::Add` extends it.
    pub(crate) fn put_records(
        &mut self,
        name: &Name,
        kind: RecordType,
        set: RecordSet,
        update: RecordUpdate,
    ) -> Result<RecordSet, InvalidInput> {
        let origin = self.origin_for_change(name).ok_or_else(|| {
            InvalidInput::new("name", "lies in no zone of this server (create one with PUT /zones/{zone})")
        })?;
        let existing = self.zones.get(&origin).and_then(|zone| zone.node(name)?.get(&kind));
        let set = match (update, existing) {
            (RecordUpdate::Add, Some(existing)) if kind != RecordType::SOA => merged(existing, set),
            _ => merged(&RecordSet { ttl: set.ttl, data: Vec::new() }, set),
        };
        match self.zones.get(&origin) {
            Some(zone) => zone.check(name, kind, &set.data)?,
            None => self.empty_zone(origin.clone()).check(name, kind, &set.data)?,
        }
        self.stored(&origin).put(name, kind, set.clone());
        Ok(set)
    }

    /// Removes a record set; returns whether there was one.
    pub(crate) fn delete_records(&mut self, name: &Name, kind: RecordType) -> Result<bool, InvalidInput> {
        if kind == RecordType::SOA {
            return Err(InvalidInput::new("type", "must not be SOA: a zone always has one"));
        }
        let Some(zone) = self.zone_for(name) else {
            return Ok(false);
        };
        if !zone.node(name).is_some_and(|node| node.contains_key(&kind)) {
            return Ok(false);
        }
        let origin = zone.origin().clone();
        Ok(self.stored(&origin).remove(name, kind))
    }

    /// The zone that a change at `name` goes to: like `zone_for`, but a removed zone is restored.
    fn origin_for_change(&self, name: &Name) -> Option<Name> {
        lineage(name).find(|origin| self.zones.contains_key(origin) || self.is_automatic(origin))
    }

    fn stored(&mut self, origin: &Name) -> &mut Zone {
        self.removed.remove(origin);
        let empty = Zone::new(origin.to_lowercase(), &self.server, &self.contact);
        self.zones.entry(origin.clone()).or_insert(empty)
    }
}

/// Whether new values replace the old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordUpdate {
    Replace,
    Add,
}

/// A set has no duplicates (RFC 2181 §5) and one TTL, the newest.
fn merged(existing: &RecordSet, added: RecordSet) -> RecordSet {
    let mut data = existing.data.clone();
    for value in added.data {
        if !data.contains(&value) {
            data.push(value);
        }
    }
    RecordSet { ttl: added.ttl, data }
}

#[expect(clippy::expect_used, reason = "three short fixed labels always fit into a name")]
fn label(parent: &Name, label: &[u8]) -> Name {
    parent.prepend_label(label).expect("a short label fits")
}
