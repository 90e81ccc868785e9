//! From a run's settings to stages, and from a stage to files.
//!
//! [`plan_run`] writes down the stages of a run's method (`methods`, one file each). A stage is one
//! struct in one file of `stages`, with its inputs, key, estimate, work and metrics. Equal stages of
//! different runs meet in one [`StageGraph`], because a key is made of a stage's fields and of its
//! inputs' keys. [`execute_stage`] performs one stage inside a [`Workspace`] and publishes its files
//! at once; [`read_results`] reads them back for the store.
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
pub use stage_graph::{RunStages, ScoredCheckpoint, StageGraph};
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

/// Checks the settings of a run's API models, without a request.
///
/// # Errors
/// If this program cannot encrypt where it has to, or a key is missing: the field and the remedy.
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
/// If it does not exist or is not compiled in: its name, the known names and the remedy.
pub fn check_backend(name: &str) -> Result<(), String> {
    crate::model::ExecutionContext::check_backend(name)
}
