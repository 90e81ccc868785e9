//! The store and the output of a command.

use std::path::PathBuf;

use crate::pipeline::Workspace;
use crate::store::{Store, StoreReader};

use super::args::GlobalArguments;
use super::error::CliError;
use super::output::CliOutput;

/// The store and the output of a command.
#[derive(Clone, Debug)]
pub struct CliEnvironment {
    /// The store folder.
    pub store_dir: PathBuf,
    /// The output.
    pub output: CliOutput,
}

impl CliEnvironment {
    /// The environment of the global options.
    pub fn new(global: &GlobalArguments) -> Self {
        Self {
            store_dir: global.store.clone(),
            output: CliOutput::new(global),
        }
    }

    /// The stages' folders.
    pub fn workspace(&self) -> Workspace {
        Workspace::new(&self.store_dir)
    }

    /// The database, for reading.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open_reader(&self) -> Result<StoreReader, CliError> {
        Ok(StoreReader::open(&self.store_dir)?)
    }

    /// The database, for writing by this process alone.
    ///
    /// # Errors
    /// If another process writes to it, or it cannot be written.
    pub fn open_store(&self) -> Result<Store, CliError> {
        Ok(Store::open(&self.store_dir)?)
    }
}
