//! Starts everything, makes the load, does to it what a drill is about, and reports.
mod account;
mod balancer;
mod executable;
mod fault_drill;
mod faults;
mod fleet;
mod load;
mod notes;
mod options;
mod place;
mod progress;
mod restart;
mod roll;
mod run;
mod scene;
mod script;
mod solo;
mod talk;
mod upgrade;

pub use options::Options;
pub use run::run;
