//! `deed serve`: runs the service.
use std::net::SocketAddr;

use clap::Args;
use deed_service::config::load;
use deed_service::{StopCondition, serve};

use crate::context::Context;
use crate::exit::{Exit, Failure};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The roles of this process: api, verifier, projector
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
    /// The address of the HTTP interface
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The address of the operations port
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<SocketAddr>,
    /// Shut down at the end of standard input, for a parent process that must not be outlived
    #[arg(long)]
    stop_with_stdin: bool,
}

impl Serve {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut inputs = context.inputs();
        inputs.flag("--roles", "server.roles", self.roles);
        inputs.flag("--listen", "server.listen", self.listen);
        inputs.flag("--ops-listen", "server.ops_listen", self.ops_listen);
        let settings = load(inputs).settings?;
        let until = if self.stop_with_stdin { StopCondition::StdinClosed } else { StopCondition::Signal };
        Box::pin(serve(settings, until)).await?;
        Ok(Exit::Success)
    }
}
