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
mod example_source;
mod execute;
mod exposure;
mod files;
mod graph;
mod halving;
mod hashes;
mod job;
mod kind;
mod linked;
mod memory;
mod methods;
mod models;
mod needs;
mod plan;
mod regrade;
mod results;
mod stage;
mod stages;
mod survey;
mod workspace;

pub use crate::data::{ErrorKind, GraderConfig, KnownError, Leak, TaskConfig};
pub use crate::model::checkpoint::{TOKENIZER, WEIGHTS};
pub use crate::model::{Precision, Threads};
pub use backends::{
    Checked, Here, Listed, backend_devices, backend_names, backend_precisions, check_device,
};
pub use base_plan::{BasePlan, base_plan};
pub use example_source::ExampleSource;
pub use execute::{StageError, execute};
pub use graph::{Graph, PlannedRun};
pub use job::{Job, PolicyJob, TeacherJob};
pub use kind::Kind;
pub use linked::{Files, LinkJob, Linked};
pub use methods::plan;
pub use models::{Base, Models, PlanError};
pub use needs::Needs;
pub use regrade::{Scoring, regrade};
pub use results::results;
pub use stage::Stage;
pub use stages::evaluate::metrics;
pub use survey::{Survey, Surveyed, SurveyedFile, SurveyedSplit, survey};
pub use workspace::{Artifact, Manifest, Workspace, WorkspaceError};

pub use crate::model::capacity;
pub use crate::model::memory::Footprint;

use crate::remote::Endpoint;
use crate::spec::RunSpec;

/// Whether the models behind an API that a run asks can be asked from here; asks none of them.
///
/// # Errors
/// If this program cannot encrypt where it has to, or a key is not there: the field, and what to do.
pub fn check_endpoints(run: &RunSpec) -> Result<(), String> {
    let told = |(path, endpoint): (&str, &Endpoint)| {
        endpoint
            .ready()
            .map_err(|fault| format!("`{path}`: {fault}"))
    };
    run.endpoints().try_for_each(told)
}

/// Whether a backend of this name can be used.
///
/// # Errors
/// If it does not exist or is not compiled in: what was asked for, what there is, what to do.
pub fn check_backend(name: &str) -> Result<(), String> {
    crate::model::Place::check(name)
}
