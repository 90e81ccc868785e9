//! The multi-turn loop: one copy, for collecting training data and for evaluation.
//!
//! Responsible for who is asked what, in which order, with which seed, and when an episode ends.
//! Hides windows of history, batching over problems and the seeds of single attempts. Must not
//! know about tensors, training, metrics or the database.

mod attempt;
mod config;
mod degenerate;
mod environment;
mod grouped;
mod parallel;
mod rationalise;
mod refine;
mod review;
mod sequential;
mod teacher;
#[cfg(test)]
mod testing;
mod trace;

pub use attempt::Grader;
pub use config::{
    Checkpoints, CollectConfig, EvaluateConfig, OwnTurns, Protocol, Rollouts, Teacher, Window,
};
pub use environment::Environment;
pub use grouped::grouped;
pub use parallel::parallel;
pub use rationalise::rationalise;
pub use refine::refine;
pub use sequential::{Unroll, rollout};
pub use teacher::{Improved, Improvement, MODEL_TEMPERATURE, Source, TeacherError, improve};
pub use trace::{GloreConfig, Onward, Trace, Tracing, trace};
