//! The plan of the zones: their text, signatures, delegations and daemons.
use std::fmt::Write as _;

use deed_testkit::{Denial, SignedZone, Validity, ZoneText};

use super::BLOCK;
use super::servers::SCRIPTED_ZONES;
use crate::internet::{Daemon, InternetPlan, at, value};

/// The delegation of a zone to one scripted server.
fn delegation(domain: &str, last: u8) -> String {
    format!("{domain}. NS ns{last}.{domain}.\nns{last}.{domain}. A {}", at(BLOCK, last))
}

/// Adds these zones to a plan.
pub fn plan(plan: InternetPlan) -> InternetPlan {
    let present = format!("_deed TXT \"{}\"", value());
    let scripted = |plan: InternetPlan, (domain, last): &(&str, u8)| plan.com(&delegation(domain, *last));
    let plan = SCRIPTED_ZONES.iter().fold(plan, scripted);
    let mut many = present.clone();
    for i in 0..80 {
        let _ = write!(many, "\n_deed TXT \"{i:0>50}\"");
    }
    let shared = format!("@ NS nsd.shared.com.\n{present}");
    let plan = signed_zones(plan)
        .domain("fine.com", &[Daemon::Nsd, Daemon::Bind], &present)
        .domain("gone.com", &[Daemon::Nsd, Daemon::Bind], "")
        .domain("many.com", &[Daemon::Nsd], &many)
        .domain("besidetarget.com", &[Daemon::Nsd], "_deed CNAME target\ntarget TXT \"other\"")
        .domain("wildhosting.com", &[Daemon::Nsd, Daemon::Bind], "* CNAME nsd.vendor.com.")
        .domain("wildalias.com", &[Daemon::Nsd, Daemon::Bind], "* CNAME tenant.vendor.com.")
        .domain("vendor.com", &[Daemon::Nsd], &format!("tenant TXT \"{}\"", value()))
        .domain("wildtext.com", &[Daemon::Nsd], &format!("* TXT \"{}\"", value()))
        .domain("shared.com", &[Daemon::Nsd], "_deed NS nsd")
        .zone_on(
            Daemon::Nsd,
            ZoneText::with_soa(
                "_deed.shared.com",
                "nsd.shared.com",
                7,
                3600,
                &shared.replace("_deed TXT", "@ TXT"),
            ),
        )
        .domain("cut.com", &[Daemon::Nsd], "_deed NS bind\nbind A 127.0.0.1")
        .zone_on(
            Daemon::Bind,
            ZoneText::with_soa(
                "_deed.cut.com",
                "bind.cut.com",
                7,
                3600,
                &format!("@ NS bind.cut.com.\n@ TXT \"{}\"", value()),
            ),
        );
    unusual_delegations(plan)
}

/// Zones with unusual delegations: loops, dead hosts, aliases as name servers and expired domains.
fn unusual_delegations(plan: InternetPlan) -> InternetPlan {
    let present = format!("_deed TXT \"{}\"", value());
    plan.com("twins.com. NS ns.nitwit.com.\nnitwit.com. NS ns.twins.com.")
        .com("loopself.com. NS ns.loopself.com.")
        .com(&format!("deadhost.com. NS ns.silenthost.com.\n{}", delegation("silenthost.com", 32)))
        .domain("aliased.com", &[Daemon::Nsd], "ns CNAME real\nreal A 127.53.1.11")
        .com("aliasedns.com. NS ns.aliased.com.")
        .zone_on(
            Daemon::Nsd,
            ZoneText::with_soa(
                "aliasedns.com",
                "ns.aliased.com",
                7,
                3600,
                &format!("@ NS ns.aliased.com.\n{present}"),
            ),
        )
        .delegated_to("ownns.com", &[Daemon::Nsd])
        .zone_on(
            Daemon::Nsd,
            ZoneText::with_soa(
                "ownns.com",
                "ns.nowhere.com",
                7,
                3600,
                &format!("@ NS ns.nowhere.com.\n{present}"),
            ),
        )
        .com(&{
            let honest = (1..=3).fold(String::new(), |mut lines, n| {
                let _ = writeln!(
                    lines,
                    "dangling4.com. NS n{n}.dangling4.com.\nn{n}.dangling4.com. A {}",
                    at(BLOCK, 90 + n)
                );
                lines
            });
            let expired = (1..=4).fold("dangling4.com. NS ns.expired.com.\n".to_owned(), |mut lines, n| {
                let _ = writeln!(lines, "ns.expired.com. A {}", at(BLOCK, 94 + n));
                lines
            });
            format!("{honest}{expired}expired.com. NS ns.expired.com.")
        })
}

/// Zones signed in different ways: stale, stripped, mixed, and with unusual parameters.
fn signed_zones(plan: InternetPlan) -> InternetPlan {
    let present = format!("_deed TXT \"{}\"", value());
    let two = [Daemon::Nsd, Daemon::Bind];
    let text = |name: &str, lines: &str| InternetPlan::in_block(BLOCK).zone(name, &two, 7, lines);
    let copies = |name: &str, lines: &str, validity: [Validity; 2]| {
        let zone = text(name, lines);
        SignedZone::sign_copies(&[(&zone, validity[0]), (&zone, validity[1])], Denial::Nsec)
    };
    let on_both = |plan: InternetPlan, copies: Vec<SignedZone>| {
        let ds = copies[0].ds.clone();
        let zones = two.into_iter().zip(copies).map(|(daemon, copy)| (daemon, copy.zone)).collect();
        plan.prebuilt_copies(zones, &ds)
    };
    let (now, stale) = (Validity::Now, Validity::Stale);
    let mut plan = plan;
    for (name, lines, validity) in [
        ("signed.com", present.as_str(), [now, now]),
        ("signedgone.com", "", [now, now]),
        ("halfstale.com", &present, [now, stale]),
        ("allstale.com", &present, [stale, stale]),
        ("stalegone.com", "", [stale, now]),
    ] {
        plan = on_both(plan, copies(name, lines, validity));
    }
    let [new, old] = [text("mixedcopies.com", &present), text("mixedcopies.com", "")];
    plan = on_both(plan, SignedZone::sign_copies(&[(&new, now), (&old, now)], Denial::Nsec));
    let signed = copies("onestripped.com", &present, [now, now]).swap_remove(0);
    let stripped = text("onestripped.com", &present);
    let plan = plan.prebuilt_copies(vec![(Daemon::Nsd, signed.zone), (Daemon::Bind, stripped)], &signed.ds);
    let one = |name: &str, denial| {
        SignedZone::sign(&InternetPlan::in_block(BLOCK).zone(name, &[Daemon::Nsd], 7, &present), denial, now)
    };
    let iterations = one("iterations.com", Denial::Iterations(150));
    let algorithm = one("algorithm.com", Denial::Nsec);
    // With an unknown algorithm; such a zone counts as unsigned (RFC 4035 §5.2).
    let unknown: String = algorithm.ds.replacen(" 13 2 ", " 200 2 ", 1);
    let lower = SignedZone::sign(
        &InternetPlan::in_block(BLOCK).zone("lowernsec.com", &[Daemon::Nsd], 7, ""),
        Denial::Nsec,
        now,
    );
    let lower_ds = lower.ds.clone();
    plan.prebuilt_domain(Daemon::Nsd, iterations.zone, &iterations.ds)
        .prebuilt_domain(Daemon::Nsd, algorithm.zone, &unknown)
        .zone_on(Daemon::Nsd, lower.zone)
        .com(&lower_ds)
}
