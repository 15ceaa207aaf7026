//! Secure, insecure and bogus zones below a signed root.
use deed_diagnosis::Security;
use deed_testkit::{Denial, SignedZone, Stub, Unbound, Validity, ZoneText};
use futures::future::join_all;

use crate::internet::{CheckedZone, Daemon, Internet, InternetPlan, at, check, value};

/// The code of a bogus zone.
pub const BOGUS_CODE: &str = "dnssec_bogus";

fn present() -> String {
    format!("_deed TXT \"{}\"", value())
}

/// A DS record that matches no key.
fn mismatched_ds(ds: &str) -> String {
    let end = ds.trim_end();
    let last = if end.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &end[..end.len() - 1])
}

fn plan(block: u8) -> InternetPlan {
    let text = |name: &str, lines: &str| InternetPlan::in_block(block).zone(name, &[Daemon::Nsd], 7, lines);
    let sign =
        |name: &str, lines: &str, denial, validity| SignedZone::sign(&text(name, lines), denial, validity);
    let signed = |name: &str| sign(name, &present(), Denial::Nsec, Validity::Now);
    let nsec3 = sign("nsec3.com", &present(), Denial::Nsec3, Validity::Now);
    let expired = sign("expired.com", &present(), Denial::Nsec, Validity::Past);
    let (nsec, keyless, mismatch) = (signed("nsec.com"), signed("keyless.com"), signed("mismatch.com"));
    let stripped = text("stripped.com", &present());
    let (unsigned, unsigned_ds) = without_signature(&signed("unsigned.com"));
    // The value is changed after signing.
    let mut forged = sign("forged.com", "_deed TXT \"other\"", Denial::Nsec, Validity::Now);
    forged.zone.text = forged.zone.text.replace("\"other\"", &format!("\"{}\"", value()));
    InternetPlan::in_block(block)
        .domain("plain.com", &[Daemon::Nsd], &present())
        .signed_domain("knot.com", Daemon::Knot, &present())
        .signed_domain("pdns.com", Daemon::PowerDns, &present())
        .prebuilt_domain(Daemon::Nsd, nsec.zone, &nsec.ds)
        .prebuilt_domain(Daemon::Nsd, nsec3.zone, &nsec3.ds)
        .prebuilt_domain(Daemon::Nsd, expired.zone, &expired.ds)
        .prebuilt_domain(Daemon::Nsd, keyless.without("DNSKEY"), &keyless.ds)
        .prebuilt_domain(Daemon::Nsd, stripped, &signed("stripped.com").ds)
        .prebuilt_domain(Daemon::Nsd, mismatch.zone, &mismatched_ds(&mismatch.ds))
        .prebuilt_domain(Daemon::Nsd, forged.zone, &forged.ds)
        .prebuilt_domain(Daemon::Nsd, unsigned, &unsigned_ds)
}

/// A signed zone without the signature of its TXT records.
fn without_signature(signed: &SignedZone) -> (ZoneText, String) {
    let kept = signed.zone.text.lines().filter(|line| !line.contains(" RRSIG\tTXT "));
    let text = kept.collect::<Vec<_>>().join("\n") + "\n";
    (ZoneText { text, ..signed.zone.clone() }, signed.ds.clone())
}

const SECURE: [&str; 4] = ["knot.com", "pdns.com", "nsec.com", "nsec3.com"];
/// Bogus zones, and the Extended DNS Errors that may report each (RFC 8914 §4).
const BOGUS: [(&str, &[u16]); 6] = [
    ("expired.com", &[7]),
    // NSD leaves out all signatures of a zone without keys.
    ("keyless.com", &[9, 10]),
    ("stripped.com", &[9, 10]),
    ("mismatch.com", &[9]),
    ("forged.com", &[6]),
    ("unsigned.com", &[10]),
];

fn security(checked: &CheckedZone) -> Option<Security> {
    checked.seen.confirmation.validation.as_ref().map(|validation| validation.security)
}

async fn assert_validation(internet: &Internet, change: impl FnOnce(&mut deed_probe::ProbeConfig)) {
    let prober = internet.prober_with(change);
    let secure = join_all(SECURE.map(|domain| check(&prober, domain))).await;
    for checked in &secure {
        checked.assert_proven();
        assert_eq!(security(checked), Some(Security::Secure), "{:#?}", checked.seen);
        assert!(checked.seen.confirmation.repeated.is_none(), "a signed answer is not asked for again");
    }
    let plain = check(&prober, "plain.com").await;
    plain.assert_proven();
    assert_eq!(security(&plain), Some(Security::Insecure), "{:#?}", plain.seen);
    let bogus = join_all(BOGUS.map(|(domain, _)| check(&prober, domain))).await;
    for ((domain, errors), checked) in BOGUS.iter().zip(&bogus) {
        assert_eq!(checked.code(), BOGUS_CODE, "{domain}: {checked:#?}");
        let error =
            checked.seen.confirmation.validation.as_ref().and_then(|v| v.ede.as_ref()).map(|e| e.code);
        assert!(
            error.is_some_and(|code| errors.contains(&code)),
            "{domain}: {error:?} is none of {errors:?}"
        );
    }
    for checked in secure.iter().chain(&bogus).chain([&plain]) {
        assert!(checked.seen.queries <= 60, "{:#?}", checked.seen);
    }
}

#[tokio::test]
async fn own_validation_detects_bogus_zones() {
    let internet = plan(5).start();
    assert_validation(&internet, |config| config.trust_anchor = Some(internet.key())).await;
}

#[tokio::test]
async fn trusted_resolver_detects_bogus_zones() {
    let internet = plan(6).start();
    let stub = |zone: &str, last| Stub { zone: zone.to_owned(), server: internet.at(last) };
    let mut stubs = vec![stub("", 1), stub("com", 2), stub("knot.com", 13), stub("pdns.com", 14)];
    let on_nsd = ["nsec.com", "nsec3.com", "plain.com"].into_iter().chain(BOGUS.map(|(domain, _)| domain));
    stubs.extend(on_nsd.map(|domain| stub(domain, 11)));
    let resolver = Unbound::start(at(6, 50), internet.port, &stubs, Some(&internet.anchor));
    assert_validation(&internet, |config| config.resolvers = vec![resolver.address()]).await;
}
