//! The configured faults, and which of them applies to a query.

use std::collections::BTreeMap;
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};

use crate::control::types::{FaultKind, FaultTransport, FaultView, PutFault, Transport};
use crate::error::InvalidInput;
use crate::name::{lineage, parse_name, show_name};
use crate::rdata::{parse_asked_type, show_type};

/// The longest delay of an answer: longer than any client waits.
pub(crate) const MAX_DELAY: Duration = Duration::from_mins(1);

/// The names that a fault applies to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NamePattern {
    Exact(Name),
    /// Every name below, excluding the name itself.
    Below(Name),
}

impl NamePattern {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidInput> {
        match text.strip_prefix("*.") {
            Some("") => Ok(Self::Below(Name::root())),
            Some(parent) => Ok(Self::Below(parse_name("name", parent)?)),
            None => Ok(Self::Exact(parse_name("name", text)?)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Exact(name) => show_name(name),
            Self::Below(name) if name.is_root() => "*.".to_owned(),
            Self::Below(name) => format!("*.{}", show_name(name)),
        }
    }
}

/// The other conditions of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Condition {
    transport: FaultTransport,
    kind: Option<RecordType>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) delay: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: BTreeMap<NamePattern, BTreeMap<Condition, Fault>>,
}

impl Faults {
    /// Sets a fault; it replaces one with the same pattern, transport and type.
    pub(crate) fn set(
        &mut self,
        pattern: NamePattern,
        request: &PutFault,
    ) -> Result<FaultView, InvalidInput> {
        let delay = match (request.fault, request.ms) {
            (FaultKind::Delay, None) => return Err(InvalidInput::new("ms", "is needed for a delay")),
            (FaultKind::Delay, Some(ms)) => Duration::from_millis(ms),
            (_, Some(_)) => return Err(InvalidInput::new("ms", "is for a delay only")),
            (_, None) => Duration::ZERO,
        };
        if delay > MAX_DELAY {
            return Err(InvalidInput::new("ms", format!("must be at most {}", MAX_DELAY.as_millis())));
        }
        let inapplicable = match request.fault {
            FaultKind::Truncate => Some(FaultTransport::Tcp),
            FaultKind::TcpRefuse => Some(FaultTransport::Udp),
            _ => None,
        };
        if inapplicable == Some(request.transport) {
            return Err(InvalidInput::new("transport", "does not apply to this fault"));
        }
        let kind = request.kind.as_deref().map(|text| parse_asked_type("type", text)).transpose()?;
        let condition = Condition { transport: request.transport, kind };
        let fault = Fault { kind: request.fault, delay };
        let view = view(&pattern, condition, fault);
        self.rules.entry(pattern).or_default().insert(condition, fault);
        Ok(view)
    }

    /// Removes the faults of a pattern; returns whether there were any.
    pub(crate) fn clear(&mut self, pattern: &NamePattern) -> bool {
        self.rules.remove(pattern).is_some()
    }

    pub(crate) fn clear_all(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn list(&self) -> Vec<FaultView> {
        let rules = self.rules.iter();
        rules
            .flat_map(|(pattern, rules)| {
                rules.iter().map(|(condition, fault)| view(pattern, *condition, *fault))
            })
            .collect()
    }

    /// The fault for a query: an exact pattern first, then the pattern of the nearest name above; within a pattern, a
    /// fault for this transport and this type before more general ones.
    pub(crate) fn find(&self, transport: Transport, name: &Name, kind: RecordType) -> Option<Fault> {
        if self.rules.is_empty() {
            return None;
        }
        let above = lineage(name).skip(1).map(NamePattern::Below);
        std::iter::once(NamePattern::Exact(name.clone()))
            .chain(above)
            .filter_map(|pattern| self.rules.get(&pattern))
            .find_map(|rules| most_specific(rules, transport, kind))
    }

    /// Whether TCP connections are refused whatever is queried over them.
    pub(crate) fn refuses_tcp(&self) -> bool {
        self.rules.get(&NamePattern::Below(Name::root())).is_some_and(|rules| {
            let general = rules.iter().filter(|(condition, _)| condition.kind.is_none());
            general.into_iter().any(|(_, fault)| fault.kind == FaultKind::TcpRefuse)
        })
    }
}

fn most_specific(
    rules: &BTreeMap<Condition, Fault>,
    transport: Transport,
    kind: RecordType,
) -> Option<Fault> {
    let this = match transport {
        Transport::Udp => FaultTransport::Udp,
        Transport::Tcp => FaultTransport::Tcp,
    };
    [(this, Some(kind)), (FaultTransport::Both, Some(kind)), (this, None), (FaultTransport::Both, None)]
        .into_iter()
        .filter_map(|(transport, kind)| rules.get(&Condition { transport, kind }).copied())
        .find(|fault| applies(fault.kind, transport))
}

/// Some faults make sense on one transport only, even when they are set for both.
fn applies(kind: FaultKind, transport: Transport) -> bool {
    match kind {
        FaultKind::Truncate => transport == Transport::Udp,
        FaultKind::TcpRefuse => transport == Transport::Tcp,
        _ => true,
    }
}

fn view(pattern: &NamePattern, condition: Condition, fault: Fault) -> FaultView {
    let ms =
        (fault.kind == FaultKind::Delay).then(|| u64::try_from(fault.delay.as_millis()).unwrap_or(u64::MAX));
    let request = PutFault {
        fault: fault.kind,
        ms,
        transport: condition.transport,
        kind: condition.kind.map(show_type),
    };
    FaultView { name: pattern.show(), fault: request }
}

#[cfg(test)]
mod tests {
    use RecordType::{A, TXT};
    use Transport::{Tcp, Udp};

