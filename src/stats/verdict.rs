//! What a comparison comes down to, in one word.

use serde::{Deserialize, Serialize};

use super::Estimate;

/// One word for a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Clearly more of what is wanted.
    Better,
    /// Clearly less of it.
    Worse,
    /// Neither can be said.
    NoClearDifference,
}

impl Verdict {
    /// The verdict on a difference of which more is better: the interval must leave out 0, and the
    /// corrected p value, where there is one, must be at most 0.05.
    #[must_use]
    pub fn of(difference: &Estimate, corrected: Option<f64>) -> Self {
        if corrected.is_some_and(|p| p > 0.05) {
            Self::NoClearDifference
        } else if difference.above_zero() {
            Self::Better
        } else if difference.below_zero() {
            Self::Worse
        } else {
            Self::NoClearDifference
        }
    }

    /// The word as printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
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
        let estimate = |value: f64, low, high| Estimate {
            value,
            low,
            high,
            level: 0.95,
            problems: 9,
            seeds: 1,
            by_seed: vec![value],
        };
        assert_eq!(
            Verdict::of(&estimate(0.1, 0.05, 0.15), Some(0.01)),
            Verdict::Better
        );
        assert_eq!(
            Verdict::of(&estimate(0.1, 0.05, 0.15), Some(0.2)),
            Verdict::NoClearDifference
        );
        assert_eq!(
            Verdict::of(&estimate(-0.1, -0.15, -0.05), None),
            Verdict::Worse
        );
        assert_eq!(
            Verdict::of(&estimate(0.1, -0.05, 0.15), None).word(),
            "no clear difference"
        );
    }
}
