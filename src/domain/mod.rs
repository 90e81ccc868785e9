//! The words of the problem: plain values that every other module speaks in.
//!
//! Responsible for what a problem, an attempt, an episode, a seed and a key *are*. Must not know
//! about files, tensors, SQL, the terminal, or how any of these values come about.

mod dialogue;
mod episode;
mod event;
mod example;
mod key;
mod names;
mod policy;
mod preference;
mod problem;
mod report_options;
mod reward;
mod seed;
mod step_labels;
mod text;
mod value_label;

pub use dialogue::{Dialogue, Message, Role};
pub use episode::{AttemptReview, Candidate, CandidateAuthor, Episode, Grade, Turn};
pub use event::{MetricPoint, NoopObserver, Observer, StageEvent};
pub use example::TrainingExample;
pub use key::Key;
pub use names::{CheckpointName, MetricName};
pub use policy::{
    Policy, PolicyError, PolicyRequest, SampledAttempt, SamplingConfig, ScriptedPolicy,
};
pub use preference::PreferencePair;
pub use problem::{Problem, Split};
pub use report_options::{AxisLabels, ReportOptions, TableGroup, labels};
pub use reward::{GradeVerdict, Reward};
pub use seed::{Seed, SeededRng};
pub use step_labels::{LabeledStep, StepLabeledAttempt, step_ends};
pub use text::{nearest_name, plural};
pub use value_label::value_label;
