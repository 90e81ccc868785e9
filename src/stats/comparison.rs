//! Differences on the same problems: sign-flip test, Holm's correction, detectable effect, verdict.

use serde::{Deserialize, Serialize};

use super::estimate::sample_std;
use super::{MeanEstimate, ResampleRng, ScorePanel};

/// The largest corrected p value at which a difference counts.
pub(super) const ALPHA: f64 = 0.05;

/// A paired difference with its test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// The mean difference, with interval.
    pub difference: MeanEstimate,
    /// Two-sided p value of the sign-flip test over problems.
    pub p: f64,
    /// The smallest true difference that the test finds with 80 % power; none below two problems.
    #[serde(rename = "detectable")]
    pub min_detectable_effect: Option<f64>,
}

/// Compares two panels on the seeds and problems they share; none if they share no problem.
#[must_use]
pub fn compare_paired(panel: &ScorePanel, baseline: &ScorePanel) -> Option<PairedComparison> {
    let panel = panel.paired_difference(baseline);
    let values = panel.problem_means();
    Some(PairedComparison {
        difference: MeanEstimate::from_panel(&panel)?,
        p: sign_flip_test(&values),
        min_detectable_effect: min_detectable_effect(&values),
    })
}

/// A comparison in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonVerdict {
    /// The difference is above 0.
    Better,
    /// The difference is below 0.
    Worse,
    /// The data allow both.
    NoClearDifference,
}

