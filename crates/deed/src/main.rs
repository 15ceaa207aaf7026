//! The `deed` executable: reads the command line and ends with a documented code.
mod api_keys;
mod cli;
mod client;
mod context;
mod dev;
mod exit;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let json = cli.json;
    let ended = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => Err(Failure::with_source("the runtime cannot start", error)),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(Failure::Failed { source: Some(error), .. }) if is_closed_pipe(&*error) => Exit::Success.into(),
        Err(failure) => {
            eprintln!("{}", failure.report(json));
            failure.exit().into()
        }
    }
}

/// A reader such as `head` has closed the pipe; that is not an error.
fn is_closed_pipe(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
