//! From attempts to dialogues with weights: what each method trains on, one file per kind of data.
//!
//! Responsible for which texts follow which and what is a target. Must not know tokens, nor how
//! dialogues are worded.

mod attempt_pool;
mod attempts;
mod corrections;
mod deduplicate;
mod episodes;
mod outcomes;
mod preferences;
mod self_verification;
mod steps;
mod trajectories;

pub use attempt_pool::AttemptPool;
pub use attempts::single_turn_examples;
pub use corrections::correction_examples;
pub use deduplicate::deduplicate_turns;
pub use episodes::{DialogueLayout, ExampleStats, episode_examples};
pub use outcomes::outcome_examples;
pub use preferences::attempt_preferences;
pub use self_verification::self_verification_examples;
pub use steps::{refinement_examples, step_examples};
pub use trajectories::trajectory_preferences;
