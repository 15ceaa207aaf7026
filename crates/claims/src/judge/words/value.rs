//! A value at the name that is nearly right: what stands there, what is expected, where they differ, who says so.
use chrono::{DateTime, Utc};

use super::super::Near;
use super::super::compare::{Difference, Edit, Flaw, marks_of, name_of};
use super::{Sentences, Words};
use crate::foreign::{CHARS, escaped, printable, verbatim};

/// Characters shown before the first difference where a value is too long to be shown.
const BEFORE: usize = 20;
/// Characters shown of what stands around a value.
const AROUND: usize = 40;

impl Words<'_> {
    /// A value at the name that is nearly right.
    pub(super) fn near(&self, near: &Near) -> Sentences {
        if let Flaw::Split { rest } = &near.flaw {
            return self.split(&near.value, rest);
        }
        let difference = self.case.wanted.difference(&near.value);
        let (place, value) = (self.place(), self.value());
        let found = Self::excerpt(&near.value, difference);
        let flaw = self.flaw(&near.flaw, difference);
        let where_ = match (&near.flaw, difference) {
            // A value that was never meant to be this one differs from it everywhere.
            (Flaw::Earlier(_), _) | (_, None) => String::new(),
            (_, Some(difference)) => format!(" {}", difference.sentence()),
        };
        let who = self.said_by(|said| said.shows(&near.value));
        let message = format!(
            "The TXT record at {place} has the value `{found}`, expected is {value}. {flaw}{where_}{who}"
        );
        (message, self.mend(&near.flaw))
    }

    /// What to do about a value that is nearly right.
    fn mend(&self, flaw: &Flaw) -> String {
        let value = self.value();
        match flaw {
            Flaw::OtherToken { .. } => format!("{} The record that is there may stay.", self.add()),
            Flaw::Quoted(mark) => format!(
                "Change the value of this TXT record to exactly {value}, without {marks}. If your editor shows {marks} around every \
                 value, delete the record, and add it again without typing any.",
                marks = marks_of(*mark)
            ),
            Flaw::Space { .. } => format!(
                "Delete the value of this TXT record completely, and enter {value} again without any blank."
            ),
            Flaw::Surrounded { .. } => format!(
                "Change the value of this TXT record to exactly {value}, with nothing before or behind it."
            ),
            Flaw::Case => format!(
                "Change the value of this TXT record to exactly {value}, with upper and lower case as they are here."
            ),
            Flaw::Mistyped { .. } => format!(
                "Delete the value of this TXT record completely, and enter {value} again, best by copy and paste."
            ),
            _ => format!("Change the value of this TXT record to exactly {value}."),
        }
    }

    fn split(&self, first: &[u8], rest: &[u8]) -> Sentences {
        let (place, value) = (self.place(), self.value());
        let who = self.said_by(|said| said.shows(first) && said.shows(rest));
        (
            format!(
                "Two TXT records at {place} have a part of the value each, `{}` and `{}`. Expected is one record with the \
                 value {value}.{who}",
                printable(first),
                printable(rest)
            ),
            format!(
                "Delete one of these two TXT records, and change the value of the other to exactly {value}."
            ),
        )
    }

    /// A value, cut; where it is long, the part around the first difference.
    fn excerpt(value: &[u8], difference: Option<Difference>) -> String {
        let whole = escaped(value, usize::MAX);
        if whole.len() <= 2 * CHARS {
            return whole;
        }
        // Up to the difference it is the expected value, of one byte a character.
        let from = difference.map_or(0, |difference| difference.place - 1).saturating_sub(BEFORE);
        let before = if from > 0 { "..." } else { "" };
        format!("{before}{}", printable(value.get(from..).unwrap_or(value)))
    }

    /// What is wrong with it, without the place.
    fn flaw(&self, flaw: &Flaw, difference: Option<Difference>) -> String {
        match flaw {
            Flaw::Split { .. } => String::new(),
            Flaw::Quoted(mark) => format!("It has {} in it, which are not part of the value.", marks_of(*mark)),
            Flaw::Space { what, place } => {
                let elsewhere = difference.is_none_or(|difference| difference.place != *place);
                let at = if elsewhere { format!(" at character {place}") } else { String::new() };
                format!("It has {} in it{at}, which does not belong there.", name_of(*what))
            }
            Flaw::SpaceMissing { place } => format!("A space is missing at character {place}."),
            Flaw::Case => "Only upper and lower case differ.".to_owned(),
            Flaw::Doubled { times } => format!("It has the expected value {} in one record.", often(*times)),
            Flaw::TokenDoubled { times } => {
                format!("It has the random part of the value {} in one record.", often(*times))
            }
            Flaw::OnlyToken => format!("The beginning {} is missing.", self.prefix()),
            Flaw::PrefixTwice => format!("It begins with {} more than once.", self.prefix()),
            Flaw::OtherPrefix => {
                format!("It has the right random part, but not the beginning {}.", self.prefix())
            }
            Flaw::NamePasted => "It begins with the record's name, which is not part of the value.".to_owned(),
            Flaw::Earlier(issued_at) => format!("It is the value of an earlier claim of yours, issued on {}, and does not count for this one.", date(*issued_at)),
            Flaw::Truncated { kept, beginning } => self.truncated(*kept, *beginning),
            Flaw::Encoded { notation, code, .. } => format!(
                "Some of its characters are written as {}, such as `{}`.",
                notation.codes(),
                escaped(code.as_bytes(), AROUND)
            ),
            Flaw::Surrounded { before, after } => surrounded(before, after),
            Flaw::Mistyped { edit, edits } => match edit {
                Some(Edit::Changed) => "One character is wrong.".to_owned(),
                Some(Edit::Missing) => "One character is missing.".to_owned(),
                Some(Edit::Extra) => "One character is too many.".to_owned(),
                Some(Edit::Swapped) => "Two characters next to each other are swapped.".to_owned(),
                None if *edits == 1 => {
                    "One character is wrong, missing or too many, besides marks, white space or upper and lower case."
                        .to_owned()
                }
                None => format!("{edits} characters are wrong, missing or too many."),
            },
            Flaw::OtherToken { as_long: true } => {
                "It begins in the same way, but has another random part: it looks like the value of another claim.".to_owned()
            }
            Flaw::OtherToken { as_long: false } => {
                "It begins in the same way, but the part behind that is another.".to_owned()
            }
        }
    }

    fn truncated(&self, kept: usize, beginning: bool) -> String {
        let length = self.case.wanted.length();
        if beginning {
            format!("It is cut off: only the first {kept} of {length} characters are there.")
        } else {
            format!(
                "It is cut off: only {kept} of {length} characters are there, and the beginning is missing."
            )
        }
    }

    /// What stands before the random part.
    fn prefix(&self) -> String {
        format!("`{}`", verbatim(self.case.wanted.prefix(), AROUND))
    }
}

/// What stands around the value.
fn surrounded(before: &str, after: &str) -> String {
    let shown = |text: &str| format!("`{}`", escaped(text.as_bytes(), AROUND));
    match (before.is_empty(), after.is_empty()) {
        (false, false) => {
            format!(
                "It has the expected value in it, but also {} before and {} behind it.",
                shown(before),
                shown(after)
            )
        }
        (false, true) => format!("It has the expected value in it, but also {} before it.", shown(before)),
        (true, _) => format!("It has the expected value in it, but also {} behind it.", shown(after)),
    }
}

/// `twice`, `3 times`
fn often(times: usize) -> String {
    if times == 2 { "twice".to_owned() } else { format!("{times} times") }
}

fn date(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}
