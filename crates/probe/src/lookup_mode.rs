//! The transports of a lookup.

/// Which transports the queries of a lookup use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LookupMode {
    /// UDP, with fallback to TCP.
    UdpFirst,
    /// TCP only, from the root down: a confirmation. Repeating only the last queries would not be enough, since a
    /// forged referral or alias may have led to these servers.
    TcpOnly,
}
