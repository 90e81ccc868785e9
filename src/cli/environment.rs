//! What goes with every command, resolved: where the store is and where words go.

use std::path::PathBuf;

use crate::pipeline::Workspace;
use crate::store::{Store, StoreReader};

use super::args::GlobalArguments;
use super::error::CliError;
use super::output::CliOutput;

/// What goes with every command.
#[derive(Clone, Debug)]
pub struct CliEnvironment {
    /// The store folder.
    pub store_dir: PathBuf,
    /// Where words go.
    pub output: CliOutput,
}

impl CliEnvironment {
    /// Resolves what was typed.
    pub fn new(global: &GlobalArguments) -> Self {
        Self {
            store_dir: global.store.clone(),
            output: CliOutput::new(global),
        }
    }

    /// The folders of stages.
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
