//! The words of the problem: plain values that every other module speaks in.
//!
//! Responsible for what a problem, an attempt, an episode, a seed and a key *are*. Must not know
//! about files, tensors, SQL, the terminal, or how any of these values come about.

mod dialogue;
mod episode;
mod eval_shape;
mod event;
mod example;
mod key;
mod policy;
mod preference;
mod problem;
mod reward;
mod seed;
mod step_labels;

pub use dialogue::{Dialogue, Message, Role};
pub use episode::{AttemptReview, Candidate, CandidateAuthor, Episode, Grade, Turn};
pub use eval_shape::EvalShape;
pub use event::{MetricPoint, NoopObserver, Observer, StageEvent};
pub use example::TrainingExample;
pub use key::Key;
pub use policy::{
    Policy, PolicyError, PolicyRequest, SampledAttempt, SamplingConfig, ScriptedPolicy,
};
pub use preference::PreferencePair;
pub use problem::{Problem, Split};
pub use reward::{GradeVerdict, Reward};
pub use seed::{Seed, SeededRng};
pub use step_labels::{LabeledStep, StepLabeledAttempt, step_ends};
