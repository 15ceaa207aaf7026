//! Checks of held names while the trusted resolver is unavailable: no holder loses a name by that.
use std::time::Duration;

use deed_diagnosis::{Class, Context, Outcome, Security};
use deed_probe::Prober;
use deed_testkit::{Stub, Unbound};
use hickory_proto::op::ResponseCode;

use crate::internet::{CheckedZone, Daemon, InternetPlan, at, check, check_in_context, value};
use crate::scripted_server::{ScriptedQuery, ScriptedReply, ScriptedServer, ns};

/// The code while the trusted resolver is unavailable.
pub const INTERNAL: &str = "internal";
/// The code while the resolver answers for the root and not for the zone.
pub const INDETERMINATE: &str = "dnssec_indeterminate";

fn plan(block: u8) -> InternetPlan {
    let present = format!("_deed TXT \"{}\"", value());
    InternetPlan::in_block(block).domain("gone.com", &[Daemon::Nsd], "").domain(
        "kept.com",
        &[Daemon::Nsd],
        &present,
    )
}

fn at_stake() -> Context {
    Context { at_stake: true, ..Context::default() }
}

#[track_caller]
fn assert_internal(checked: &CheckedZone) {
    let Outcome::NotProven(diagnosis) = &checked.outcome else { panic!("{checked:#?}") };
    assert_eq!(diagnosis.code.as_str(), INTERNAL, "{checked:#?}");
    assert_eq!(diagnosis.code.class(), Class::Internal);
    assert!(!checked.outcome.is_absence());
    let validation = checked.seen.confirmation.validation.as_ref();
    assert_eq!(validation.map(|validation| validation.security), Some(Security::Indeterminate));
    // The zone's name servers were asked all the same, twice.
    assert!(checked.seen.failure.is_none(), "{:#?}", checked.seen);
    assert!(checked.seen.confirmation.repeated.is_some(), "{:#?}", checked.seen);
}

async fn assert_internal_while_held(prober: &Prober) {
    let at_stake = at_stake();
    let gone = check_in_context(prober, "gone.com", &at_stake);
    let kept = check_in_context(prober, "kept.com", &at_stake);
    // For a name without a holder, the negative answers of the name servers suffice.
    let unclaimed = check(prober, "gone.com");
    let (gone, kept, unclaimed) = futures::join!(gone, kept, unclaimed);
    assert_internal(&gone);
    assert_internal(&kept);
    assert_eq!(unclaimed.code(), "record_not_found", "{unclaimed:#?}");
}

#[tokio::test]
async fn resolver_outage_costs_no_holding() {
    let internet = plan(7).start();
    let _refusing = ScriptedServer::listen(internet.at(61), |query| query.error(ResponseCode::Refused)).await;
    // No server listens at the first address.
    for resolver in [internet.at(60), internet.at(61)] {
        let prober = internet.prober_with(|config| config.resolvers = vec![resolver]);
        Box::pin(assert_internal_while_held(&prober)).await;
    }
}

#[tokio::test]
async fn silent_resolver_costs_no_holding() {
    let internet = plan(9).start();
    let _silent = ScriptedServer::listen(internet.at(61), |_| ScriptedReply::NoReply).await;
    let resolver = internet.at(61);
    let prober = internet.prober_with(|config| {
        config.resolvers = vec![resolver];
        // Silent servers cost the whole time-out.
        config.udp_timeout = Duration::from_millis(500);
        config.tcp_timeout = Duration::from_secs(2);
    });
    Box::pin(assert_internal_while_held(&prober)).await;
}

/// A resolver that answers for the root and not for the zone: the fault is the zone's, and is reported.
#[tokio::test]
async fn reports_zone_that_resolver_cannot_validate() {
    let internet = plan(23).start();
    let of_root = |query: &ScriptedQuery| query.name().is_empty().then(|| query.with([ns(".", "ns.root")]));
    let fails =
        move |query: &ScriptedQuery| of_root(query).unwrap_or_else(|| query.error(ResponseCode::ServFail));
    let _failing = ScriptedServer::listen(internet.at(61), fails).await;
    let _silent = ScriptedServer::listen(internet.at(62), move |query| {
        of_root(query).unwrap_or(ScriptedReply::NoReply)
    })
    .await;
    for resolver in [internet.at(61), internet.at(62)] {
        let prober = internet.prober_with(|config| {
            config.resolvers = vec![resolver];
            config.udp_timeout = Duration::from_millis(300);
            config.tcp_timeout = Duration::from_millis(600);
        });
        for domain in ["kept.com", "gone.com"] {
            let checked = check_in_context(&prober, domain, &at_stake()).await;
            assert_eq!(checked.code(), INDETERMINATE, "{domain}: {checked:#?}");
            assert!(!checked.outcome.is_absence() && checked.seen.queries <= 60);
        }
    }
}

#[tokio::test]
async fn confirms_absence_after_resolver_recovers() {
    let internet = plan(8).start();
    let stub = |zone: &str, last| Stub { zone: zone.to_owned(), server: internet.at(last) };
    let stubs = [stub("", 1), stub("com", 2), stub("gone.com", 11), stub("kept.com", 11)];
    let resolver = Unbound::start(at(8, 50), internet.port, &stubs, None);
    let prober = internet.prober_with(|config| config.resolvers = vec![resolver.address()]);
    let checked = check_in_context(&prober, "gone.com", &at_stake()).await;
    assert_eq!((checked.code(), checked.outcome.is_absence()), ("record_not_found", true), "{checked:#?}");
    check_in_context(&prober, "kept.com", &at_stake()).await.assert_proven();
}
