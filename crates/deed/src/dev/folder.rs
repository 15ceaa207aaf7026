//! The folder in which `deed dev` keeps its files: given and kept, or temporary and gone at the end.
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::exit::Failure;

/// The service's files, and the configuration it runs by.
#[derive(Debug)]
pub(super) enum Folder {
    Kept(PathBuf),
    Temporary(TempDir),
}

/// Names the only server the sandbox is: the root's, and everybody else's.
const HINTS: &str = "root.hints";
const CONFIG: &str = "deed.toml";

impl Folder {
    pub(super) fn open(kept: Option<PathBuf>) -> Result<Self, Failure> {
        let failed = |error| Failure::because("the data folder cannot be made", error);
        match kept {
            None => {
                tempfile::Builder::new().prefix("deed-dev-").tempdir().map(Self::Temporary).map_err(failed)
            }
            Some(path) => {
                fs::create_dir_all(&path).map_err(failed)?;
                // What is written of it has to hold whatever folder others start from.
                fs::canonicalize(&path).map(Self::Kept).map_err(failed)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }

    /// Writes the configuration by which this service runs, and other commands find it.
    pub(super) fn write_config(
        &self,
        dns: SocketAddr,
        listen: SocketAddr,
        ops: SocketAddr,
    ) -> Result<PathBuf, Failure> {
        let hints = self.path().join(HINTS);
        let kind = if dns.is_ipv4() { "A" } else { "AAAA" };
        let written = fs::write(&hints, format!(". 5 NS ns.sandbox.\nns.sandbox. 5 {kind} {}\n", dns.ip()));
        let path = self.path().join(CONFIG);
        written
            .and_then(|()| fs::write(&path, config(self.path(), &hints, dns, listen, ops)))
            .map_err(|error| Failure::because(format!("{} cannot be written", path.display()), error))?;
        Ok(path)
    }

    /// Removes a temporary folder; a kept one stays.
    pub(super) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Kept(_) => Ok(()),
            Self::Temporary(folder) => {
                folder.close().map_err(|error| Failure::because("the temporary folder stays", error))
            }
        }
    }
}

fn config(folder: &Path, hints: &Path, dns: SocketAddr, listen: SocketAddr, ops: SocketAddr) -> String {
    let text = |text: String| toml::Value::String(text).to_string();
    let path = |path: &Path| text(path.display().to_string());
    format!(
        r#"# Written by `deed dev` at each start.
[server]
listen = "{listen}"
ops_listen = "{ops}"

[store]
data_dir = {data_dir}

# The sandbox is the whole DNS. Nothing is remembered of it, so that every change is seen at once.
[dns]
vantage = "dev"
port = {port}
roots = {roots}
allow_networks = ["{address}"]
delegation_cache_ttl = "0s"

[names]
allow_special_use = true

# Shortened, so that a record is seen about two seconds after it was published.
[policy]
watch_first = "1s"
watch_longest = "2s"
contest_interval = "2s"
manual_gap = "1s"
manual_per_hour = 100

[dispatcher]
poll = "200ms"

[subscriptions]
lease_ttl = "5s"

[log]
format = "human"
filter = "warn,actix_http=off"
"#,
        data_dir = path(folder),
        port = dns.port(),
        roots = path(hints),
        address = dns.ip(),
    )
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::config::{Inputs, load};

    #[test]
    fn the_configuration_is_sound_and_logs_nothing_that_clients_send_as_no_http() {
        let folder = Folder::open(None).unwrap();
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let file = folder.write_config(at(5353), at(8080), at(8081)).unwrap();
        let loaded = load(Inputs { file: Some(file), variables: vec![], flags: vec![] });
        let filter = crate::telemetry::filter(&loaded.config.log.filter.0).unwrap();
        assert!(loaded.settings.is_ok());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
            assert!(!tracing::enabled!(target: "actix_http::h1::dispatcher", tracing::Level::ERROR));
            assert!(tracing::enabled!(target: "deed_api::pipeline", tracing::Level::WARN));
        });
    }
}
