//! Explains a near match: the value found, the value expected, their first difference, and the servers that show it.
use super::super::compare::{Difference, Edit, Flaw, Notation};
use super::super::judgement::NearMatch;
use super::{Explainer, Explanation};
use crate::characters::are_confusable;
use crate::escape::{MAX_CHARS, escape_bytes, escape_text, printable};
use crate::explain::{Phrase, code_point, say};

/// Characters shown before the first difference where a value is too long to be shown whole.
const CHARS_BEFORE_DIFFERENCE: usize = 20;
/// Characters shown of the text around a value.
const MAX_SURROUNDING: usize = 40;

impl Explainer<'_> {
    /// A value at the name that is nearly the expected one.
    pub(super) fn near_match(&self, near: &NearMatch) -> Explanation {
        if let Flaw::Split { rest } = &near.flaw {
            return self.split(&near.value, rest);
        }
        let difference = self.judgement.expected.difference(&near.value);
        let mut message = vec![say("value_is").with("found", excerpt(&near.value, difference))];
        message.push(self.flaw(&near.flaw, difference));
        // The value of an earlier claim differs everywhere, so the first difference says nothing.
        if !matches!(near.flaw, Flaw::Earlier(_)) {
            message.extend(difference.map(difference_phrase));
        }
        message.extend(self.servers_that(|counted| counted.shows(&near.value)));
        Explanation { message, fix: value_fix(&near.flaw) }
    }

    fn split(&self, first: &[u8], rest: &[u8]) -> Explanation {
        let halves = say("halves").with("first", printable(first)).with("rest", printable(rest));
        let servers = self.servers_that(|counted| counted.shows(first) && counted.shows(rest));
        Explanation { message: super::with_servers(halves, servers), fix: vec![say("join_halves")] }
    }

    /// The sentence that names the flaw.
    fn flaw(&self, flaw: &Flaw, difference: Option<Difference>) -> Phrase {
        let prefix = || escape_text(self.judgement.expected.prefix(), MAX_SURROUNDING);
        match flaw {
            // Explained by `split`.
            Flaw::Split { .. } => say("flaw_edits"),
            Flaw::Quoted(mark) => say("flaw_quoted").with("mark", code_point(*mark)),
            Flaw::Space { what, place } => {
                let elsewhere = difference.is_none_or(|difference| difference.place != *place);
                say("flaw_space").with("what", code_point(*what)).maybe("at", elsewhere.then_some(place))
            }
            Flaw::SpaceMissing { place } => say("flaw_space_missing").with("at", place),
            Flaw::Case => say("flaw_case"),
            Flaw::Doubled { times } => say("flaw_doubled").with("times", times),
            Flaw::TokenDoubled { times } => say("flaw_token_doubled").with("times", times),
            Flaw::OnlyToken => say("flaw_only_token").with("prefix", prefix()),
            Flaw::PrefixTwice => say("flaw_prefix_twice").with("prefix", prefix()),
            Flaw::OtherPrefix => say("flaw_other_prefix").with("prefix", prefix()),
            Flaw::NamePasted => say("flaw_name_pasted"),
            Flaw::Earlier(issued_at) => say("flaw_earlier").with("issued", issued_at.format("%Y-%m-%d")),
            Flaw::Truncated { kept, beginning } => say(if *beginning { "flaw_cut_end" } else { "flaw_cut" })
                .with("kept", kept)
                .with("length", self.judgement.expected.length()),
            Flaw::Encoded { notation, code, .. } => encoded(*notation).with("code", around(code)),
            Flaw::Surrounded { before, after } => surrounded(before, after),
            Flaw::Mistyped { edits, edit } => match edit {
                Some(edit) => edited(*edit),
                None if *edits == 1 => say("flaw_one_edit"),
                None => say("flaw_edits").with("edits", edits),
            },
            Flaw::OtherToken { as_long: true } => say("flaw_other_token"),
            Flaw::OtherToken { as_long: false } => say("flaw_other_rest"),
        }
    }
}

/// The sentences that say how to correct the value.
fn value_fix(flaw: &Flaw) -> Vec<Phrase> {
    match flaw {
        Flaw::OtherToken { .. } => vec![say("add"), say("this_may_stay")],
        Flaw::Quoted(mark) => vec![say("change_unquoted").with("mark", code_point(*mark))],
        Flaw::Space { .. } => vec![say("enter_without_blank")],
        Flaw::Surrounded { .. } => vec![say("change_bare")],
        Flaw::Case => vec![say("change_case")],
        Flaw::Mistyped { .. } => vec![say("enter_again")],
        _ => vec![say("change")],
    }
}

/// A value for a message; of a long one the part around the first difference.
fn excerpt(value: &[u8], difference: Option<Difference>) -> String {
    let whole = escape_bytes(value, usize::MAX);
    if whole.len() <= 2 * MAX_CHARS {
        return whole;
    }
    // Up to the difference it equals the expected value, whose characters are one byte each.
    let from =
        difference.map_or(0, |difference| difference.place - 1).saturating_sub(CHARS_BEFORE_DIFFERENCE);
    let before = if from > 0 { "..." } else { "" };
    format!("{before}{}", printable(value.get(from..).unwrap_or(value)))
}

/// The sentence with the place of the first difference and both characters.
fn difference_phrase(difference: Difference) -> Phrase {
    let Difference { place, found, expected } = difference;
    let alike = found.zip(expected).is_some_and(|(found, expected)| are_confusable(found, expected));
    say(if alike { "difference_alike" } else { "difference" })
        .with("at", place)
        .maybe("found", found.map(code_point))
        .maybe("expected", expected.map(code_point))
}

fn encoded(notation: Notation) -> Phrase {
    say(match notation {
        Notation::Url => "flaw_url_codes",
        Notation::Html => "flaw_html_codes",
        Notation::Mail => "flaw_mail_codes",
        Notation::ZoneFile => "flaw_zone_file_codes",
    })
}

fn edited(edit: Edit) -> Phrase {
    say(match edit {
        Edit::Changed => "flaw_changed",
        Edit::Missing => "flaw_missing",
        Edit::Extra => "flaw_extra",
        Edit::Swapped => "flaw_swapped",
    })
}

/// The sentence with the text around the value.
fn surrounded(before: &str, after: &str) -> Phrase {
    match (before.is_empty(), after.is_empty()) {
        (false, false) => say("flaw_around").with("before", around(before)).with("after", around(after)),
        (false, true) => say("flaw_before").with("before", around(before)),
        (true, _) => say("flaw_behind").with("after", around(after)),
    }
}

fn around(text: &str) -> String {
    escape_bytes(text.as_bytes(), MAX_SURROUNDING)
}
