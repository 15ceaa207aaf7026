//! A verdict is a function of the zone: the same code each time it is looked at, and by whichever way it is validated.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deed_claims::Context;
use deed_probe::ProbeConfig;
use deed_testkit::{NetworkNamespace, Stub, Unbound};
use futures::StreamExt;
use futures::stream;

use crate::world::{Internet, at, check_within};
use crate::{codes, strange};

/// Looks at each zone, each by a new prober: servers, letters and ids in another order each time.
const LOOKS: usize = 20;
/// Looks under way at a time.
const AT_ONCE: usize = 24;

/// The codes that one zone was given, and how often.
type Codes = BTreeMap<&'static str, usize>;

/// One zone of the test internet: what has to be found, whether an absence has to be sure, and whether it stays silent.
#[derive(Clone, Copy)]
pub struct Case {
    pub domain: &'static str,
    pub expected: &'static str,
    held: bool,
    pub silent: bool,
}

const SILENT: [&str; 6] =
    ["old.com", "silent.com", "bulky.com", "deadhost.com", "labyrinth.com", "plainonly.com"];

pub fn cases(resolver: bool) -> Vec<Case> {
    let of = |domain: &'static str, expected, held| Case {
        domain,
        expected,
        held,
        silent: SILENT.contains(&domain),
    };
    let known = codes::FOUND.iter().chain(codes::SCRIPTED).map(|(domain, code)| of(domain, *code, false));
    let strange = strange::ZONES
        .iter()
        .map(|zone| of(zone.domain, if resolver { zone.resolver } else { zone.own }, zone.held));
    known.chain(strange).collect()
}

async fn code_of(internet: &Internet, case: Case, change: &impl Fn(&mut ProbeConfig)) -> &'static str {
    let context = Context { at_stake: case.held, ..codes::context() };
    let prober = internet.prober_with(|config| {
        change(config);
        if case.silent {
            config.udp_timeout = Duration::from_millis(500);
            config.tcp_timeout = Duration::from_secs(1);
        }
    });
    check_within(&prober, case.domain, &context).await.verdict()
}

/// What was found of each zone that is not what had to be.
async fn surprises(internet: &Internet, resolver: bool, change: impl Fn(&mut ProbeConfig)) -> Vec<String> {
    let change = &change;
    let cases = cases(resolver);
    let looks = (0..LOOKS).flat_map(|_| cases.iter().enumerate());
    let found = stream::iter(looks)
        .map(|(index, case)| async move { (index, code_of(internet, *case, change).await) })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut codes = vec![Codes::new(); cases.len()];
    for (index, code) in found {
        *codes[index].entry(code).or_default() += 1;
    }
    let odd = cases.iter().zip(codes).filter(|(case, codes)| codes.keys().copied().ne([case.expected]));
    odd.map(|(case, codes)| format!("{} is not {}: {codes:?}", case.domain, case.expected)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_zone_gets_the_same_code_in_both_modes() {
    const NAME: &str = "stability::the_same_zone_gets_the_same_code_in_both_modes";
    // A resolver asks name servers at port 53.
    let Some(_network) = NetworkNamespace::enter(NAME) else { return };
    let internet = strange::plan(codes::plan()).start_at(53);
    let _actors = (codes::actors(&internet).await, strange::actors(&internet).await);
    let root = [Stub { zone: String::new(), server: internet.at(1) }];
    let resolver = Unbound::start(at(strange::BLOCK, 50), internet.port, &root, Some(&internet.anchor));
    let own = surprises(&internet, false, |config| config.trust_anchor = Some(internet.key())).await;
    let trusting = surprises(&internet, true, |config| config.resolvers = vec![resolver.address()]).await;
    assert!(own.is_empty() && trusting.is_empty(), "by ourselves: {own:#?}\nby a resolver: {trusting:#?}");
}

#[test]
fn differences_between_modes_have_a_reason() {
    for zone in strange::ZONES {
        assert_eq!(zone.own != zone.resolver, !zone.reason.is_empty(), "{}", zone.domain);
    }
    let domains: BTreeSet<&str> = strange::ZONES.iter().map(|zone| zone.domain).collect();
    assert_eq!(domains.len(), strange::ZONES.len());
}
