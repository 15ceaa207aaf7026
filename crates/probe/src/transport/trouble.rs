//! Why no answer came, and whose fault that is.
use std::io;

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Silence.
    Timeout,
    /// Refused, reset, or no way there.
    Unreachable,
    /// Only bytes that are no answer to the question.
    Malformed,
    /// Only an answer in another letter case than asked.
    CaseDiffers,
    /// Ours: no descriptor, no memory, no random number.
    Internal,
    /// Ours: no socket was free, or the server may not be asked more, until the look's time was over.
    Crowded,
}

impl Trouble {
    /// Tells the far side's trouble from our own. Whatever is not known to be ours counts as theirs: addresses are
    /// chosen by strangers, and what the network answers to them is unbounded.
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

    /// The trouble of making a socket, before any address is known to it: what the system forbids or has run out of
    /// is ours, a family it does not have is not.
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
    fn only_what_we_have_run_out_of_is_ours() {
        let of = |code| Trouble::of(&io::Error::from_raw_os_error(code));
        for ours in OURS {
            assert_eq!(of(ours), Trouble::Internal, "{ours}");
        }
        assert_eq!(Trouble::of(&io::ErrorKind::OutOfMemory.into()), Trouble::Internal);
        let theirs =
            [io::ErrorKind::ConnectionRefused, io::ErrorKind::PermissionDenied, io::ErrorKind::Other];
        for kind in theirs {
            assert_eq!(Trouble::of(&kind.into()), Trouble::Unreachable, "{kind}");
        }
        assert_eq!(Trouble::of(&io::ErrorKind::TimedOut.into()), Trouble::Timeout);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_network_says_of_an_address_is_not_ours() {
        const EAFNOSUPPORT: i32 = 97;
        const EACCES: i32 = 13;
        // EPROTO, EMSGSIZE, ENOPROTOOPT, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH
        for code in [71, 90, 92, 99, 101, 113] {
            assert_eq!(Trouble::of(&io::Error::from_raw_os_error(code)), Trouble::Unreachable, "{code}");
        }
        let opening = |code| Trouble::of_opening(&io::Error::from_raw_os_error(code));
        assert_eq!(opening(EAFNOSUPPORT), Trouble::Unreachable, "a host without IPv6");
        assert_eq!(opening(EACCES), Trouble::Internal);
        assert_eq!(opening(OURS[2]), Trouble::Internal);
    }
}
