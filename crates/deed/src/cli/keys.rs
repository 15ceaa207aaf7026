//! `deed keys`: creates, lists and revokes API keys in the store, also while the service runs.
use clap::{Args, Subcommand};
use deed_claims::{Clock, WorkspaceId};
use deed_service::Store;
use deed_store::{ApiKey, KeyId, KeyOwner, KeyScope, SystemClock};
use serde_json::{Value, json};

use crate::api_keys::new_key;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::table;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Create a key; its secret is shown only once
    Create(Create),
    /// List all keys, revoked ones included, without secrets
    List,
    /// Revoke a key by its id (`key_…`)
    Revoke {
        /// The id, as printed by `deed keys list`
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    owner: Owner,
    /// A name for the key
    #[arg(long, default_value = "")]
    name: String,
    /// The scopes of the key [default: all]
    #[arg(long, value_delimiter = ',', value_name = "SCOPE")]
    scopes: Vec<KeyScope>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Owner {
    /// The workspace that the key acts for
    #[arg(long, value_name = "ID")]
    workspace: Option<WorkspaceId>,
    /// A service key: each request names its workspace in `Deed-Workspace`
    #[arg(long)]
    service: bool,
}

impl Keys {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let settings = context.settings()?;
        let store = match self {
            Self::Create(_) => Store::open_or_create(&settings).await?,
            Self::List | Self::Revoke { .. } => Store::open_existing(&settings).await?,
        };
        let done = self.execute(context, &store).await;
        store.close().await?;
        done
    }

    async fn execute(self, context: &Context, store: &Store) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => {
                let owner = create.owner.workspace.map_or(KeyOwner::Service, KeyOwner::Workspace);
                let scopes = if create.scopes.is_empty() {
                    KeyScope::ALL.into()
                } else {
                    create.scopes.into_iter().collect()
                };
                let made = new_key(store, create.name, owner, scopes).await?;
                let mut shown = view(&made.key);
                shown["secret"] = Value::from(made.secret.as_str());
                let words = |_: &Value| {
                    format!("{}\n\nThis is the key {}; it is not shown again.", made.secret, made.key.id)
                };
                context.output.print(&shown, words)?;
            }
            Self::List => {
                let keys = store.keys.list().await?;
                let shown: Vec<Value> = keys.iter().map(view).collect();
                context.output.print(&shown, |_| listing(&keys))?;
            }
            Self::Revoke { id } => {
                if !store.keys.revoke(&KeyId(id.clone()), SystemClock.now()).await? {
                    return Err(Failure::NotFound(format!(
                        "there is no key `{id}` that is not revoked already"
                    )));
                }
                context
                    .output
                    .print(&json!({ "id": id, "revoked": true }), |_| format!("{id} is revoked"))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn view(key: &ApiKey) -> Value {
    let workspace = match &key.owner {
        KeyOwner::Workspace(id) => Value::from(id.as_str()),
        KeyOwner::Service => Value::Null,
    };
    json!({
        "id": key.id,
        "name": key.name,
        "workspace": workspace,
        "service": matches!(key.owner, KeyOwner::Service),
        "scopes": key.scopes,
        "createdAt": key.created_at,
        "revokedAt": key.revoked_at,
    })
}

fn listing(keys: &[ApiKey]) -> String {
    let mut rows = vec![["ID", "ACTS FOR", "NAME", "SCOPES", "MADE", "REVOKED"].map(str::to_owned).to_vec()];
    rows.extend(keys.iter().map(|key| {
        let owner = match &key.owner {
            KeyOwner::Workspace(id) => id.to_string(),
            KeyOwner::Service => "(service)".to_owned(),
        };
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let day = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M").to_string();
        let revoked = key.revoked_at.map(day).unwrap_or_default();
        vec![key.id.to_string(), owner, key.name.clone(), scopes.join(","), day(key.created_at), revoked]
    }));
    table(&rows)
}
