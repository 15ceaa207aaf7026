//! Signed zones, whole and broken, from a signed root down.
use deed_claims::Security;
use deed_testkit::{Denial, SignedZone, Stub, Unbound, Validity, ZoneText};
use futures::future::join_all;

use crate::world::{By, Checked, Internet, Plan, at, check, value};

/// The cause that is told here.
pub const SHOWN: &str = "dnssec_bogus";

fn exact() -> String {
    format!("_deed TXT \"{}\"", value())
}

/// A DS record that stands for another key.
fn wrong(ds: &str) -> String {
    let end = ds.trim_end();
    let last = if end.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &end[..end.len() - 1])
}

fn plan(block: u8) -> Plan {
    let text = |name: &str, lines: &str| Plan::in_block(block).zone(name, &[By::Nsd], 7, lines);
    let sign =
        |name: &str, lines: &str, denial, validity| SignedZone::sign(&text(name, lines), denial, validity);
    let whole = |name: &str| sign(name, &exact(), Denial::Nsec, Validity::Now);
    let nsec3 = sign("nsec3.com", &exact(), Denial::Nsec3, Validity::Now);
    let expired = sign("expired.com", &exact(), Denial::Nsec, Validity::Past);
    let (nsec, keyless, mismatch) = (whole("nsec.com"), whole("keyless.com"), whole("mismatch.com"));
    let stripped = text("stripped.com", &exact());
    let (unsigned, unsigned_ds) = without_signature(&whole("unsigned.com"));
    // The value is not the one that was signed.
    let mut forged = sign("forged.com", "_deed TXT \"other\"", Denial::Nsec, Validity::Now);
    forged.zone.text = forged.zone.text.replace("\"other\"", &format!("\"{}\"", value()));
    Plan::in_block(block)
        .domain("plain.com", &[By::Nsd], &exact())
        .signed_domain("knot.com", By::Knot, &exact())
        .signed_domain("pdns.com", By::PowerDns, &exact())
        .made_domain(By::Nsd, nsec.zone, &nsec.ds)
        .made_domain(By::Nsd, nsec3.zone, &nsec3.ds)
        .made_domain(By::Nsd, expired.zone, &expired.ds)
        .made_domain(By::Nsd, keyless.without("DNSKEY"), &keyless.ds)
        .made_domain(By::Nsd, stripped, &whole("stripped.com").ds)
        .made_domain(By::Nsd, mismatch.zone, &wrong(&mismatch.ds))
        .made_domain(By::Nsd, forged.zone, &forged.ds)
        .made_domain(By::Nsd, unsigned, &unsigned_ds)
}

/// A zone in order but for the signature of its TXT records, which is missing.
fn without_signature(signed: &SignedZone) -> (ZoneText, String) {
    let kept = signed.zone.text.lines().filter(|line| !line.contains(" RRSIG\tTXT "));
    let text = kept.collect::<Vec<_>>().join("\n") + "\n";
    (ZoneText { text, ..signed.zone.clone() }, signed.ds.clone())
}

const SECURE: [&str; 4] = ["knot.com", "pdns.com", "nsec.com", "nsec3.com"];
/// Domains, and the Extended DNS Errors that name what is wrong with them (RFC 8914 §4).
const BOGUS: [(&str, &[u16]); 6] = [
    ("expired.com", &[7]),
    // NSD leaves out all signatures of a zone without keys.
    ("keyless.com", &[9, 10]),
    ("stripped.com", &[9, 10]),
    ("mismatch.com", &[9]),
    ("forged.com", &[6]),
    ("unsigned.com", &[10]),
];

fn security(checked: &Checked) -> Option<Security> {
    checked.seen.confirmation.validation.as_ref().map(|validation| validation.security)
}

async fn judged_by(internet: &Internet, change: impl FnOnce(&mut deed_probe::ProbeConfig)) {
    let prober = internet.prober_with(change);
    let secure = join_all(SECURE.map(|domain| check(&prober, domain))).await;
    for checked in &secure {
        checked.assert_proven();
        assert_eq!(security(checked), Some(Security::Secure), "{:#?}", checked.seen);
        assert!(checked.seen.confirmation.repeated.is_none(), "a signature needs no second look");
    }
    let plain = check(&prober, "plain.com").await;
    plain.assert_proven();
    assert_eq!(security(&plain), Some(Security::Insecure), "{:#?}", plain.seen);
    let bogus = join_all(BOGUS.map(|(domain, _)| check(&prober, domain))).await;
    for ((domain, errors), checked) in BOGUS.iter().zip(&bogus) {
        assert_eq!(checked.verdict(), SHOWN, "{domain}: {checked:#?}");
        let said = checked.seen.confirmation.validation.as_ref().and_then(|v| v.ede.as_ref()).map(|e| e.code);
        assert!(said.is_some_and(|code| errors.contains(&code)), "{domain}: {said:?} is none of {errors:?}");
    }
    for checked in secure.iter().chain(&bogus).chain([&plain]) {
        assert!(checked.seen.queries <= 60, "{:#?}", checked.seen);
    }
}

#[tokio::test]
async fn our_own_validation_tells_whole_zones_from_broken_ones() {
    let internet = plan(5).start();
    judged_by(&internet, |config| config.trust_anchor = Some(internet.key())).await;
}

#[tokio::test]
async fn a_trusted_resolver_tells_whole_zones_from_broken_ones() {
    let internet = plan(6).start();
    let stub = |zone: &str, last| Stub { zone: zone.to_owned(), server: internet.at(last) };
    let mut stubs = vec![stub("", 1), stub("com", 2), stub("knot.com", 13), stub("pdns.com", 14)];
    let on_nsd = ["nsec.com", "nsec3.com", "plain.com"].into_iter().chain(BOGUS.map(|(domain, _)| domain));
    stubs.extend(on_nsd.map(|domain| stub(domain, 11)));
    let resolver = Unbound::start(at(6, 50), internet.port, &stubs, Some(&internet.anchor));
    judged_by(&internet, |config| config.resolvers = vec![resolver.address()]).await;
}
