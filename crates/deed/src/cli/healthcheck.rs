//! `deed healthcheck`: queries `/readyz` of a running service, for containers and scripts.
use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::client::JsonClient;
use crate::context::Context;
use crate::exit::{Exit, Failure};

#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    /// The URL of the operations port [default: `server.ops_listen` of the configuration]
    #[arg(long, env = "DEED_OPS_URL", hide_env_values = true, value_name = "URL")]
    url: Option<String>,
}

impl Healthcheck {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let url = match self.url {
            Some(url) => url,
            None => format!("http://{}", reachable(context.settings()?.config.server.ops_listen)),
        };
        let answer = JsonClient::new(&url, None)?.send::<()>(Method::GET, &["readyz"], &[], None).await?;
        let ready = answer.status.is_success();
        let shown = json!({ "ready": ready, "status": answer.status.as_u16(), "detail": answer.body });
        context.output.print(&shown, |_| {
            if ready { "ready".to_owned() } else { format!("not ready: {}", answer.body) }
        })?;
        Ok(if ready { Exit::Success } else { Exit::Unavailable })
    }
}

/// The address at which a wildcard listener is reached from this machine.
pub(super) fn reachable(mut listen: std::net::SocketAddr) -> std::net::SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}
