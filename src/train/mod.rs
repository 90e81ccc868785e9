//! From graded episodes to new weights: which attempts are targets, how much each counts, and the
//! optimisation itself.
//!
//! Responsible for selection, weighting, examples, the objectives, the optimizer and the loop.
//! Weighted likelihood (`trainer`), direct preference optimisation (`preference`) and online
//! reinforcement learning (`practice`, with its arithmetic in `policy_gradient`) are [`Objective`]s
//! of one loop: each turns a step's batch into weights of its tokens.
//! Must not know how episodes were collected, what a task is, or where results are kept.

mod batch;
mod config;
mod conformance;
mod examples;
mod objective;
mod optimise;
mod optimizer;
mod policy_gradient;
mod practice;
mod preference;
mod progress;
mod reinforce;
mod rows;
mod schedule;
mod selection;
mod step;
mod trainer;
mod weighting;

pub use batch::{Batch, Encoded, Unfit, encode, order};
pub use config::{Data, Start, TrainConfig};
pub use conformance::{Conformance, conformance};
pub use examples::{
    Layout, Pool, Summary, answers, deduplicated, examples, outcomes, pairs, preferences,
    refinements, stepwise, trajectories, verified,
};
pub use objective::Normalise;
pub use optimise::{Objective, TrainError, Trained, Weighed, optimise};
pub use optimizer::{AdamW, Moments};
pub use policy_gradient::{Rule, Said, Token, credits};
pub use practice::{Practice, Sampled, Sampler, Trajectory};
pub use preference::{Judged, Pair, Preferences, judge};
pub use progress::ProgressError;
pub use reinforce::{GrpoConfig, Reinforce, ScoreConfig};
pub use rows::{Rows, Span};
pub use selection::Selection;
pub use step::{Stepped, step};
pub use trainer::{Phase, Trainer};
pub use weighting::{Weighting, turn_means};
