//! Zones whose servers break the rules, or merely differ from others, and the code that a check of each has to find.
mod servers;
mod zones;

pub use servers::scripted_servers;
pub use zones::plan;

/// The block of addresses; these zones share an internet with those of `codes`.
pub const BLOCK: u8 = crate::codes::BLOCK;

/// A zone, and the code that a check of it has to find.
pub struct QuirkZone {
    pub domain: &'static str,
    /// The code when Deed validates by itself.
    pub own: &'static str,
    /// The code when a trusted resolver validates.
    pub resolver: &'static str,
    /// Why the two codes differ; empty when they are equal.
    pub reason: &'static str,
    /// Whether an absence has to be confirmed, as for a held name.
    pub held: bool,
}

const fn same(domain: &'static str, code: &'static str) -> QuirkZone {
    QuirkZone { domain, own: code, resolver: code, reason: "", held: false }
}

const fn held(domain: &'static str, code: &'static str) -> QuirkZone {
    QuirkZone { held: true, ..same(domain, code) }
}

/// The zones. The code must not depend on the order of answers or records, on letter case, or on the way of validation.
pub const ZONES: &[QuirkZone] = &[
    same("fine.com", "proven"),
    same("signed.com", "proven"),
    held("gone.com", "record_not_found"),
    held("signedgone.com", "record_not_found"),
    // Negative answers in every form.
    held("bare0.com", "no_txt_at_name"),
    held("bare3.com", "record_not_found"),
    held("soaanswer.com", "record_not_found"),
    held("soaadditional.com", "no_txt_at_name"),
    held("nsauthority.com", "no_txt_at_name"),
    same("compact.com", "record_not_found"),
    same("foreignsoa.com", "lame_delegation"),
    same("upward.com", "lame_delegation"),
    // Stale, stripped and mixed copies of signed zones.
    same("halfstale.com", "proven"),
    same("allstale.com", "dnssec_bogus"),
    held("stalegone.com", "record_not_found"),
    same("onestripped.com", "proven"),
    same("mixedcopies.com", "inconsistent_servers"),
    same("iterations.com", "proven"),
    same("algorithm.com", "proven"),
    // Aliases, and records beside them.
    same("beside.com", "cname_dangling"),
    same("besidetarget.com", "cname_elsewhere"),
    same("halfbeside.com", "inconsistent_servers"),
    same("twoaliases.com", "cname_dangling"),
    same("valuealias.com", "cname_dangling"),
    same("apexalias.com", "proven"),
    same("wildalias.com", "wildcard_answer"),
    same("wildhosting.com", "cname_elsewhere"),
    same("wildtext.com", "proven"),
    // Large record sets, in fixed and in rotating order.
    same("many.com", "proven"),
    same("rotating.com", "proven"),
    same("manyothers.com", "oversize_answer"),
    // Letter case of names.
    same("lowercase.com", "proven"),
    same("lowerrefused.com", "proven"),
    held("lowernsec.com", "record_not_found"),
    same("echoes.com", "proven"),
    // Transports.
    same("udponly.com", "timeout"),
    QuirkZone {
        domain: "plainonly.com",
        own: "proven",
        resolver: "edns_broken",
        reason: "a resolver that validates asks with EDNS, which the servers drop; the parents' proof that the zone is not signed is all that own validation needs",
        held: false,
    },
    // Delegations.
    same("twins.com", "ns_without_address"),
    same("loopself.com", "ns_without_address"),
    same("deadhost.com", "ns_without_address"),
    same("aliasedns.com", "proven"),
    same("ownns.com", "proven"),
    same("shared.com", "proven"),
    same("cut.com", "proven"),
    same("dangling4.com", "inconsistent_servers"),
];
