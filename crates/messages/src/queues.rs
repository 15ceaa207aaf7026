//! The names of the exchange, the queues and their routing keys.

use crate::VerificationWork;

/// The exchange that everything is published to.
pub const EXCHANGE: &str = "deed.events";
/// The queue of verification work.
pub const VERIFICATION: &str = "deed.verification";
/// The dead letters of the verification queue.
pub const VERIFICATION_DEAD: &str = "deed.verification.dead";

/// Every queue: its name, its dead-letter queue, and the routing keys that it is bound to.
pub const ALL: [(&str, &str, &[&str]); 1] =
    [(VERIFICATION, VERIFICATION_DEAD, &[VerificationWork::REQUESTED_KEY, VerificationWork::DUE_KEY])];

/// Whether a queue is bound to this routing key: such a message is work, which would be lost if no queue took it.
pub fn is_work(routing_key: &str) -> bool {
    ALL.iter().any(|(_, _, keys)| keys.contains(&routing_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_verification_work_goes_to_a_queue() {
        for (key, expected) in [
            ("verification.requested", true),
            ("verification.due", true),
            ("verification.recorded", false),
            ("domain.verified", false),
        ] {
            assert_eq!(is_work(key), expected, "{key}");
        }
    }
}
