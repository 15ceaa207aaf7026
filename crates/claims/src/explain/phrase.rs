//! What a sentence is made of: its key, and named parameters.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::render_item;

/// Parameters by name. Values are printable ASCII, and cut.
pub(crate) type Parameters = BTreeMap<String, String>;

/// Items of a list that are kept.
const ITEMS: usize = 4;

/// One sentence as facts. Keys are stable: what a key says may be reworded, what it means stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phrase {
    /// The key of the sentence, such as `no_record`.
    pub say: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: Parameters,
    /// Its lists; one without items is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, PhraseList>,
}

/// The beginning of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhraseList {
    /// The items that are named.
    pub items: Vec<Phrase>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(more: &u32) -> bool {
    *more == 0
}

/// The sentence with this key.
pub(crate) fn say(key: &str) -> Phrase {
    Phrase { say: key.to_owned(), params: Parameters::new(), lists: BTreeMap::new() }
}

impl Phrase {
    /// Sets a parameter.
    #[expect(clippy::needless_pass_by_value, reason = "values of any kind, most of them made for this")]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.params.insert(name.to_owned(), value.to_string());
        self
    }

    /// Sets a parameter where there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Sets a list in the order that it has.
    pub(crate) fn list(mut self, name: &str, items: Vec<Self>, most: usize) -> Self {
        if items.is_empty() {
            return self;
        }
        let more = u32::try_from(items.len().saturating_sub(most)).unwrap_or(u32::MAX);
        let items = items.into_iter().take(most).collect();
        self.lists.insert(name.to_owned(), PhraseList { items, more });
        self
    }

    /// Sets a list in an order of its own, each item once: that of servers is another each time.
    pub(crate) fn sorted(self, name: &str, items: impl IntoIterator<Item = Self>) -> Self {
        let items: BTreeSet<(String, Self)> =
            items.into_iter().map(|item| (render_item(&item), item)).collect();
        self.list(name, items.into_iter().map(|(_, item)| item).collect(), ITEMS)
    }
}
