//! From a run specification to stages, and from a stage to files.
//!
//! How data flows: [`plan`] writes down, for one run, the stages of its method (`methods`, one file
//! each) and what each one reads; equal stages of different runs meet in one [`Graph`] because a stage's key is made of
//! what it does and of its inputs' keys. [`execute()`] performs one stage (`stages`, one file per kind) inside a [`Workspace`]
//! and publishes its files at once; [`results()`] reads them back for the store.
//!
//! Knows every module that does the work. Must not know about schedules, processes, the terminal
//! or reports.

mod backends;
mod base_plan;
mod estimate;
mod execute;
mod files;
mod graph;
mod kind;
mod memory;
mod methods;
mod models;
mod plan;
mod regrade;
mod results;
mod stage;
mod stages;
mod workspace;

pub use crate::data::{GraderConfig, TaskConfig};
pub use crate::model::checkpoint::{TOKENIZER, WEIGHTS};
pub use crate::model::{Precision, Threads};
pub use backends::{Checked, Here, Listed, backend_devices, backend_names, backend_precisions, check_device};
pub use base_plan::{BasePlan, base_plan};
pub use execute::{StageError, execute};
pub use graph::{Graph, PlannedRun};
pub use kind::Kind;
pub use methods::plan;
pub use models::{Models, PlanError};
pub use regrade::{Scoring, regrade};
pub use results::results;
pub use stage::{ExampleSource, Job, Stage, TeacherJob};
pub use stages::evaluate::metrics;
pub use workspace::{Artifact, Manifest, Workspace, WorkspaceError};

/// Whether a backend of this name can be used.
///
/// # Errors
/// If it does not exist or is not compiled in: what was asked for, what there is, what to do.
pub fn check_backend(name: &str) -> Result<(), String> {
    crate::model::Place::check(name)
}
