//! How many sockets may be open without the process running out of file descriptors.
use rustix::process::{Resource, getrlimit};

/// Descriptors reserved for the store, the broker and the HTTP server.
const RESERVE: usize = 256;
/// Where the system sets no limit.
const UNLIMITED: usize = 1 << 20;
/// The minimum, however small the limit.
const LEAST: usize = 16;

/// A quarter of what the reserve leaves, so that there is room for retransmissions, connections and a second prober.
pub(crate) fn sockets_in_flight() -> usize {
    let limit = getrlimit(Resource::Nofile).current.and_then(|soft| usize::try_from(soft).ok());
    share(limit.unwrap_or(UNLIMITED).min(UNLIMITED))
}

fn share(limit: usize) -> usize {
    (limit.saturating_sub(RESERVE) / 4).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_quarter_of_descriptors_above_reserve() {
        assert_eq!(share(1024), 192);
        assert_eq!(share(100), LEAST);
        assert!((LEAST..UNLIMITED / 4).contains(&sockets_in_flight()));
    }
}
