//! One struct per kind of stage, each in its own file with its key, estimate, work and metrics.
//!
//! A stage reads the files of its inputs, writes its own into its working folder, and names the
//! files to publish. Must not know schedules, or the method that needs it.

mod base;
mod build_examples;
mod collect;
mod cost;
mod evaluate;
mod example_source;
mod improve;
mod label_steps;
mod likelihood;
mod link;
mod online;
mod policy_handle;
mod prefer;
mod prepare;
mod rank;
mod refine;
mod sample;
mod sampling_task;
pub(super) mod scores;
mod tokenize;
mod train;
mod training;
mod unsolved;
mod verifier_score;

pub use base::BaseStage;
pub use build_examples::BuildExamplesStage;
pub use collect::{CollectStage, PolicyRef};
pub use evaluate::EvaluateStage;
pub use example_source::ExampleSource;
pub use improve::{ImproveStage, TeacherRef};
pub use label_steps::LabelStepsStage;
pub use likelihood::LikelihoodStage;
pub use link::LinkStage;
pub use online::OnlineStage;
pub use prefer::PreferStage;
pub use prepare::PrepareStage;
pub use rank::RankStage;
pub use refine::{GloreCheckpoints, RefineStage};
pub use sample::SampleStage;
pub use sampling_task::{FingerprintedTask, SamplingTask};
pub use tokenize::TokenizeStage;
pub use train::TrainStage;
pub use unsolved::UnsolvedStage;
