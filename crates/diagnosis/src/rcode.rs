//! Names of response codes.

/// The name of a response code (IANA DNS RCODEs).
pub(crate) fn rcode_name(rcode: u16) -> String {
    match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        9 => "NOTAUTH",
        16 => "BADVERS",
        other => return format!("RCODE{other}"),
    }
    .to_owned()
}
