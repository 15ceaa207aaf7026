//! The data folder of `deed dev`: a given one that is kept, or a temporary one.
use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use deed_service::config::{Secret, Settings};
use tempfile::TempDir;

use crate::exit::Failure;

/// The data folder.
#[derive(Debug)]
pub(super) enum Folder {
    Kept(PathBuf),
    Temporary(TempDir),
}

/// The root hints: they name the sandbox as the only server.
const HINTS: &str = "root.hints";
const CONFIG: &str = "deed.toml";

impl Folder {
    pub(super) fn open(kept: Option<PathBuf>) -> Result<Self, Failure> {
        let failed = |error| Failure::with_source("the data folder cannot be made", error);
        match kept {
            None => {
                tempfile::Builder::new().prefix("deed-dev-").tempdir().map(Self::Temporary).map_err(failed)
            }
            Some(path) => {
                fs::create_dir_all(&path).map_err(failed)?;
                // The written configuration must not depend on the working directory.
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

    /// The path of the configuration file.
    pub(super) fn config(&self) -> PathBuf {
        self.path().join(CONFIG)
    }

    /// Writes the configuration with mode 0600, because service URLs contain passwords.
    pub(super) fn write_config(&self, at: &Addresses) -> Result<(), Failure> {
        let hints = self.path().join(HINTS);
        let kind = if at.dns.is_ipv4() { "A" } else { "AAAA" };
        let roots = format!(". 5 NS ns.sandbox.\nns.sandbox. 5 {kind} {}\n", at.dns.ip());
        let path = self.config();
        fs::write(&hints, roots)
            .and_then(|()| write_for_owner(&path, &config(self.path(), &hints, at)))
            .map_err(|error| Failure::with_source(format!("{} cannot be written", path.display()), error))
    }

    /// Removes a temporary folder.
    pub(super) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Kept(_) => Ok(()),
            Self::Temporary(folder) => {
                folder.close().map_err(|error| Failure::with_source("the temporary folder stays", error))
            }
        }
    }
}

/// Writes a file with mode 0600.
pub(super) fn write_for_owner(path: &Path, text: &str) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // An existing file keeps its permissions unless they are set.
    out.set_permissions(Permissions::from_mode(0o600))?;
    out.write_all(text.as_bytes())
}

/// The addresses of the parts.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    /// The sandbox DNS.
    pub(super) dns: SocketAddr,
    /// The HTTP interface.
    pub(super) listen: SocketAddr,
    /// The operations port.
    pub(super) ops: SocketAddr,
    /// Database and broker, if the service uses them.
    pub(super) services: Option<Services>,
}

/// The URLs of services, from the environment.
#[derive(Clone, Default)]
pub(super) struct Services {
    store: Option<String>,
    bus: Option<String>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Services(…)")
    }
}

impl Services {
    /// None in embedded mode.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let url = |url: &Option<Secret>| url.as_ref().map(|url| url.reveal().to_owned());
        let found = Self { store: url(&settings.config.store.url), bus: url(&settings.config.bus.url) };
        (found.store.is_some() || found.bus.is_some()).then_some(found)
    }
}

fn config(folder: &Path, hints: &Path, at: &Addresses) -> String {
    let text = |text: String| toml::Value::String(text).to_string();
    let path = |path: &Path| text(path.display().to_string());
    let services = at.services.clone().unwrap_or_default();
    let url = |url: Option<String>| url.map(|url| format!("url = {}\n", text(url))).unwrap_or_default();
    format!(
        r#"# Written by `deed dev` at each start.
[server]
listen = "{listen}"
ops_listen = "{ops}"

[store]
data_dir = {data_dir}
{store_url}
[bus]
{bus_url}
# The sandbox is the whole DNS. Nothing is cached, so that every change is seen at once, and queries are not limited.
[dns]
vantage = "dev"
port = {port}
roots = {roots}
allow_networks = ["{address}"]
delegation_cache_ttl = "0s"
server_rate = 0

[names]
allow_special_use = true

# Short intervals, so that a record is seen about two seconds after it was published.
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
filter = "warn,actix_http=off,lapin=off,hickory_net=off,hickory_proto=off"
"#,
        listen = at.listen,
        ops = at.ops,
        data_dir = path(folder),
        store_url = url(services.store),
        bus_url = url(services.bus),
        port = at.dns.port(),
        roots = path(hints),
        address = at.dns.ip(),
    )
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use deed_service::config::{Inputs, load, log_filter};

    #[test]
    fn written_configuration_is_valid_and_private() {
        let folder = Folder::open(None).unwrap();
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let services =
            Some(Services { store: Some("postgres://u:p@db/deed".into()), bus: Some("amqp://mq".into()) });
        folder.write_config(&Addresses { dns: at(5353), listen: at(8080), ops: at(8081), services }).unwrap();
        let mode = fs::metadata(folder.config()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let loaded = load(Inputs { file: Some(folder.config()), variables: vec![], flags: vec![] });
        let filter = log_filter(&loaded.settings.unwrap().config.log.filter).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
            assert!(!tracing::enabled!(target: "actix_http::h1::dispatcher", tracing::Level::ERROR));
            assert!(tracing::enabled!(target: "deed_api::pipeline", tracing::Level::WARN));
        });
    }
}
