//! What the prober tells about itself: how questions went, and how close it is to its limits.
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry};

use crate::sparing::Sparing;
use crate::transport::{Pool, Trouble, Via};

/// What is told of questions.
#[derive(Debug)]
struct Questions {
    datagrams: OverOne,
    connections: OverOne,
    refused: IntCounter,
}

impl Questions {
    fn over(&self, via: Via) -> &OverOne {
        match via {
            Via::Datagrams => &self.datagrams,
            Via::Connection => &self.connections,
        }
    }
}

/// Questions over one kind of transport.
#[derive(Debug)]
struct OverOne {
    answered: IntCounter,
    timeout: IntCounter,
    unreachable: IntCounter,
    garbled: IntCounter,
    case_differs: IntCounter,
    internal: IntCounter,
    crowded: IntCounter,
    seconds: Histogram,
}

impl OverOne {
    fn register(registry: &Registry, transport: &'static str) -> prometheus::Result<Self> {
        let counter = |result| {
            let opts = Opts::new(
                "deed_dns_queries_total",
                "Questions sent to DNS servers. Timeout: silence. Unreachable: refused, reset, or no way there. Garbled: \
                 only bytes that are no answer. Case differs: an answer in other letters than asked. Internal and \
                 crowded: our own trouble, and no socket free in time.",
            );
            let counter = IntCounter::with_opts(
                opts.const_label("transport", transport).const_label("result", result),
            )?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let seconds = HistogramOpts::new(
            "deed_dns_query_duration_seconds",
            "From a question to its answer or to giving it up, waiting for a socket included.",
        );
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let seconds = seconds.const_label("transport", transport).buckets(buckets);
        let over = Self {
            answered: counter("answered")?,
            timeout: counter("timeout")?,
            unreachable: counter("unreachable")?,
            garbled: counter("garbled")?,
            case_differs: counter("case_differs")?,
            internal: counter("internal")?,
            crowded: counter("crowded")?,
            seconds: Histogram::with_opts(seconds)?,
        };
        registry.register(Box::new(over.seconds.clone()))?;
        Ok(over)
    }

    fn of(&self, went: Result<(), Trouble>) -> &IntCounter {
        match went {
            Ok(()) => &self.answered,
            Err(Trouble::Timeout) => &self.timeout,
            Err(Trouble::Unreachable) => &self.unreachable,
            Err(Trouble::Malformed) => &self.garbled,
            Err(Trouble::CaseDiffers) => &self.case_differs,
            Err(Trouble::Internal) => &self.internal,
            Err(Trouble::Crowded) => &self.crowded,
        }
    }
}

/// Whoever is told; nobody until the prober is measured.
#[derive(Debug, Default)]
pub(crate) struct Told(OnceLock<Questions>);

impl Told {
    /// A question was sent, and went so.
    pub(crate) fn asked(&self, via: Via, took: Duration, went: Result<(), Trouble>) {
        let Some(questions) = self.0.get() else { return };
        let over = questions.over(via);
        over.of(went).inc();
        over.seconds.observe(took.as_secs_f64());
    }

    /// A question is sent a second time, after this trouble with the first: that one is counted, and its time is a
    /// part of the second's.
    pub(crate) fn again(&self, via: Via, trouble: Trouble) {
        if let Some(questions) = self.0.get() {
            questions.over(via).of(Err(trouble)).inc();
        }
    }

    /// An address came up that may not be asked.
    pub(crate) fn refused(&self) {
        if let Some(questions) = self.0.get() {
            questions.refused.inc();
        }
    }

    pub(crate) fn register(
        &self,
        registry: &Registry,
        pool: Weak<Pool>,
        sparing: Weak<Sparing>,
    ) -> prometheus::Result<()> {
        let questions = Questions {
            datagrams: OverOne::register(registry, "udp")?,
            connections: OverOne::register(registry, "tcp")?,
            refused: IntCounter::new(
                "deed_dns_addresses_refused_total",
                "Addresses of name servers that may not be asked, each time one came up.",
            )?,
        };
        registry.register(Box::new(questions.refused.clone()))?;
        let look = Look {
            pool,
            sparing,
            sockets: IntGauge::new("deed_dns_sockets", "Sockets open towards DNS servers.")?,
            sockets_max: IntGauge::new(
                "deed_dns_sockets_max",
                "Sockets that may be open towards DNS servers; when all are, questions wait.",
            )?,
            spared: IntGauge::new(
                "deed_dns_servers_spared",
                "Addresses that are left alone for a while because they stayed silent.",
            )?,
        };
        registry.register(Box::new(look))?;
        let _ = self.0.set(questions);
        Ok(())
    }
}

/// How close the prober is to its limits: looked at whenever somebody asks for the figures.
struct Look {
    pool: Weak<Pool>,
    sparing: Weak<Sparing>,
    sockets: IntGauge,
    sockets_max: IntGauge,
    spared: IntGauge,
}

impl Collector for Look {
    fn desc(&self) -> Vec<&Desc> {
        [self.sockets.desc(), self.sockets_max.desc(), self.spared.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (used, most) = self.pool.upgrade().map(|pool| pool.used()).unwrap_or_default();
        let spared = self.sparing.upgrade().map(|sparing| sparing.left_alone()).unwrap_or_default();
        let set = |gauge: &IntGauge, number: usize| {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
            gauge.collect()
        };
        [set(&self.sockets, used), set(&self.sockets_max, most), set(&self.spared, spared)].concat()
    }
}
