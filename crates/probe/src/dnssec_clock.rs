//! The clock of DNSSEC: signatures are valid in a period of real time.
use hickory_net::runtime::{Time, TokioTime};
use hickory_proto::rr::SerialNumber;

/// The time that signature periods are checked against.
pub(crate) fn now() -> SerialNumber {
    SerialNumber::new(u32::try_from(TokioTime::current_time()).unwrap_or(u32::MAX))
}