impl ComparisonVerdict {
    /// The verdict on a difference of which more is better: the interval must exclude 0, and the
    /// corrected p value, if there is one, must be at most 0.05.
    #[must_use]
    pub fn from_estimate(difference: &MeanEstimate, corrected: Option<f64>) -> Self {
        if corrected.is_some_and(|p| p > ALPHA) {
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

/// Corrects the p values of one family of tests (Holm 1979), in the order given; each at most 1.
#[must_use]
pub fn holm_correction(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![1.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max((p[index] * (p.len() - rank) as f64).min(1.0));
        corrected[index] = largest;
    }
    corrected
}

/// The smallest true mean difference that a two-sided test at 5 % finds with 80 % power.
///
/// It uses the normal approximation, the standard deviation of the paired differences and no
/// correction for several tests; none for fewer than two problems.
pub(super) fn min_detectable_effect(differences: &[f64]) -> Option<f64> {
    // Standard normal quantiles at 0.975 and at 0.80.
    const Z: f64 = 1.959_964 + 0.841_621;
    sample_std(differences).map(|deviation| Z * deviation / (differences.len() as f64).sqrt())
}

/// Two-sided p value of the hypothesis that the differences are symmetric around 0.
///
/// The test flips signs. It is exact if the differences are multiples of a common fraction (0/1
/// scores, or means of them over up to twelve seeds): convolution gives the distribution of the
/// signed sum. For differences of −1, 0 and 1 it is `McNemar`'s exact test. Otherwise it draws
/// 10,000 random flips and counts the observed one with them.
pub(super) fn sign_flip_test(differences: &[f64]) -> f64 {
    match lattice_steps(differences) {
        Some(steps) => exact_p_value(&steps),
        None => sampled_p_value(differences, ResampleRng::from_values(differences)),
    }
}

/// The differences as whole multiples of a common fraction, without zeros.
fn lattice_steps(differences: &[f64]) -> Option<Vec<i64>> {
    let scale = (1..=12_u32).map(f64::from).find(|scale| {
        differences.iter().all(|difference| {
            let scaled = difference * scale;
            scaled.abs() < 1e3 && (scaled - scaled.round()).abs() < 1e-9
        })
    })?;
    let steps = differences
        .iter()
        .map(|difference| (difference * scale).round() as i64);
    Some(steps.filter(|&step| step != 0).collect())
}

fn exact_p_value(steps: &[i64]) -> f64 {
    let observed = steps.iter().sum::<i64>().unsigned_abs() as usize;
    let sizes: Vec<usize> = steps
        .iter()
        .map(|step| step.unsigned_abs() as usize)
        .collect();
    let reach: usize = sizes.iter().sum();
    // chance[s + reach] is the probability that the signed sum so far is s.
    let mut chance = vec![0.0; 2 * reach + 1];
    chance[reach] = 1.0;
    for size in sizes {
        let mut next = vec![0.0; 2 * reach + 1];
        for (index, &p) in chance.iter().enumerate().filter(|(_, p)| **p > 0.0) {
            next[index - size] += p / 2.0;
            next[index + size] += p / 2.0;
        }
        chance = next;
    }
    let p: f64 = chance
        .iter()
        .enumerate()
        .filter(|(index, _)| index.abs_diff(reach) >= observed)
        .map(|(_, p)| p)
        .sum();
    p.min(1.0)
}

fn sampled_p_value(differences: &[f64], mut rng: ResampleRng) -> f64 {
    const FLIPS: u32 = 10_000;
    let observed = differences.iter().sum::<f64>().abs();
    let extreme = (0..FLIPS)
        .filter(|_| {
            let flipped = differences.iter().map(|difference| {
                if rng.coin_flip() {
                    *difference
                } else {
                    -difference
                }
            });
            flipped.sum::<f64>().abs() >= observed - 1e-12
        })
        .count();
    (extreme + 1) as f64 / f64::from(FLIPS + 1)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::panel;
    use super::*;

    fn flips(better: usize, worse: usize, same: usize) -> Vec<f64> {
        [vec![1.0; better], vec![-1.0; worse], vec![0.0; same]].concat()
    }

    #[test]
    fn mcnemar_by_hand() {
        // 9 against 1 discordant pair: 2 * (1 + 10) / 2^10.
        let p = sign_flip_test(&flips(9, 1, 40));
        assert!((p - 22.0 / 1024.0).abs() < 1e-12, "{p}");
        assert!((sign_flip_test(&flips(5, 5, 0)) - 1.0).abs() < 1e-9);
        assert!((sign_flip_test(&flips(0, 0, 9)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn halves_from_two_seeds_stay_exact() {
        // Sums of ±1/2 ± 1: 3/2 in one of four ways, -3/2 in one.
        let p = sign_flip_test(&[0.5, 1.0]);
        assert!((p - 0.5).abs() < 1e-12, "{p}");
    }

    #[test]
    fn sampling_agrees_with_counting() {
        let differences = flips(30, 15, 55);
        let exact = exact_p_value(&lattice_steps(&differences).unwrap());
        let sampled = sampled_p_value(&differences, ResampleRng::from_name("x"));
        assert!((exact - sampled).abs() < 0.01);
        assert!(lattice_steps(&[0.123_456_7]).is_none());
    }

    #[test]
    fn a_comparison_holds_difference_interval_and_test() {
        let after = panel(&[1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
        let before = panel(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
        let comparison = compare_paired(&after, &before).unwrap();
        assert!((comparison.difference.value - 0.5).abs() < 1e-12);
        assert!(
            (comparison.p - 2.0 * 8.0 / 128.0).abs() < 1e-12,
            "{}",
            comparison.p
        );
        assert_eq!(compare_paired(&after, &ScorePanel::default()), None);
    }

    #[test]
    fn holm_by_hand() {
        let corrected = holm_correction(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        assert!(
            corrected
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-12),
            "{corrected:?}"
        );
        assert_eq!(holm_correction(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm_correction(&[]).is_empty());
    }

    #[test]
    fn detectable_effect_by_hand() {
        // 100 problems, half +1 and half -1: deviation sqrt(100/99), so 2.801585 * 1.00504 / 10.
        let effect = min_detectable_effect(&flips(50, 50, 0)).unwrap();
        assert!((effect - 0.281_57).abs() < 1e-4);
        assert_eq!(min_detectable_effect(&[1.0]), None);
    }

    #[test]
    fn interval_and_test_must_agree() {
        use ComparisonVerdict::{Better, NoClearDifference, Worse};
        let verdict = |low: f64, high, corrected| {
            let mut estimate = MeanEstimate::from_panel(&panel(&[0.0; 9])).unwrap();
            (estimate.low, estimate.high) = (low, high);
            ComparisonVerdict::from_estimate(&estimate, corrected)
        };
        assert_eq!(verdict(0.05, 0.15, Some(0.01)), Better);
        assert_eq!(verdict(0.05, 0.15, Some(0.2)), NoClearDifference);
        assert_eq!(verdict(-0.15, -0.05, None), Worse);
        assert_eq!(verdict(-0.05, 0.15, None).label(), "no clear difference");
    }
}
