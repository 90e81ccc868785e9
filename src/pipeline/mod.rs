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
mod contamination;
mod context;
mod data_report;
mod execute;
mod external_checkpoint;
mod file_hashes;
mod methods;
mod oom_retry;
mod peak_rss;
mod plan;
mod regrade;
mod resource_estimate;
mod stage;
mod stage_files;
mod stage_graph;
mod stage_node;
mod stage_results;
mod stage_spec;
mod stages;
mod time_estimate;
mod workspace;

pub use backends::{
    DeviceAvailability, DeviceCheck, DeviceListing, backend_devices, backend_names,
    backend_precisions, check_device,
};
pub use base_models::{BaseModelRegistry, PlanError, ResolvedBaseModel};
pub use context::StageError;
pub use data_report::{DataReport, TaskFileReport, TaskReport, TaskSplitReport, build_data_report};
pub use execute::execute_stage;
pub use external_checkpoint::{CheckpointFileHashes, ExternalCheckpoint};
pub use methods::plan_run;
pub use regrade::{EvalScorer, regrade};
pub use resource_estimate::ResourceEstimate;
pub use stage::StageKind;
pub use stage_graph::{EvaluatedCheckpoint, RunStages, StageGraph};
pub use stage_node::StageNode;
pub use stage_results::{read_results, stage_metrics};
pub use stage_spec::StageSpec;
pub use stages::{
    BaseStage, BuildExamplesStage, CollectStage, EvaluateStage, ExampleSource, FingerprintedTask,
    GloreCheckpoints, ImproveStage, LabelStepsStage, LikelihoodStage, LinkStage, OnlineStage,
    PolicyRef, PreferStage, PrepareStage, RankStage, RefineStage, SampleStage, SamplingTask,
    TeacherRef, TokenizeStage, TrainStage, UnsolvedStage,
};
pub use workspace::{StageArtifact, StageManifest, Workspace, WorkspaceError};

use crate::config::RunSpec;

/// Whether the models behind an API that a run asks can be asked from here; asks none of them.
///
/// # Errors
/// If this program cannot encrypt where it has to, or a key is not there: the field, and what to do.
pub fn check_endpoints(run: &RunSpec) -> Result<(), String> {
    run.endpoints().try_for_each(|(path, endpoint)| {
        endpoint
            .check_ready()
            .map_err(|error| format!("`{path}`: {error}"))
    })
}

/// Whether a backend of this name can be used.
///
/// # Errors
/// If it does not exist or is not compiled in: what was asked for, what there is, what to do.
pub fn check_backend(name: &str) -> Result<(), String> {
    crate::model::ExecutionContext::check_backend(name)
}
