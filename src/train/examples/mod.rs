//! From attempts to dialogues with weights: the training data of each method.
//!
//! Responsible for the order of texts and for their weights. Must not know tokens, nor how
//! dialogues are worded.

mod attempts;
mod episodes;
#[cfg(test)]
mod fixtures;
mod preferences;
mod steps;
mod verifications;

pub use attempts::{AttemptPool, correction_examples, single_turn_examples};
pub use episodes::{DialogueLayout, ExampleStats, deduplicate_turns, episode_examples};
pub use preferences::{attempt_preferences, trajectory_preferences};
pub use steps::{refinement_examples, step_examples};
pub use verifications::{outcome_examples, self_verification_examples};
