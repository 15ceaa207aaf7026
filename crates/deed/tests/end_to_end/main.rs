//! The built executable as its users meet it: everything runs, and is asked over HTTP.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod apps;
mod command_line;
mod harness;
mod lifecycle;
mod walkthrough;
mod workspaces;
