//! The handle on the sandbox's contents: everything the control interface can do, in process.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hickory_proto::rr::{Name, RData, RecordType};
use tokio::sync::watch;

use crate::control::types::{FaultView, PutFault, PutRecords, PutZone, QueryView, RecordView, ZoneView};
use crate::error::InvalidInput;
use crate::fault::{Faults, NamePattern};
use crate::name::{parse_name, show_name};
use crate::namespace::{Namespace, RecordUpdate};
use crate::query_log::QueryLog;
use crate::rdata::{parse_served_type, parse_strings, parse_value, show_strings, show_type, show_value};
use crate::zone::{DEFAULT_TTL, MAX_TTL, RecordSet, Zone};

/// The zones, faults and query log of the sandbox. Clones share the same contents; a change applies to every query
/// that is read after it.
#[derive(Debug, Clone)]
pub struct Zones {
    state: Arc<SharedState>,
}

#[derive(Debug)]
struct SharedState {
    served: RwLock<Served>,
    log: Mutex<QueryLog>,
    asked: watch::Sender<u64>,
}

/// The state that answers are made from.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) namespace: Namespace,
    pub(crate) faults: Faults,
}

impl Zones {
    pub(crate) fn new(auto_zones: bool, address: IpAddr, query_log: usize) -> Self {
        let namespace = Namespace::new(auto_zones, address);
        let served = Served { namespace, faults: Faults::default() };
        Self {
            state: Arc::new(SharedState {
                served: RwLock::new(served),
                log: Mutex::new(QueryLog::new(query_log)),
                asked: watch::Sender::new(0),
            }),
        }
    }

    /// Creates a zone, or changes an existing one. Records of its parent at or below it become hidden.
    pub fn put_zone(&self, zone: &str, request: &PutZone) -> Result<ZoneView, InvalidInput> {
        let origin = lower_name("zone", zone)?;
        if request.soa_minimum.is_some_and(|minimum| minimum > MAX_TTL) {
            return Err(InvalidInput::new("soa_minimum", format!("must be at most {MAX_TTL}")));
        }
        let servers = match request.ns.as_deref() {
            Some([]) => return Err(InvalidInput::new("ns", "must name at least one server")),
            Some(ns) => Some(
                ns.iter()
                    .enumerate()
                    .map(|(index, name)| parse_name(&format!("ns[{index}]"), name))
                    .collect::<Result<Vec<_>, _>>()?,
            ),
            None => None,
        };
        self.write().namespace.put_zone(&origin, request.soa_minimum, servers).map(zone_view)
    }

    /// Removes a zone and its records; returns whether there was one. An automatic zone (`auto_zones`) stays removed
    /// until something is set in it again.
    pub fn delete_zone(&self, zone: &str) -> Result<bool, InvalidInput> {
        let origin = lower_name("zone", zone)?;
        Ok(self.write().namespace.delete_zone(&origin))
    }

    /// The zones that are stored.
    pub fn zones(&self) -> Vec<ZoneView> {
        self.read().namespace.zones().map(zone_view).collect()
    }

    /// Replaces the records of this type at this name.
    pub fn put_records(
        &self,
        name: &str,
        kind: &str,
        request: &PutRecords,
    ) -> Result<RecordView, InvalidInput> {
        self.update_records(name, kind, request, RecordUpdate::Replace)
    }

    /// Adds records to those of this type at this name.
    pub fn add_records(
        &self,
        name: &str,
        kind: &str,
        request: &PutRecords,
    ) -> Result<RecordView, InvalidInput> {
        self.update_records(name, kind, request, RecordUpdate::Add)
    }

    fn update_records(
        &self,
        name: &str,
        kind: &str,
        request: &PutRecords,
        update: RecordUpdate,
    ) -> Result<RecordView, InvalidInput> {
        let name = lower_name("name", name)?;
        let kind = parse_served_type("type", kind)?;
        let set = parse_set(kind, request)?;
        let mut served = self.write();
        let set = served.namespace.put_records(&name, kind, set, update)?;
        let zone = served.namespace.zone_for(&name);
        let origin = zone.map_or_else(Name::root, |zone| zone.origin().clone());
        Ok(record_view(&origin, &name, kind, &set))
    }

    /// Removes the records of this type at this name; returns whether there were any.
    pub fn delete_records(&self, name: &str, kind: &str) -> Result<bool, InvalidInput> {
        let name = lower_name("name", name)?;
        let kind = parse_served_type("type", kind)?;
        self.write().namespace.delete_records(&name, kind)
    }

    /// Every record set of the stored zones.
    pub fn records(&self) -> Vec<RecordView> {
        self.read().namespace.zones().flat_map(records_of).collect()
    }

