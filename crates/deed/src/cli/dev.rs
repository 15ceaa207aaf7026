//! `deed dev`: arguments and output.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::context::Context;
use crate::dev::{self, DevOptions, Layout, ListenAddress, walkthrough};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Run everything on this machine, with a sandbox DNS, API keys and a walk-through
///
/// The default ports are 8080 (HTTP interface), 8081 (operations), 8082 (sandbox control) and 8053 (sandbox
/// DNS); a port that is in use is replaced by a free one. Intervals are shortened: a record is seen about two
/// seconds after it is published. The configuration is written to deed.toml in the data folder, for other
/// commands to use with --config; `deed dev` itself reads DEED__… variables but no --config. With
/// `DEED__STORE__URL` and `DEED__BUS__URL` it runs on a PostgreSQL server, which it migrates, and a RabbitMQ
/// broker.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Keep all data in this folder [default: a temporary folder, removed at the end]
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
    /// The address of the control interface of the sandbox
    #[arg(long, value_name = "ADDRESS")]
    control_listen: Option<SocketAddr>,
    /// Run each role in processes of its own (one api, one projector, two verifiers); needs
    /// `DEED__STORE__URL` and `DEED__BUS__URL`
    #[arg(long)]
    processes: bool,
    /// Omit the walk-through: print addresses and keys as one line of JSON, as with --json
    #[arg(long, short)]
    quiet: bool,
}

impl Dev {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let options = DevOptions {
            data: self.data,
            listen: ListenAddress::of(self.listen, 8080),
            ops_listen: ListenAddress::of(self.ops_listen, 8081),
            control_listen: ListenAddress::of(self.control_listen, 8082),
            dns_listen: ListenAddress::of(self.dns_listen, 8053),
            layout: if self.processes { Layout::Processes } else { Layout::OneProcess },
        };
        let output = Output::new(self.quiet || context.output.is_json());
        Box::pin(dev::run(options, |running| Ok(output.print(running, walkthrough::text)?))).await
    }
}
