//! From attempts to dialogues with weights: what each method trains on, one file per kind of data.
//!
//! Responsible for which texts follow which and what is a target. Must not know tokens, nor how
//! dialogues are worded.

mod attempts;
mod deduplicate;
mod episodes;
mod outcomes;
mod pairs;
mod pool;
mod preferences;
mod steps;
mod trajectories;
mod verified;

pub use attempts::answers;
pub use deduplicate::deduplicated;
pub use episodes::{Layout, Summary, examples};
pub use outcomes::outcomes;
pub use pairs::pairs;
pub use pool::Pool;
pub use preferences::preferences;
pub use steps::{refinements, stepwise};
pub use trajectories::trajectories;
pub use verified::verified;
