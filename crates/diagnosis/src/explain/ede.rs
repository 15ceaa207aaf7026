//! Descriptions of Extended DNS Errors (RFC 8914).

/// The description of an Extended DNS Error.
pub(super) fn ede_name(code: u16) -> String {
    match code {
        1 => "the key's algorithm is not supported",
        2 => "the DS record's digest is not supported",
        3 => "the answer is stale",
        4 => "the answer was forged by policy",
        5 => "whether the zone is signed could not be found out",
        6 => "the signatures are broken",
        7 => "the signatures have expired",
        8 => "the signatures are not valid yet",
        9 => "the key that the DS record points to is missing",
        10 => "the signatures are missing",
        11 => "no DNSKEY record is marked as a zone key",
        12 => "the proof of absence (NSEC) is missing",
        13 => "an earlier failure is cached",
        14 => "the server is not ready",
        15 => "blocked by the server's operator",
        16 => "censored",
        17 => "filtered",
        18 => "questions from our address are not allowed",
        19 => "the denial is stale",
        20 => "the server does not serve the zone",
        21 => "not supported",
        22 => "the zone's servers cannot be reached",
        23 => "a network error",
        24 => "the server's data are invalid",
        25 => "the signatures expired before they were valid",
        26 => "too early",
        27 => "the proof of absence (NSEC3) has too many iterations",
        29 => "the answer was made by the server itself",
        30 => "the type is not valid in a question",
        other => return format!("Extended DNS Error {other}"),
    }
    .to_owned()
}
