//! From graded episodes to new weights: which attempts are targets, how much each counts, and the
//! optimisation itself.
//!
//! Responsible for selection, weighting, examples, the objective, the optimizer and the loop.
//! Must not know how episodes were collected, what a task is, or where results are kept.

mod batch;
mod config;
mod examples;
mod objective;
mod optimizer;
mod progress;
mod schedule;
mod selection;
mod step;
mod trainer;
mod weighting;

pub use batch::{Batch, Encoded, TooLong, encode};
pub use config::{Data, Start, TrainConfig};
pub use examples::{Layout, Pool, Summary, answers, deduplicated, examples, pairs, verified};
pub use objective::Normalise;
pub use optimizer::AdamW;
pub use progress::ProgressError;
pub use selection::Selection;
pub use step::{Stepped, step};
pub use trainer::{Phase, TrainError, Trained, Trainer};
pub use weighting::{Weighting, turn_means};
