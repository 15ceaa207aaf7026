//! Phrases: the key of a sentence and its named parameters.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Parameters by name. Values are printable ASCII of bounded length.
pub(crate) type Parameters = BTreeMap<String, String>;

/// One sentence as a key with parameters. Keys are stable: the words of a sentence may change, its meaning stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phrase {
    /// The key of the sentence, such as `no_record`.
    pub say: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: Parameters,
    /// Its lists; an empty list is omitted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, PhraseList>,
}

/// The beginning of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhraseList {
    /// The items that are shown.
    pub items: Vec<Phrase>,
    /// The number of items that are not shown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(more: &u32) -> bool {
    *more == 0
}

/// The phrase with this key.
pub(crate) fn say(key: &str) -> Phrase {
    Phrase { say: key.to_owned(), params: Parameters::new(), lists: BTreeMap::new() }
}

impl Phrase {
    /// Sets a parameter.
    #[expect(clippy::needless_pass_by_value, reason = "most arguments are temporary values")]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.params.insert(name.to_owned(), value.to_string());
        self
    }

    /// Sets a parameter if there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Sets a list in the given order.
    pub(crate) fn list(mut self, name: &str, items: Vec<Self>, most: usize) -> Self {
        if items.is_empty() {
            return self;
        }
        let more = u32::try_from(items.len().saturating_sub(most)).unwrap_or(u32::MAX);
        let items = items.into_iter().take(most).collect();
        self.lists.insert(name.to_owned(), PhraseList { items, more });
        self
    }
}
