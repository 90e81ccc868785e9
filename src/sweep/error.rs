//! Why a sweep cannot begin or go on.

use std::io;

use crate::config::ConfigError;
use crate::pipeline::{PlanError, WorkspaceError};
use crate::store::StoreError;

/// Why a sweep cannot begin or go on. A single stage's failure is none of these: the sweep goes on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The experiment does not expand into runs.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A run cannot be planned.
    #[error("run `{label}` cannot be planned")]
    Plan {
        /// The run.
        label: String,
        /// What is wrong.
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
    /// What a stage left behind cannot be taken into the database.
    #[error("the results of stage `{label}` cannot be used: {reason}")]
    BadResults {
        /// The stage.
        label: String,
        /// What is wrong with them.
        reason: String,
    },
}
