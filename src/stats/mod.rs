//! Numbers on plain slices: estimates with intervals, paired comparisons, corrections.
//!
//! Responsible for every number a report prints. It keeps two sources of variation apart: intervals
//! resample *problems*, and every estimate lists the means of its training *seeds* separately.
//! Must not know what a run, a metric or a database is.

mod comparison;
mod estimate;
#[cfg(test)]
mod fixtures;
mod hypothesis;
mod panel;
mod rng;

pub use comparison::{ComparisonVerdict, PairedComparison, compare_paired, holm_correction};
pub use estimate::MeanEstimate;
pub use hypothesis::{CombinedTest, Decision, EffectDirection, Hypothesis, TestResult};
pub use panel::{ScorePanel, SeedScores};
pub use rng::ResampleRng;
