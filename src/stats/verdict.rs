//! What a comparison comes down to, in one word.

use serde::{Deserialize, Serialize};

use super::MeanEstimate;

/// One word for a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonVerdict {
    /// Clearly more of what is wanted.
    Better,
    /// Clearly less of it.
    Worse,
    /// Neither can be said.
    NoClearDifference,
}

impl ComparisonVerdict {
    /// The verdict on a difference of which more is better: the interval must leave out 0, and the
    /// corrected p value, where there is one, must be at most 0.05.
    #[must_use]
    pub fn from_estimate(difference: &MeanEstimate, corrected: Option<f64>) -> Self {
        if corrected.is_some_and(|p| p > 0.05) {
            Self::NoClearDifference
        } else if difference.is_above_zero() {
            Self::Better
        } else if difference.is_below_zero() {
            Self::Worse
        } else {
            Self::NoClearDifference
        }
    }

    /// The word as printed.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoClearDifference => "no clear difference",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_and_test_must_agree() {
        let estimate = |value: f64, low, high| MeanEstimate {
            value,
            low,
            high,
            level: 0.95,
            problems: 9,
            seeds: 1,
            by_seed: vec![value],
        };
        assert_eq!(
            ComparisonVerdict::from_estimate(&estimate(0.1, 0.05, 0.15), Some(0.01)),
            ComparisonVerdict::Better
        );
        assert_eq!(
            ComparisonVerdict::from_estimate(&estimate(0.1, 0.05, 0.15), Some(0.2)),
            ComparisonVerdict::NoClearDifference
        );
        assert_eq!(
            ComparisonVerdict::from_estimate(&estimate(-0.1, -0.15, -0.05), None),
            ComparisonVerdict::Worse
        );
        assert_eq!(
            ComparisonVerdict::from_estimate(&estimate(0.1, -0.05, 0.15), None).label(),
            "no clear difference"
        );
    }
}
