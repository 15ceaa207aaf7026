//! `deed dev`: what can be asked of it, and what it says when it runs.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::Context;
use crate::dev::{self, Layout, Place, Wishes, walkthrough};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Run everything on this machine, with a sandbox DNS, ready keys and a walk-through
///
/// The usual ports are 8080 (HTTP interface), 8081 (operations), 8082 (sandbox control) and 8053 (sandbox DNS); where one
/// is taken, another is found. The schedule is shortened: a record is seen about two seconds after it was published.
/// The configuration that results is written to deed.toml in the data folder, for other commands to take with --config;
/// itself, `deed dev` takes DEED__… variables but no --config. With `DEED__STORE__URL` and `DEED__BUS__URL` it runs on a
/// PostgreSQL server, whose tables it brings up to date, and a RabbitMQ broker.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Keep everything in this folder; without it a temporary one is used, and removed at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The address of the HTTP interface
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The address of the operations port
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<SocketAddr>,
    /// The address of the sandbox DNS, UDP and TCP
    #[arg(long, value_name = "ADDRESS")]
    dns_listen: Option<SocketAddr>,
    /// The address of the sandbox's control interface
    #[arg(long, value_name = "ADDRESS")]
    control_listen: Option<SocketAddr>,
    /// Run each role in processes of its own (one api, one projector, two verifiers) instead of all in this one; needs
    /// `DEED__STORE__URL` and `DEED__BUS__URL`
    #[arg(long)]
    processes: bool,
    /// Leave the walk-through out: print addresses and keys as one line of JSON, as with --json
    #[arg(long, short)]
    quiet: bool,
}

impl Dev {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let wishes = Wishes {
            data: self.data,
            listen: Place::of(self.listen, 8080),
            ops_listen: Place::of(self.ops_listen, 8081),
            control_listen: Place::of(self.control_listen, 8082),
            dns_listen: Place::of(self.dns_listen, 8053),
            layout: if self.processes { Layout::Processes } else { Layout::OneProcess },
        };
        let output = Output::new(self.quiet || context.output.is_json());
        Box::pin(dev::run(wishes, |running| Ok(output.answer(running, walkthrough::text)?))).await
    }
}
