//! How many sockets may be open without the process running out of file descriptors.

/// Descriptors reserved for the store, the broker and the HTTP server.
const RESERVE: usize = 256;
/// The usual soft limit, where the system does not report one.
const USUAL: usize = 1024;
/// The minimum, however small the limit.
const LEAST: usize = 16;

/// A quarter of what the reserve leaves, so that there is room for retransmissions, connections and a second prober.
pub(crate) fn sockets_in_flight() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    share(soft_limit(&limits).unwrap_or(USUAL))
}

fn share(limit: usize) -> usize {
    (limit.saturating_sub(RESERVE) / 4).max(LEAST)
}

/// The soft limit from the text of `/proc/self/limits`.
fn soft_limit(limits: &str) -> Option<usize> {
    let fields = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match fields.split_whitespace().next()? {
        "unlimited" => Some(1 << 20),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             95000                95000                processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(text), Some(1024));
        assert_eq!(soft_limit("Max open files   unlimited  unlimited files"), Some(1 << 20));
        assert_eq!(soft_limit(""), None);
    }

    #[test]
    fn uses_quarter_of_descriptors_above_reserve() {
        assert_eq!(share(1024), 192);
        assert_eq!(share(100), LEAST);
    }
}
