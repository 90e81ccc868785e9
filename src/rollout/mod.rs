//! The multi-turn loop: one copy, for collecting training data and for evaluation.
//!
//! Responsible for the requests to policies, their order and seeds, and for the end of an episode.
//! Hides windows of history, batching over problems and the seeds of single attempts. Must not
//! know about tensors, training, metrics or the database.

mod config;
mod degenerate;
mod environment;
#[cfg(test)]
mod fixtures;
mod graded_policy;
mod grouped;
mod parallel;
mod rationalise;
mod refine;
mod review;
mod sequential;
mod step_labels;
mod teacher;

pub use config::{
    CheckpointSelection, CollectConfig, EvaluateConfig, HistoryWindow, OwnTurns, RolloutSource,
    TeacherConfig, TurnProtocol,
};
pub use environment::RolloutEnvironment;
pub use graded_policy::GradeFn;
pub use grouped::grouped_rollouts;
pub use parallel::parallel_samples;
pub use rationalise::rationalise;
pub use refine::refine_drafts;
pub use sequential::{RolloutConfig, sequential_rollouts};
pub use step_labels::{
    ContinuationConfig, GloreConfig, ProblemStepLabels, StepLabelRequest, label_steps,
};
pub use teacher::{
    ImproveConfig, ImproveStats, TEACHER_TEMPERATURE, TeacherError, TeacherPolicy, improve_episodes,
};