    /// Sets a fault for a name, or for everything below it with `*.` in front. A fault matches the name of the query
    /// only, not the targets of CNAMEs.
    pub fn put_fault(&self, name: &str, request: &PutFault) -> Result<FaultView, InvalidInput> {
        let pattern = NamePattern::parse(name)?;
        self.write().faults.set(pattern, request)
    }

    /// Removes the faults that were set for exactly this name or pattern; returns whether there were any.
    pub fn delete_fault(&self, name: &str) -> Result<bool, InvalidInput> {
        let pattern = NamePattern::parse(name)?;
        Ok(self.write().faults.clear(&pattern))
    }

    /// Removes all faults.
    pub fn delete_faults(&self) {
        self.write().faults.clear_all();
    }

    pub fn faults(&self) -> Vec<FaultView> {
        self.read().faults.list()
    }

    /// The latest queries, oldest first: those after number `after`, for `name` if one is given.
    pub fn queries(&self, name: Option<&str>, after: u64) -> Vec<QueryView> {
        self.log().list(name.map(without_final_dot), after)
    }

    /// Waits at most `patience` for a query for `name` with a number above `after`.
    pub async fn wait_for_query(&self, name: &str, after: u64, patience: Duration) -> Option<QueryView> {
        let mut asked = self.state.asked.subscribe();
        let found = async {
            loop {
                asked.mark_unchanged();
                if let Some(entry) = self.queries(Some(name), after).into_iter().next() {
                    return Some(entry);
                }
                asked.changed().await.ok()?;
            }
        };
        tokio::time::timeout(patience, found).await.ok().flatten()
    }

    /// Removes zones, records, faults and logged queries.
    pub fn reset(&self) {
        let mut served = self.write();
        served.namespace.reset();
        served.faults.clear_all();
        drop(served);
        self.log().clear();
    }

    pub(crate) fn record_query(&self, entry: QueryView) {
        let seq = self.log().push(entry);
        self.state.asked.send_replace(seq);
    }

    // Poisoning is ignored: every change is one assignment, so a panic leaves no partial state.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Served> {
        self.state.served.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Served> {
        self.state.served.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, QueryLog> {
        self.state.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn without_final_dot(name: &str) -> &str {
    if name == "." { name } else { name.strip_suffix('.').unwrap_or(name) }
}

fn lower_name(field: &str, text: &str) -> Result<Name, InvalidInput> {
    parse_name(field, text).map(|name| name.to_lowercase())
}

fn parse_set(kind: RecordType, request: &PutRecords) -> Result<RecordSet, InvalidInput> {
    let ttl = request.ttl.unwrap_or(DEFAULT_TTL);
    if ttl > MAX_TTL {
        return Err(InvalidInput::new("ttl", format!("must be at most {MAX_TTL}")));
    }
    let data: Vec<RData> = match (request.values.as_deref(), request.strings.as_deref()) {
        (Some(values), None) => (0..)
            .zip(values)
            .map(|(index, value): (usize, _)| parse_value(&format!("values[{index}]"), kind, value))
            .collect::<Result<_, _>>()?,
        (None, Some(strings)) if kind == RecordType::TXT => (0..)
            .zip(strings)
            .map(|(index, strings): (usize, _)| parse_strings(&format!("strings[{index}]"), strings))
            .collect::<Result<_, _>>()?,
        (None, Some(_)) => return Err(InvalidInput::new("strings", "is for TXT only")),
        (Some(_), Some(_)) => return Err(InvalidInput::new("strings", "excludes `values`")),
        (None, None) => return Err(InvalidInput::new("values", "is missing")),
    };
    if data.is_empty() {
        return Err(InvalidInput::new("values", "must not be empty (DELETE removes records)"));
    }
    Ok(RecordSet { ttl, data })
}

fn zone_view(zone: &Zone) -> ZoneView {
    ZoneView {
        zone: show_name(zone.origin()),
        serial: zone.soa().serial,
        soa_minimum: zone.soa().minimum,
        ns: zone.servers().iter().map(show_name).collect(),
        record_sets: zone.nodes().map(|(_, node)| node.len()).sum(),
    }
}

fn records_of(zone: &Zone) -> Vec<RecordView> {
    let origin = zone.origin();
    let mut views = vec![record_view(origin, origin, RecordType::SOA, &zone.soa_set())];
    for (name, node) in zone.nodes() {
        views.extend(node.iter().map(|(kind, set)| record_view(origin, name, *kind, set)));
    }
    views
}

fn record_view(origin: &Name, name: &Name, kind: RecordType, set: &RecordSet) -> RecordView {
    RecordView {
        zone: show_name(origin),
        name: show_name(name),
        kind: show_type(kind),
        ttl: set.ttl,
        values: set.data.iter().map(show_value).collect(),
        strings: set.data.iter().map(show_strings).collect(),
    }
}
