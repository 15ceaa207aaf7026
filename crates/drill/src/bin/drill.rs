//! `drill`: breaks everything around the server mode under load, and says what is left of the promises.
use std::process::ExitCode;

use clap::Parser as _;
use deed_drill::drill::{Options, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the drill could not be done: {error:#}");
            ExitCode::from(2)
        }
    }
}
