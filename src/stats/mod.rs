//! Numbers on plain slices: estimates with intervals, paired comparisons, corrections.
//!
//! Responsible for every number a report prints. Two sources of variation are kept apart: intervals
//! come from resampling *problems*, while the spread over training *seeds* is carried beside them and
//! never mixed in. Must not know what a run, a metric or a database is.

mod bootstrap;
mod comparison;
mod detectable_effect;
mod estimate;
mod holm;
mod hypothesis;
mod panel;
mod rng;
mod verdict;

pub use bootstrap::{RESAMPLES, mean_interval};
pub use comparison::{PairedComparison, compare_paired, sign_flip_test};
pub use detectable_effect::{POWER, min_detectable_effect};
pub use estimate::{CONFIDENCE_LEVEL, MeanEstimate};
pub use holm::holm_correction;
pub use hypothesis::{CombinedTest, Decision, EffectDirection, Hypothesis, TestResult};
pub use panel::{ScorePanel, SeedScores};
pub use rng::ResampleRng;
pub use verdict::ComparisonVerdict;

/// The arithmetic mean; NaN for no numbers.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample standard deviation (divided by n − 1); none for fewer than two numbers.
#[must_use]
pub fn sample_std(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_by_hand() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert!((mean(&values) - 5.0).abs() < 1e-12);
        assert!((sample_std(&values).unwrap() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(sample_std(&[1.0]), None);
    }
}
