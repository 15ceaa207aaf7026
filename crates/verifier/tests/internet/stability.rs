//! The code is a function of the zone: the same in each check and with each way of validation.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deed_diagnosis::Context;
use deed_probe::ProbeConfig;
use deed_testkit::{NetworkNamespace, Stub, Unbound};
use futures::StreamExt;
use futures::stream;

use crate::internet::{Internet, at, check_in_context};
use crate::{codes, quirks};

/// Probes of each zone, each by a new prober with its own order of servers, letter cases and ids.
const PROBES: usize = 20;
/// Probes at a time.
const CONCURRENCY: usize = 24;

/// How often each code was found for one zone.
type Codes = BTreeMap<&'static str, usize>;

/// One zone, its expected code, whether an absence has to be confirmed, and whether its servers are silent.
#[derive(Clone, Copy)]
pub struct ZoneCase {
    pub domain: &'static str,
    pub expected: &'static str,
    held: bool,
    pub silent: bool,
}

const SILENT: [&str; 6] =
    ["old.com", "silent.com", "bulky.com", "deadhost.com", "labyrinth.com", "plainonly.com"];

pub fn cases(resolver: bool) -> Vec<ZoneCase> {
    let of = |domain: &'static str, expected, held| ZoneCase {
        domain,
        expected,
        held,
        silent: SILENT.contains(&domain),
    };
    let plain =
        codes::REAL_ZONES.iter().chain(codes::SCRIPTED_ZONES).map(|(domain, code)| of(domain, *code, false));
    let quirks = quirks::ZONES
        .iter()
        .map(|zone| of(zone.domain, if resolver { zone.resolver } else { zone.own }, zone.held));
    plain.chain(quirks).collect()
}

async fn code_of(internet: &Internet, case: ZoneCase, change: &impl Fn(&mut ProbeConfig)) -> &'static str {
    let context = Context { at_stake: case.held, ..codes::context() };
    let prober = internet.prober_with(|config| {
        change(config);
        if case.silent {
            config.udp_timeout = Duration::from_millis(500);
            config.tcp_timeout = Duration::from_secs(1);
        }
    });
    check_in_context(&prober, case.domain, &context).await.code()
}

/// The zones for which another code than the expected one was found.
async fn mismatches(internet: &Internet, resolver: bool, change: impl Fn(&mut ProbeConfig)) -> Vec<String> {
    let change = &change;
    let cases = cases(resolver);
    let probes = (0..PROBES).flat_map(|_| cases.iter().enumerate());
    let found = stream::iter(probes)
        .map(|(index, case)| async move { (index, code_of(internet, *case, change).await) })
        .buffer_unordered(CONCURRENCY)
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
async fn zone_gets_same_code_in_both_modes() {
    const NAME: &str = "stability::zone_gets_same_code_in_both_modes";
    // A resolver queries name servers at port 53.
    let Some(_network) = NetworkNamespace::enter(NAME) else { return };
    let internet = quirks::plan(codes::plan()).start_at(53);
    let _actors = (codes::scripted_servers(&internet).await, quirks::scripted_servers(&internet).await);
    let root = [Stub { zone: String::new(), server: internet.at(1) }];
    let resolver = Unbound::start(at(quirks::BLOCK, 50), internet.port, &root, Some(&internet.anchor));
    let own = mismatches(&internet, false, |config| config.trust_anchor = Some(internet.key())).await;
    let trusting = mismatches(&internet, true, |config| config.resolvers = vec![resolver.address()]).await;
    assert!(
        own.is_empty() && trusting.is_empty(),
        "own validation: {own:#?}\ntrusted resolver: {trusting:#?}"
    );
}

#[test]
fn mode_differences_have_a_reason() {
    for zone in quirks::ZONES {
        assert_eq!(zone.own != zone.resolver, !zone.reason.is_empty(), "{}", zone.domain);
    }
    let domains: BTreeSet<&str> = quirks::ZONES.iter().map(|zone| zone.domain).collect();
    assert_eq!(domains.len(), quirks::ZONES.len());
}
