//! Where two values differ first, and how far they are from each other.
/// The first place at which a value is not the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge) struct Difference {
    /// In characters, counted from 1.
    pub place: usize,
    /// What stands there; none where the value has ended.
    pub found: Option<char>,
    /// What has to stand there; none where the value has to end.
    pub expected: Option<char>,
}

impl Difference {
    /// Where two values differ; none when they do not.
    pub fn between(found: &[char], expected: &[char]) -> Option<Self> {
        let same = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
        let (seen, wanted) = (found.get(same).copied(), expected.get(same).copied());
        (seen != wanted).then_some(Self { place: same + 1, found: seen, expected: wanted })
    }
}

/// What turns a value into one that is one edit away from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge) enum Edit {
    /// One character is another.
    Changed,
    /// One is missing.
    Missing,
    /// One is too many.
    Extra,
    /// Two neighbours have changed places.
    Swapped,
}

/// The one edit between two values; none when there is none, or more than one.
pub(super) fn single_edit(found: &[char], expected: &[char]) -> Option<Edit> {
    let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let (seen, wanted) = (&found[at..], &expected[at..]);
    let behind = |chars: &[char], count: usize| chars.get(count..).map(<[char]>::to_vec);
    match (behind(seen, 1), behind(wanted, 1)) {
        (Some(a), Some(b)) if a == b => Some(Edit::Changed),
        (_, Some(b)) if seen == b => Some(Edit::Missing),
        (Some(a), _) if a == wanted => Some(Edit::Extra),
        _ => {
            let crossed = seen.len() > 1 && wanted.len() > 1 && seen[0] == wanted[1] && seen[1] == wanted[0];
            (crossed && behind(seen, 2) == behind(wanted, 2)).then_some(Edit::Swapped)
        }
    }
}

/// How many characters have to be changed, put in, taken out or swapped with their neighbour (optimal string alignment) to
/// turn one text into the other; none when it is more than `most`. Texts whose lengths differ by more are not compared, so
/// that the time does not grow with the length of a stranger's text.
pub(super) fn distance(one: &[char], other: &[char], most: usize) -> Option<usize> {
    let comparable = one.len().abs_diff(other.len()) <= most;
    let text = |chars: &[char]| chars.iter().collect::<String>();
    comparable.then(|| strsim::osa_distance(&text(one), &text(other))).filter(|edits| *edits <= most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn the_first_difference_has_a_place_and_both_characters() {
        let between = |found: &str| Difference::between(&chars(found), &chars("claim=abl"));
        let place = |place, found, expected| Some(Difference { place, found, expected });
        assert_eq!(between("claim=abl"), None);
        assert_eq!(between("claim=abl."), place(10, Some('.'), None));
        assert_eq!(between("claim=ab"), place(9, None, Some('l')));
        assert_eq!(between("<claim=abl>"), place(1, Some('<'), Some('c')));
    }

    #[test]
    fn one_edit_is_told_by_its_kind() {
        let edit = |found: &str| single_edit(&chars(found), &chars("abcd"));
        assert_eq!(edit("abXd"), Some(Edit::Changed));
        assert_eq!(edit("acd"), Some(Edit::Missing));
        assert_eq!(edit("abc"), Some(Edit::Missing));
        assert_eq!(edit("abbcd"), Some(Edit::Extra));
        assert_eq!(edit("abcdX"), Some(Edit::Extra));
        assert_eq!(edit("acbd"), Some(Edit::Swapped));
        for other in ["abcd", "abXY", "bacX", "", "dcba"] {
            assert_eq!(edit(other), None, "{other}");
        }
    }

    #[test]
    fn distances_are_exact_up_to_their_bound() {
        let of = |one: &str, other: &str, most| distance(&chars(one), &chars(other), most);
        assert_eq!(of("kitten", "sitting", 3), Some(3));
        assert_eq!(of("kitten", "sitting", 2), None);
        assert_eq!(of("ab", "ba", 1), Some(1));
        assert_eq!(of("", "ab", 2), Some(2));
        assert_eq!(of("same", "same", 0), Some(0));
    }

    proptest! {
        #[test]
        fn one_edit_is_a_distance_of_one(one in "[ab]{0,12}", other in "[abc]{0,12}", most in 1_usize..8) {
            let (one, other) = (chars(&one), chars(&other));
            let edits = distance(&one, &other, most);
            prop_assert_eq!(single_edit(&one, &other).is_some(), edits == Some(1));
        }
    }
}
