//! The first difference between two values, and their edit distance.

/// The first place at which a value is not the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Difference {
    /// In characters, counted from 1.
    pub place: usize,
    /// The character found; none where the value has ended.
    pub found: Option<char>,
    /// The character expected; none where the value has to end.
    pub expected: Option<char>,
}

impl Difference {
    /// The first difference of two values; none where they are equal.
    pub fn between(found: &[char], expected: &[char]) -> Option<Self> {
        let same = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
        let (a, b) = (found.get(same).copied(), expected.get(same).copied());
        (a != b).then_some(Self { place: same + 1, found: a, expected: b })
    }
}

/// The kind of a single edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// One character is replaced.
    Changed,
    /// One character is missing.
    Missing,
    /// One character is inserted.
    Extra,
    /// Two adjacent characters are swapped.
    Swapped,
}

/// The single edit between two values; none where there is no edit or more than one.
pub(super) fn single_edit(found: &[char], expected: &[char]) -> Option<Edit> {
    let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let (found, expected) = (&found[at..], &expected[at..]);
    let behind = |chars: &[char], count: usize| chars.get(count..).map(<[char]>::to_vec);
    match (behind(found, 1), behind(expected, 1)) {
        (Some(a), Some(b)) if a == b => Some(Edit::Changed),
        (_, Some(b)) if found == b => Some(Edit::Missing),
        (Some(a), _) if a == expected => Some(Edit::Extra),
        _ => {
            let swapped =
                found.len() > 1 && expected.len() > 1 && found[0] == expected[1] && found[1] == expected[0];
            (swapped && behind(found, 2) == behind(expected, 2)).then_some(Edit::Swapped)
        }
    }
}

/// The edit distance of two texts by optimal string alignment: replaced, inserted, removed and swapped characters. None
/// where it is more than `most`. Texts whose lengths differ by more are not compared, so that the length of foreign
/// text does not determine the time.
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
    fn finds_the_first_difference() {
        let between = |found: &str| Difference::between(&chars(found), &chars("claim=abl"));
        let place = |place, found, expected| Some(Difference { place, found, expected });
        assert_eq!(between("claim=abl"), None);
        assert_eq!(between("claim=abl."), place(10, Some('.'), None));
        assert_eq!(between("claim=ab"), place(9, None, Some('l')));
        assert_eq!(between("<claim=abl>"), place(1, Some('<'), Some('c')));
    }

    #[test]
    fn recognises_each_kind_of_edit() {
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
    fn distance_is_exact_up_to_its_bound() {
        let of = |one: &str, other: &str, most| distance(&chars(one), &chars(other), most);
        assert_eq!(of("kitten", "sitting", 3), Some(3));
        assert_eq!(of("kitten", "sitting", 2), None);
        assert_eq!(of("ab", "ba", 1), Some(1));
        assert_eq!(of("", "ab", 2), Some(2));
        assert_eq!(of("same", "same", 0), Some(0));
    }

    proptest! {
        #[test]
        fn a_single_edit_has_distance_one(one in "[ab]{0,12}", other in "[abc]{0,12}", most in 1_usize..8) {
            let (one, other) = (chars(&one), chars(&other));
            let edits = distance(&one, &other, most);
            prop_assert_eq!(single_edit(&one, &other).is_some(), edits == Some(1));
        }
    }
}
