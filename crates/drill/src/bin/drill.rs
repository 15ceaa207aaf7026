//! `drill`: injects faults around the server mode under load and runs the checker.
use std::process::ExitCode;

use clap::Parser as _;
use deed_drill::drill::{Options, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the drill failed: {error:#}");
            ExitCode::from(2)
        }
    }
}