    use super::*;

    fn found(faults: &Faults, transport: Transport, name: &str, kind: RecordType) -> Option<FaultKind> {
        faults.find(transport, &parse_name("name", name).unwrap(), kind).map(|fault| fault.kind)
    }

    fn set(faults: &mut Faults, name: &str, request: &PutFault) {
        faults.set(NamePattern::parse(name).unwrap(), request).unwrap();
    }

    #[test]
    fn nearest_and_most_specific_fault_applies() {
        let mut faults = Faults::default();
        set(&mut faults, "*.", &PutFault::new(FaultKind::Refused));
        set(&mut faults, "*.com", &PutFault::new(FaultKind::Drop).over(FaultTransport::Udp));
        set(&mut faults, "*.acme.com", &PutFault::new(FaultKind::Servfail).for_type("TXT"));
        set(&mut faults, "acme.com", &PutFault::new(FaultKind::Formerr));
        set(&mut faults, "acme.com", &PutFault::new(FaultKind::WrongId).over(FaultTransport::Tcp));
        let of = |transport, name, kind| found(&faults, transport, name, kind);
        assert_eq!(of(Udp, "ACME.com", TXT), Some(FaultKind::Formerr));
        assert_eq!(of(Tcp, "acme.com", TXT), Some(FaultKind::WrongId));
        assert_eq!(of(Udp, "a.b.acme.com", TXT), Some(FaultKind::Servfail));
        assert_eq!(of(Udp, "a.b.acme.com", A), Some(FaultKind::Drop));
        assert_eq!(of(Tcp, "a.b.acme.com", A), Some(FaultKind::Refused));
        assert_eq!(of(Tcp, "acme.org", A), Some(FaultKind::Refused));
        assert_eq!(of(Tcp, ".", A), None);
    }

    #[test]
    fn fault_applies_to_its_transport_only() {
        let mut faults = Faults::default();
        set(&mut faults, "a.x", &PutFault::new(FaultKind::Truncate));
        set(&mut faults, "b.x", &PutFault::new(FaultKind::TcpRefuse));
        assert_eq!(found(&faults, Transport::Tcp, "a.x", RecordType::A), None);
        assert_eq!(found(&faults, Transport::Udp, "b.x", RecordType::A), None);
        assert!(!faults.refuses_tcp());
        set(&mut faults, "*.", &PutFault::new(FaultKind::TcpRefuse));
        assert!(faults.refuses_tcp());
    }

    #[test]
    fn rejects_fault_that_never_applies() {
        let mut faults = Faults::default();
        let mut field =
            |request: &PutFault| faults.set(NamePattern::parse("a.x").unwrap(), request).unwrap_err().field;
        assert_eq!(field(&PutFault::new(FaultKind::Delay)), "ms");
        assert_eq!(field(&PutFault::delay(60_001)), "ms");
        assert_eq!(field(&PutFault { ms: Some(1), ..PutFault::new(FaultKind::Drop) }), "ms");
        assert_eq!(field(&PutFault::new(FaultKind::Truncate).over(FaultTransport::Tcp)), "transport");
        assert_eq!(field(&PutFault::new(FaultKind::TcpRefuse).over(FaultTransport::Udp)), "transport");
        assert_eq!(field(&PutFault::new(FaultKind::Drop).for_type("?")), "type");
    }
}
