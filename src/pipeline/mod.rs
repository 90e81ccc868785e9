//! From a run specification to stages, and from a stage to files.
//!
//! How data flows: [`plan`] writes down, for one run, the stages of its method (`methods`, one file
//! each) and what each one reads; equal stages of different runs meet in one [`StageGraph`] because a stage's key is made of
//! what it does and of its inputs' keys. [`execute()`] performs one stage (`stages`, one file per kind) inside a [`Workspace`]
//! and publishes its files at once; [`results()`] reads them back for the store.
//!
//! Knows every module that does the work. Must not know about schedules, processes, the terminal
//! or reports.

mod backends;
mod base_models;
mod base_plan;
mod contamination;
mod data_report;
mod example_source;
mod execute;
mod external_checkpoint;
mod file_hashes;
mod methods;
mod oom_retry;
mod peak_rss;
mod plan;
mod regrade;
mod resource_estimate;
mod stage_files;
mod stage_graph;
mod stage_kind;
mod stage_node;
mod stage_results;
mod stage_spec;
mod stages;
mod time_estimate;
mod workspace;

pub use crate::data::{GraderConfig, KnownError, KnownErrorKind, LeakedQuestion, TaskConfig};
pub use crate::model::checkpoint::{TOKENIZER_FILE, WEIGHTS_FILE};
pub use crate::model::{Precision, Threads};
pub use backends::{
    DeviceAvailability, DeviceCheck, DeviceListing, backend_devices, backend_names,
    backend_precisions, check_device,
};
pub use base_models::{BaseModelRegistry, PlanError, ResolvedBaseModel};
pub use base_plan::{BasePlan, plan_base_model};
pub use data_report::{DataReport, TaskFileReport, TaskReport, TaskSplitReport, build_data_report};
pub use example_source::ExampleSource;
pub use execute::{StageError, execute_stage};
pub use external_checkpoint::{CheckpointFileHashes, ExternalCheckpoint, LinkCheckpoint};
pub use methods::plan_run;
pub use regrade::{EvalScorer, regrade};
pub use resource_estimate::ResourceEstimate;
pub use stage_graph::{RunStages, StageGraph};
pub use stage_kind::StageKind;
pub use stage_node::StageNode;
pub use stage_results::read_results;
pub use stage_spec::{PolicyRef, StageSpec, TeacherRef};
pub use stages::evaluate::stage_metrics;
pub use workspace::{StageArtifact, StageManifest, Workspace, WorkspaceError};

pub use crate::model::device_memory;
pub use crate::model::footprint::Footprint;

use crate::api::Endpoint;
use crate::config::RunSpec;

/// Whether the models behind an API that a run asks can be asked from here; asks none of them.
///
/// # Errors
/// If this program cannot encrypt where it has to, or a key is not there: the field, and what to do.
pub fn check_endpoints(run: &RunSpec) -> Result<(), String> {
    let told = |(path, endpoint): (&str, &Endpoint)| {
        endpoint
            .check_ready()
            .map_err(|fault| format!("`{path}`: {fault}"))
    };
    run.endpoints().try_for_each(told)
}

/// Whether a backend of this name can be used.
///
/// # Errors
/// If it does not exist or is not compiled in: what was asked for, what there is, what to do.
pub fn check_backend(name: &str) -> Result<(), String> {
    crate::model::ExecutionContext::check_backend(name)
}
