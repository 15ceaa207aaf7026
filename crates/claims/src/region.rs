//! Regions: an opaque text of the platform that is stored with a claim and returned.

/// The most characters of a region.
pub const MAX_REGION: usize = 64;

/// Whether a text is a valid region: at most [`MAX_REGION`] printable ASCII characters.
pub fn is_region(text: &str) -> bool {
    text.len() <= MAX_REGION && text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_short_and_printable() {
        assert!(is_region("") && is_region("eu-west-1") && is_region(&" ~".repeat(32)));
        for bad in ["eu\nwest", "\u{7f}", "\0", "\u{202e}eu", "zürich", &"x".repeat(65)] {
            assert!(!is_region(bad), "{bad:?}");
        }
    }
}
