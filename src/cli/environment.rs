//! What goes with every command, resolved: where the store is and where words go.

use std::path::PathBuf;

use crate::pipeline::Workspace;
use crate::store::{Reader, Store};

use super::args::Global;
use super::exit::Fault;
use super::output::Output;

/// What goes with every command.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The store folder.
    pub store: PathBuf,
    /// Where words go.
    pub output: Output,
}

impl Environment {
    /// Resolves what was typed.
    pub fn new(global: &Global) -> Self {
        Self {
            store: global.store.clone(),
            output: Output::new(global),
        }
    }

    /// The folders of stages.
    pub fn workspace(&self) -> Workspace {
        Workspace::new(&self.store)
    }

    /// The database, for reading.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn reader(&self) -> Result<Reader, Fault> {
        Ok(Reader::open(&self.store)?)
    }

    /// The database, for writing by this process alone.
    ///
    /// # Errors
    /// If another process writes to it, or it cannot be written.
    pub fn writer(&self) -> Result<Store, Fault> {
        Ok(Store::open(&self.store)?)
    }
}
