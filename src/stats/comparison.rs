//! Differences on the same problems: interval, exact sign-flip test, smallest detectable effect.

use serde::{Deserialize, Serialize};

use super::{MeanEstimate, ResampleRng, ScorePanel, min_detectable_effect};

/// A paired difference and what can be said about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// The mean difference, with interval.
    pub difference: MeanEstimate,
    /// Two-sided p value of the sign-flip test over problems.
    pub p: f64,
    /// The smallest true difference that would be found with 80 % power; none below two problems.
    #[serde(rename = "detectable")]
    pub min_detectable_effect: Option<f64>,
}

/// Compares two panels on the seeds and problems they share; none where they share no problem.
#[must_use]
pub fn compare_paired(panel: &ScorePanel, baseline: &ScorePanel) -> Option<PairedComparison> {
    let panel = panel.paired_difference(baseline);
    let difference = MeanEstimate::from_panel(&panel)?;
    let values: Vec<f64> = panel
        .by_problem()
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    Some(PairedComparison {
        difference,
        p: sign_flip_test(&values, ResampleRng::from_values(&values)),
        min_detectable_effect: min_detectable_effect(&values),
    })
}

/// Two-sided p value that the differences are symmetric around 0, by flipping their signs.
///
/// Exact where the differences are multiples of a common fraction (0/1 scores, or means of them over
/// up to twelve seeds): the distribution of the signed sum is built by convolution. With differences of
/// −1, 0 and 1 it is `McNemar`'s exact test. Otherwise 10,000 random flips, counted with the observed one.
#[must_use]
pub fn sign_flip_test(differences: &[f64], stream: ResampleRng) -> f64 {
    match lattice_steps(differences) {
        Some(steps) => exact_p_value(&steps),
        None => sampled_p_value(differences, stream),
    }
}

/// The differences as whole multiples of a common fraction, zeros left out.
fn lattice_steps(differences: &[f64]) -> Option<Vec<i64>> {
    let whole = |scale: f64| {
        differences.iter().all(|d| {
            let scaled = d * scale;
            scaled.abs() < 1e3 && (scaled - scaled.round()).abs() < 1e-9
        })
    };
    let scale = (1..=12_u32).map(f64::from).find(|&scale| whole(scale))?;
    Some(
        differences
            .iter()
            .map(|d| (d * scale).round() as i64)
            .filter(|&d| d != 0)
            .collect(),
    )
}

fn exact_p_value(steps: &[i64]) -> f64 {
    let observed: i64 = steps.iter().sum();
    let reach: usize = steps.iter().map(|step| step.unsigned_abs() as usize).sum();
    // chance[s + reach] is the probability that the signed sum so far is s.
    let mut chance = vec![0.0; 2 * reach + 1];
    chance[reach] = 1.0;
    for step in steps.iter().map(|step| step.unsigned_abs() as usize) {
        let mut next = vec![0.0; 2 * reach + 1];
        for (at, &p) in chance.iter().enumerate().filter(|(_, p)| **p > 0.0) {
            next[at - step] += p / 2.0;
            next[at + step] += p / 2.0;
        }
        chance = next;
    }
    let distance = observed.unsigned_abs() as usize;
    let as_far = |at: usize| at.abs_diff(reach) >= distance;
    let p: f64 = chance
        .iter()
        .enumerate()
        .filter(|(at, _)| as_far(*at))
        .map(|(_, p)| p)
        .sum();
    p.min(1.0)
}

fn sampled_p_value(differences: &[f64], mut stream: ResampleRng) -> f64 {
    const FLIPS: u32 = 10_000;
    let observed = differences.iter().sum::<f64>().abs();
    let mut signed = || {
        differences
            .iter()
            .map(|d| if stream.coin_flip() { *d } else { -d })
            .sum::<f64>()
            .abs()
    };
    let as_far = (0..FLIPS).filter(|_| signed() >= observed - 1e-12).count();
    (as_far + 1) as f64 / f64::from(FLIPS + 1)
}

#[cfg(test)]
mod tests {
    use super::super::SeedScores;
    use super::*;

    fn flips(better: usize, worse: usize, same: usize) -> Vec<f64> {
        [vec![1.0; better], vec![-1.0; worse], vec![0.0; same]].concat()
    }

    #[test]
    fn mcnemar_by_hand() {
        // 9 against 1 discordant pair: 2 * (1 + 10) / 2^10.
        let p = sign_flip_test(&flips(9, 1, 40), ResampleRng::from_name("x"));
        assert!((p - 22.0 / 1024.0).abs() < 1e-12, "{p}");
        assert!((sign_flip_test(&flips(5, 5, 0), ResampleRng::from_name("x")) - 1.0).abs() < 1e-9);
        assert!((sign_flip_test(&flips(0, 0, 9), ResampleRng::from_name("x")) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn halves_from_two_seeds_stay_exact() {
        // Sums of ±1/2 ± 1: 3/2 in one of four ways, -3/2 in one.
        let p = sign_flip_test(&[0.5, 1.0], ResampleRng::from_name("x"));
        assert!((p - 0.5).abs() < 1e-12, "{p}");
    }

    #[test]
    fn sampling_agrees_with_counting() {
        let differences = flips(30, 15, 55);
        let steps = lattice_steps(&differences).unwrap();
        assert!(
            (exact_p_value(&steps) - sampled_p_value(&differences, ResampleRng::from_name("x")))
                .abs()
                < 0.01
        );
        assert!(lattice_steps(&[0.123_456_7]).is_none());
    }

    #[test]
    fn a_comparison_holds_difference_interval_and_test() {
        let panel = |scores: &[f64]| {
            let scores = scores
                .iter()
                .zip(0..)
                .map(|(&score, problem)| (problem, score))
                .collect();
            ScorePanel(vec![SeedScores {
                seed: 0,
                source: "s".to_owned(),
                scores,
            }])
        };
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
}
