//! What `deed dev` tells of the running service.
use std::net::SocketAddr;
use std::path::PathBuf;

use deed_claims::{Scope, Token};
use deed_service::config::Settings;
use serde::Serialize;

use super::keys::DevKeys;
use crate::exit::Failure;

/// The hostname that the walk-through adds to an app.
pub(super) const HOST: &str = "docs.acme.com";

/// Addresses, keys and paths of the running service.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Running {
    pub(crate) urls: Urls,
    pub(crate) keys: DevKeys,
    /// The configuration file, for `--config` of other commands.
    pub(crate) config: PathBuf,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Whether the folder is removed at the end.
    pub(crate) temporary: bool,
    /// For the walk-through only.
    #[serde(skip)]
    pub(super) host_record: HostRecord,
}

/// The validation record of the hostname in the walk-through, with a placeholder for the token.
#[derive(Debug, Clone)]
pub(super) struct HostRecord {
    pub(super) name: String,
    pub(super) value: String,
}

impl HostRecord {
    pub(super) fn of(settings: &Settings) -> Result<Self, Failure> {
        let host =
            HOST.parse().map_err(|error| Failure::with_source("the walk-through has no name", error))?;
        let token = Token::from_bytes([0; 20]);
        let made = settings.templates.challenge(Scope::Host, &host, token.clone());
        let value = made.record_value.replace(token.as_str(), "$TOKEN");
        Ok(Self { name: made.record_name.to_string(), value })
    }
}

/// The URLs of the parts.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Urls {
    pub(crate) api: String,
    pub(crate) ops: String,
    /// The control interface of the sandbox.
    pub(crate) control: String,
    /// The DNS address of the sandbox, UDP and TCP.
    pub(crate) dns: SocketAddr,
}
