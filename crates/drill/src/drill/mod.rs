//! Starts everything, makes the load, breaks things, heals them, and reports.
mod account;
mod faults;
mod fleet;
mod load;
mod notes;
mod options;
mod place;
mod progress;
mod run;
mod script;
mod talk;

pub use options::Options;
pub use run::run;
