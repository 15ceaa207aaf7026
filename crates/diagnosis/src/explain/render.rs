//! Renders phrases as text.
//!
//! In a template `{name}` is a parameter or a list, and `{name:filter}` is a formatted parameter. A part in square
//! brackets is omitted where one of its parameters is missing; outside of brackets a missing parameter reads "none".
//! Some names combine several parameters: see [`PhraseRenderer::value`].
use std::collections::BTreeSet;

use super::filters;
use super::phrase::{Parameters, Phrase, PhraseList};
use super::sentences::template;

/// The most characters of a message or a fix.
const MAX_CHARS: usize = 1000;

/// The most items of a list.
const MAX_ITEMS: usize = 4;

/// The text of a missing parameter.
const NONE: &str = "none";

/// Phrases as one text of bounded length. All of them share the parameters in `common`.
pub(crate) fn render(phrases: &[Phrase], common: &Parameters) -> String {
    let sentences = phrases.iter().map(|phrase| PhraseRenderer { phrase, common }.text());
    cut(sentences.filter(|sentence| !sentence.is_empty()).collect::<Vec<_>>().join(" "))
}

/// One item of a list.
fn render_item(item: &Phrase) -> String {
    PhraseRenderer { phrase: item, common: &Parameters::new() }.text()
}

impl Phrase {
    /// Sets a list in canonical order without duplicates, since the order of servers varies.
    pub(crate) fn sorted(self, name: &str, items: impl IntoIterator<Item = Self>) -> Self {
        let items: BTreeSet<(String, Self)> =
            items.into_iter().map(|item| (render_item(&item), item)).collect();
        self.list(name, items.into_iter().map(|(_, item)| item).collect(), MAX_ITEMS)
    }
}

/// Renders one phrase.
struct PhraseRenderer<'a> {
    phrase: &'a Phrase,
    common: &'a Parameters,
}

impl PhraseRenderer<'_> {
    fn text(&self) -> String {
        match template(&self.phrase.say) {
            Some(template) => {
                let mut text = String::new();
                let mut rest = template;
                while let Some((before, behind)) = rest.split_once('[') {
                    text.push_str(&self.filled(before, Some(NONE)).unwrap_or_default());
                    let (optional, after) = behind.split_once(']').unwrap_or((behind, ""));
                    text.push_str(&self.filled(optional, None).unwrap_or_default());
                    rest = after;
                }
                text.push_str(&self.filled(rest, Some(NONE)).unwrap_or_default());
                text.trim().to_owned()
            }
            // A key of a newer version.
            None => format!("[{}]", self.phrase.say),
        }
    }

    /// A part of a template with its parameters; `default` replaces a missing one, and none where there is no default.
    fn filled(&self, part: &str, default: Option<&str>) -> Option<String> {
        let mut text = String::new();
        let mut rest = part;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind.split_once('}')?;
            text.push_str(before);
            text.push_str(&self.value(name).or_else(|| default.map(ToOwned::to_owned))?);
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }

    /// The text of a name in a template; some names combine several parameters.
    fn value(&self, name: &str) -> Option<String> {
        if let Some((name, filter)) = name.split_once(':') {
            return filters::apply(filter, self.parameter(name));
        }
        match name {
            "record" | "value" | "end" => self.quoted(name),
            "target" => self.quoted("target").or_else(|| Some("another name".to_owned())),
            "last" => self.quoted("end").or_else(|| Some("another name".to_owned())),
            "above" => self.quoted("above").or_else(|| Some("a name above".to_owned())),
            "zone" => Some(self.zone()),
            "parent" => self.parameter("parent").map(|parent| match parent {
                "" => "the root zone".to_owned(),
                parent => format!("the zone `{parent}`"),
            }),
            "place" => self.place(),
            "entry" => self.entry(),
            "sides" => self.sides(),
            "chain" => self.phrase.lists.get("chain").map(chained),
            _ => {
                let list = self.phrase.lists.get(name).map(listed);
                list.or_else(|| self.parameter(name).map(ToOwned::to_owned))
            }
        }
    }

    fn quoted(&self, name: &str) -> Option<String> {
        self.parameter(name).map(|text| format!("`{text}`"))
    }

    fn zone(&self) -> String {
        match self.parameter("zone") {
            None => "the zone".to_owned(),
            Some("" | ".") => "the root zone".to_owned(),
            Some(zone) => format!("`{zone}`"),
        }
    }

    /// The record's name, with the end of its aliases.
    fn place(&self) -> Option<String> {
        let record = self.quoted("record")?;
        Some(match self.quoted("end") {
            None => record,
            Some(end) => format!("{record}, an alias of {end},"),
        })
    }

    /// The record's name as entered in an editor, which may append the zone by itself.
    fn entry(&self) -> Option<String> {
        let record = self.quoted("record")?;
        Some(match (self.quoted("label"), self.quoted("zone")) {
            (Some(label), Some(zone)) => {
                format!("{label} (or {record}, if other names in your editor end in {zone})")
            }
            _ => format!("{record} (without the domain's own name in an editor that appends it)"),
        })
    }

    /// The servers that have the value and those that do not.
    fn sides(&self) -> Option<String> {
        let side = |name: &str| self.phrase.lists.get(name).map(|list| format!("{name} on {}", listed(list)));
        match (side("present"), side("missing")) {
            (Some(present), Some(missing)) => Some(format!("{present}, {missing}")),
            (present, missing) => present.or(missing),
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.phrase.params.get(name).or_else(|| self.common.get(name)).map(String::as_str)
    }
}

