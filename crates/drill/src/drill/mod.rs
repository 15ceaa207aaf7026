//! Starts everything, makes the load, does to it what a drill is about, and reports.
mod account;
mod balancer;
mod executable;
mod fault_drill;
mod faults;
mod fleet;
mod load;
mod lost;
mod notes;
mod options;
mod place;
mod progress;
mod restart;
mod restore;
mod roll;
mod run;
mod scene;
mod script;
mod solo;
mod talk;
mod upgrade;
mod usage;

pub use options::Options;
pub use run::run;
