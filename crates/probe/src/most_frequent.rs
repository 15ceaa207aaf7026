//! Decides by plurality.

/// The most frequent item; the earliest where several are equally frequent.
pub(crate) fn most_frequent<T: PartialEq>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: Vec<(T, usize)> = vec![];
    for item in items {
        match counts.iter_mut().find(|(seen, _)| *seen == item) {
            Some((_, count)) => *count += 1,
            None => counts.push((item, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(item, _)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_frequent_item_wins_and_earliest_on_tie() {
        assert_eq!(most_frequent([5, 2, 2].into_iter()), Some(2));
        assert_eq!(most_frequent([5, 2].into_iter()), Some(5));
        assert_eq!(most_frequent(std::iter::empty::<u8>()), None);
    }
}
