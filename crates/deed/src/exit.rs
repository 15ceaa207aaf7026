//! Exit codes, and the error messages of commands.
use std::error::Error;
use std::fmt::Write as _;
use std::io;

use deed_service::config::ConfigFaults;
use deed_service::{ServiceError, StoreError};
use serde_json::json;

/// The exit codes, as `--help` lists them.
pub(crate) const CODES: &str = "Exit codes: 0 success · 1 failed · 2 usage or configuration · \
                                3 not found, or a negative answer · 4 a service, or the store, does not answer";

/// The exit code of a command.
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

/// The error of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration has faults.
    #[error(transparent)]
    Config(#[from] ConfigFaults),
    /// The service cannot start, or did not end well.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// An argument is invalid in a way that parsing does not detect.
    #[error("{0}")]
    Usage(String),
    /// The object does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A server, or the store, does not answer.
    #[error("{what}")]
    Unavailable {
        what: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Any other error.
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

    /// A failure with its cause.
    pub(crate) fn with_source(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
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
            Self::Service(error) => match error {
                ServiceError::Setting(_) => Exit::Usage,
                ServiceError::Store(StoreError::Missing(_)) => Exit::Negative,
                ServiceError::Store(StoreError::InUse(_) | StoreError::Unavailable(_)) => Exit::Unavailable,
                _ => Exit::Failed,
            },
        }
    }

    /// The message and its causes, in one line.
    fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }

    /// The text for standard error.
    pub(crate) fn report(&self, as_json: bool) -> String {
        if !as_json {
            return format!("deed: {}", self.with_causes());
        }
        match self {
            Self::Config(ConfigFaults(faults)) => {
                json!({ "error": "the configuration has faults", "faults": faults })
            }
            _ => json!({ "error": self.with_causes() }),
        }
        .to_string()
    }
}

impl From<deed_store::Unavailable> for Failure {
    fn from(error: deed_store::Unavailable) -> Self {
        Self::Unavailable { what: "the store does not answer".to_owned(), source: Some(Box::new(error)) }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::with_source("input or output failed", error)
    }
}
