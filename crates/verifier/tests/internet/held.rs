//! Names that somebody holds, looked at while our own resolver is away: nobody loses one by that.
use std::time::Duration;

use deed_claims::{Class, Context, Outcome, Security};
use deed_probe::Prober;
use deed_testkit::{Stub, Unbound};
use hickory_proto::op::ResponseCode;

use crate::scripted::{Asked, Play, Scripted, ns};
use crate::world::{By, Checked, Plan, at, check, check_within, value};

/// The cause that is told here.
pub const SHOWN: &str = "internal";
/// The same where a name that has to exist works.
pub const UNKNOWN: &str = "dnssec_indeterminate";

fn plan(block: u8) -> Plan {
    let present = format!("_deed TXT \"{}\"", value());
    Plan::in_block(block).domain("gone.com", &[By::Nsd], "").domain("kept.com", &[By::Nsd], &present)
}

fn at_stake() -> Context {
    Context { at_stake: true, ..Context::default() }
}

#[track_caller]
fn assert_our_own_trouble(checked: &Checked) {
    let Outcome::NotProven(diagnosis) = &checked.outcome else { panic!("{checked:#?}") };
    assert_eq!(diagnosis.code.as_str(), SHOWN, "{checked:#?}");
    assert_eq!(diagnosis.code.class(), Class::Internal);
    assert!(!checked.outcome.is_absence());
    let validation = checked.seen.confirmation.validation.as_ref();
    assert_eq!(validation.map(|validation| validation.security), Some(Security::Indeterminate));
    // The zone's servers were heard all the same, twice.
    assert!(checked.seen.failure.is_none(), "{:#?}", checked.seen);
    assert!(checked.seen.confirmation.repeated.is_some(), "{:#?}", checked.seen);
}

async fn judged_by(prober: &Prober) {
    let at_stake = at_stake();
    let gone = check_within(prober, "gone.com", &at_stake);
    let kept = check_within(prober, "kept.com", &at_stake);
    // Where nobody can lose anything, the servers' word for an absence will do.
    let unclaimed = check(prober, "gone.com");
    let (gone, kept, unclaimed) = futures::join!(gone, kept, unclaimed);
    assert_our_own_trouble(&gone);
    assert_our_own_trouble(&kept);
    assert_eq!(unclaimed.verdict(), "record_not_found", "{unclaimed:#?}");
}

#[tokio::test]
async fn a_holder_loses_nothing_while_the_trusted_resolver_is_down() {
    let internet = plan(7).start();
    let _refusing = Scripted::listen(internet.at(61), |asked| asked.error(ResponseCode::Refused)).await;
    // Nobody listens at the first.
    for resolver in [internet.at(60), internet.at(61)] {
        let prober = internet.prober_with(|config| config.resolvers = vec![resolver]);
        Box::pin(judged_by(&prober)).await;
    }
}

#[tokio::test]
async fn a_holder_loses_nothing_while_the_trusted_resolver_is_silent() {
    let internet = plan(9).start();
    let _silent = Scripted::listen(internet.at(61), |_| Play::Silence).await;
    let resolver = internet.at(61);
    let prober = internet.prober_with(|config| {
        config.resolvers = vec![resolver];
        // What never answers has to be waited out.
        config.udp_timeout = Duration::from_millis(500);
        config.tcp_timeout = Duration::from_secs(2);
    });
    Box::pin(judged_by(&prober)).await;
}

/// A resolver that answers for the root, and not for the zone: the trouble is the zone's, and is told.
#[tokio::test]
async fn a_zone_that_only_a_healthy_resolver_cannot_validate_is_told() {
    let internet = plan(23).start();
    let of_root = |asked: &Asked| asked.name().is_empty().then(|| asked.with([ns(".", "ns.root")]));
    let fails = move |asked: &Asked| of_root(asked).unwrap_or_else(|| asked.error(ResponseCode::ServFail));
    let _failing = Scripted::listen(internet.at(61), fails).await;
    let _silent =
        Scripted::listen(internet.at(62), move |asked| of_root(asked).unwrap_or(Play::Silence)).await;
    for resolver in [internet.at(61), internet.at(62)] {
        let prober = internet.prober_with(|config| {
            config.resolvers = vec![resolver];
            config.udp_timeout = Duration::from_millis(300);
            config.tcp_timeout = Duration::from_millis(600);
        });
        for domain in ["kept.com", "gone.com"] {
            let checked = check_within(&prober, domain, &at_stake()).await;
            assert_eq!(checked.verdict(), UNKNOWN, "{domain}: {checked:#?}");
            assert!(!checked.outcome.is_absence() && checked.seen.queries <= 60);
        }
    }
}

#[tokio::test]
async fn with_the_resolver_back_the_same_absence_is_one() {
    let internet = plan(8).start();
    let stub = |zone: &str, last| Stub { zone: zone.to_owned(), server: internet.at(last) };
    let stubs = [stub("", 1), stub("com", 2), stub("gone.com", 11), stub("kept.com", 11)];
    let resolver = Unbound::start(at(8, 50), internet.port, &stubs, None);
    let prober = internet.prober_with(|config| config.resolvers = vec![resolver.address()]);
    let checked = check_within(&prober, "gone.com", &at_stake()).await;
    assert_eq!((checked.verdict(), checked.outcome.is_absence()), ("record_not_found", true), "{checked:#?}");
    check_within(&prober, "kept.com", &at_stake()).await.assert_proven();
}
