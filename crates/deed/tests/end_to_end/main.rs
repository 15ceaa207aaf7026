//! The built executable as its users meet it: everything runs, and is asked over HTTP.
mod apps;
mod command_line;
mod harness;
mod lifecycle;
mod walkthrough;
mod workspaces;
