//! How the executable ends: the codes, and what is said when something went wrong.
use std::error::Error;
use std::fmt::Write as _;
use std::io;

use serde_json::json;

use crate::config::Faults;

/// The exit codes, as `--help` lists them.
pub(crate) const CODES: &str = "Exit codes: 0 success · 1 failed · 2 usage or configuration · \
                                3 not found, or a negative answer · 4 a service, or the store, does not answer";

/// How a command that did what it was asked to ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    Failed = 1,
    Usage = 2,
    Negative = 3,
    Unavailable = 4,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration is not sound.
    #[error(transparent)]
    Config(#[from] Faults),
    /// An argument makes no sense, beyond what parsing finds.
    #[error("{0}")]
    Usage(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Somebody who is needed does not answer.
    #[error("{what}")]
    Unavailable {
        what: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Anything else.
    #[error("{what}")]
    Failed {
        what: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl Failure {
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed { what: what.into(), source: None }
    }

    /// Something failed, and what it failed of.
    pub(crate) fn because(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed { what: what.into(), source: Some(source.into()) }
    }

    pub(crate) fn unavailable(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { what: what.into(), source: Some(source.into()) }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Usage(_) => Exit::Usage,
            Self::NotFound(_) => Exit::Negative,
            Self::Unavailable { .. } => Exit::Unavailable,
            Self::Failed { .. } => Exit::Failed,
        }
    }

    /// The failure and its causes in one line.
    fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }

    /// For standard error.
    pub(crate) fn report(&self, as_json: bool) -> String {
        if !as_json {
            return format!("deed: {}", self.sentence());
        }
        match self {
            Self::Config(Faults(faults)) => {
                json!({ "error": "the configuration has faults", "faults": faults })
            }
            _ => json!({ "error": self.sentence() }),
        }
        .to_string()
    }
}

impl From<deed_store::Unavailable> for Failure {
    fn from(error: deed_store::Unavailable) -> Self {
        Self::Unavailable { what: "the store does not answer".to_owned(), source: Some(Box::new(error)) }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::because("input or output failed", error)
    }
}
