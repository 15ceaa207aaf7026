//! What is shown of a key: by `deed config`, and in faults.

/// A key with its present value.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyView {
    /// The section, such as `dns.budgets`.
    pub section: &'static str,
    /// The name of the key within its section.
    pub key: &'static str,
    /// Its value, with secrets redacted; none when it is not set.
    pub value: Option<toml::Value>,
    /// The expected type and bounds.
    pub expected: String,
}

impl KeyView {
    /// `section.key`
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}
