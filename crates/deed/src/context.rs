//! The global options of the command line.
use std::path::PathBuf;

use deed_service::config::{Inputs, Settings, load};

use crate::exit::Failure;
use crate::output::Output;

/// The global options, as every command gets them.
pub(crate) struct Context {
    pub(crate) config: Option<PathBuf>,
    pub(crate) output: Output,
}

impl Context {
    /// The named file and the environment.
    pub(crate) fn inputs(&self) -> Inputs {
        Inputs::of_process(self.config.clone())
    }

    /// # Errors
    /// When the configuration has faults, with all of them.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Ok(load(self.inputs()).settings?)
    }
}
