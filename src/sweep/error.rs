//! Errors that end a sweep.

use std::io;

use crate::config::ConfigError;
use crate::pipeline::{PlanError, WorkspaceError};
use crate::store::StoreError;

/// An error that ends a sweep; a stage's failure does not.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The experiment does not expand into runs.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A run cannot be planned.
    #[error("cannot plan run `{label}`")]
    Plan {
        /// The run.
        label: String,
        /// The cause.
        source: Box<PlanError>,
    },
    /// The database cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder of stages cannot be read or written.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// No worker process can be started.
    #[error("cannot start a worker process")]
    SpawnWorker(#[source] io::Error),
    /// A stage's results cannot be recorded.
    #[error("cannot use the results of stage `{label}`: {reason}")]
    BadResults {
        /// The stage.
        label: String,
        /// The cause.
        reason: String,
    },
}
