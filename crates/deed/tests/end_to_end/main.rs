//! End-to-end tests: the built executable, over HTTP and the command line.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[macro_use]
mod harness;

mod apps;
mod command_line;
mod lifecycle;
mod logs;
mod metrics;
mod network;
mod receiver;
mod stability;
mod traces;
mod walkthrough;
mod workspaces;