/// `a, b, c, d and 3 more`
fn listed(list: &PhraseList) -> String {
    let shown = list.items.iter().map(render_item).collect::<Vec<_>>().join(", ");
    match list.more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `a -> b -> ...`
fn chained(list: &PhraseList) -> String {
    let chain = list.items.iter().map(render_item).collect::<Vec<_>>().join(" -> ");
    if list.more > 0 { format!("{chain} -> ...") } else { chain }
}

/// Cuts a text to the maximum length; it is ASCII, so a byte is a character.
fn cut(mut text: String) -> String {
    if text.len() > MAX_CHARS {
        let end = (0..=MAX_CHARS - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Parameters, say};
    use super::*;

    fn text(phrase: Phrase) -> String {
        let common = [("record", "_deed.acme.com"), ("value", "v")];
        let common = common.map(|(name, value)| (name.to_owned(), value.to_owned()));
        render(&[phrase], &Parameters::from(common))
    }

    #[test]
    fn omits_optional_parts_without_parameters() {
        let servers = || [say("server").with("server", "ns1")];
        assert_eq!(text(say("said_by").sorted("without", servers())), "Name servers that do not: ns1.");
        assert_eq!(text(say("lame")), "Name servers are listed for the zone that do not serve it.");
        assert_eq!(text(say("result_timeout").with("server", "ns1")), "ns1 (no answer in none ms)");
    }

    #[test]
    fn never_interprets_parameters_as_templates() {
        let found = "{value}[x] `{record}`";
        let text = text(say("value_is").with("found", found));
        assert_eq!(
            text,
            format!("The TXT record at `_deed.acme.com` has the value `{found}`, expected is `v`.")
        );
    }

    #[test]
    fn counts_items_that_are_not_shown() {
        let servers = (1..=6).map(|n| say("server").with("server", format!("ns{n}")));
        let text = text(say("blocked").sorted("servers", servers));
        assert!(text.contains(": ns1, ns2, ns3, ns4 and 2 more."), "{text}");
    }

    #[test]
    fn shows_the_key_of_an_unknown_sentence() {
        assert_eq!(text(say("of_tomorrow").with("x", "1")), "[of_tomorrow]");
    }
}
