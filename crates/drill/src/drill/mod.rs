//! The drills: start the infrastructure and the load, act, and report.
mod api_client;
mod balancer;
mod data_loss;
mod drill_run;
mod embedded;
mod executable;
mod fault_drill;
mod fault_report;
mod fault_schedule;
mod faults;
mod fleet;
mod infrastructure;
mod load;
mod notes;
mod options;
mod progress;
mod restart;
mod restore;
mod rolling_restart;
mod run;
mod upgrade;
mod usage;

pub use options::Options;
pub use run::run;
