//! Why a query got no answer, and whether the fault is ours.
use std::io;

/// Why a query got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransportError {
    /// No reply in time.
    Timeout,
    /// Refused, reset, or no route.
    Unreachable,
    /// Only bytes that are not an answer to the query.
    Malformed,
    /// Only an answer in another letter case than the query.
    CaseDiffers,
    /// Our fault: no descriptor, no memory, no random number.
    Internal,
    /// Our fault: no socket or slot of the rate limit was free before the probe's time was over.
    AtCapacity,
}

impl TransportError {
    /// Tells faults of the far side from our own. An error that is not known to be ours counts as theirs: strangers
    /// choose the addresses, and the network may answer anything.
    pub(super) fn of(error: &io::Error) -> Self {
        if error.raw_os_error().is_some_and(|code| OURS.contains(&code)) {
            return Self::Internal;
        }
        match error.kind() {
            io::ErrorKind::OutOfMemory => Self::Internal,
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Unreachable,
        }
    }

    /// The error of opening a socket, before it has an address: what the system forbids or lacks is our fault, a
    /// missing address family is not.
    pub(super) fn of_opening(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::AddrInUse => Self::Internal,
            _ => Self::of(error),
        }
    }
}

/// ENOMEM, ENFILE, EMFILE and ENOBUFS, of which the standard library names only the first.
const OURS: [i32; 4] = [12, 23, 24, if cfg!(target_os = "linux") { 105 } else { 55 }];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_resource_errors_are_internal() {
        let of = |code| TransportError::of(&io::Error::from_raw_os_error(code));
        for ours in OURS {
            assert_eq!(of(ours), TransportError::Internal, "{ours}");
        }
        assert_eq!(TransportError::of(&io::ErrorKind::OutOfMemory.into()), TransportError::Internal);
        let theirs =
            [io::ErrorKind::ConnectionRefused, io::ErrorKind::PermissionDenied, io::ErrorKind::Other];
        for kind in theirs {
            assert_eq!(TransportError::of(&kind.into()), TransportError::Unreachable, "{kind}");
        }
        assert_eq!(TransportError::of(&io::ErrorKind::TimedOut.into()), TransportError::Timeout);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn network_errors_are_not_internal() {
        const EAFNOSUPPORT: i32 = 97;
        const EACCES: i32 = 13;
        // EPROTO, EMSGSIZE, ENOPROTOOPT, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH
        for code in [71, 90, 92, 99, 101, 113] {
            assert_eq!(
                TransportError::of(&io::Error::from_raw_os_error(code)),
                TransportError::Unreachable,
                "{code}"
            );
        }
        let opening = |code| TransportError::of_opening(&io::Error::from_raw_os_error(code));
        assert_eq!(opening(EAFNOSUPPORT), TransportError::Unreachable, "a host without IPv6");
        assert_eq!(opening(EACCES), TransportError::Internal);
        assert_eq!(opening(OURS[2]), TransportError::Internal);
    }
}
