//! A mean that always carries its interval, the percentile bootstrap of Efron (1979).

use serde::{Deserialize, Serialize};

use super::{ResampleRng, ScorePanel};

/// Coverage of every interval.
const CONFIDENCE_LEVEL: f64 = 0.95;

/// Number of bootstrap samples.
const RESAMPLES: usize = 2_000;

/// A mean over problems with its interval and its sample sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanEstimate {
    /// The mean over problems of each problem's mean over seeds, in the metric's own unit.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Coverage of the interval.
    pub level: f64,
    /// Number of problems.
    pub problems: usize,
    /// Number of independent evaluations: training seeds, a shared evaluation counted once.
    pub seeds: usize,
    /// The mean of each evaluation, in order of the seeds.
    pub by_seed: Vec<f64>,
}

impl MeanEstimate {
    /// The estimate of a panel's mean; none for an empty panel.
    ///
    /// The percentile bootstrap resamples problems and keeps the seeds fixed. The interval covers
    /// these models on other problems of the same kind.
    #[must_use]
    pub fn from_panel(panel: &ScorePanel) -> Option<Self> {
        let values = panel.problem_means();
        if values.is_empty() {
            return None;
        }
        let by_seed = panel.by_seed();
        let (low, high) = bootstrap_interval(&values, ResampleRng::from_values(&values));
        Some(Self {
            value: mean(&values),
            low,
            high,
            level: CONFIDENCE_LEVEL,
            problems: values.len(),
            seeds: by_seed.len(),
            by_seed,
        })
    }

    /// The same for scores that lie in [0, 1].
    ///
    /// If all problems score 0, or all 1, resampling would give an interval of width 0, so the
    /// interval ends at the exact limit.
    #[must_use]
    pub fn from_fractions(panel: &ScorePanel) -> Option<Self> {
        let mut estimate = Self::from_panel(panel)?;
        let limit = exact_limit(estimate.problems);
        if estimate.high <= 0.0 {
            estimate.high = limit;
        } else if estimate.low >= 1.0 {
            estimate.low = 1.0 - limit;
        }
        Some(estimate)
    }

    /// Standard deviation between seeds; none with fewer than two.
    #[must_use]
    pub fn std_between_seeds(&self) -> Option<f64> {
        sample_std(&self.by_seed)
    }

    /// Whether the whole interval lies above 0.
    #[must_use]
    pub fn is_above_zero(&self) -> bool {
        self.low > 0.0
    }

    /// Whether the whole interval lies below 0.
    #[must_use]
    pub fn is_below_zero(&self) -> bool {
        self.high < 0.0
    }
}

/// The largest share of problems that could differ although none of `problems` does: the exact
/// one-sided limit (Clopper and Pearson 1934).
pub(super) fn exact_limit(problems: usize) -> f64 {
    1.0 - ((1.0 - CONFIDENCE_LEVEL) / 2.0).powf(1.0 / problems as f64)
}

/// The arithmetic mean; NaN for no numbers.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample standard deviation (divided by n − 1); none for fewer than two numbers.
pub(super) fn sample_std(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The percentile interval of the mean of `values`; the mean twice for fewer than two values.
fn bootstrap_interval(values: &[f64], mut rng: ResampleRng) -> (f64, f64) {
    let count = values.len();
    if count < 2 {
        return (mean(values), mean(values));
    }
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..count).map(|_| values[rng.below(count)]).sum::<f64>() / count as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE_LEVEL) / 2.0;
    (quantile(&means, tail), quantile(&means, 1.0 - tail))
}

/// The quantile of sorted numbers, linear between neighbours.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let position = level * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{panel, seed_scores};
    use super::*;

    #[test]
    fn mean_and_deviation_by_hand() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert!((mean(&values) - 5.0).abs() < 1e-12);
        assert!((sample_std(&values).unwrap() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(sample_std(&[1.0]), None);
    }

    #[test]
    fn quantiles_by_hand() {
        let sorted = [0.0, 10.0, 20.0, 30.0];
        assert!((quantile(&sorted, 0.5) - 15.0).abs() < 1e-12);
        assert!((quantile(&sorted, 1.0) - 30.0).abs() < 1e-12);
    }

    #[test]
    fn interval_agrees_with_the_normal_one_on_many_coins() {
        let values: Vec<f64> = (0..500).map(|i| f64::from(u8::from(i % 5 < 2))).collect();
        let (low, high) = bootstrap_interval(&values, ResampleRng::from_name("coins"));
        let half = 1.96 * (0.4_f64 * 0.6 / 500.0).sqrt();
        assert!(
            (low - (0.4 - half)).abs() < 0.005 && (high - (0.4 + half)).abs() < 0.005,
            "{low} {high}"
        );
    }

    #[test]
    fn intervals_cover_the_truth_at_their_level() {
        let mut draw = ResampleRng::from_name("truth");
        let covered = (0..400)
            .filter(|sample| {
                let values: Vec<f64> = (0..120)
                    .map(|_| f64::from(u8::from(draw.uniform() < 0.3)))
                    .collect();
                let rng = ResampleRng::from_name(&format!("sample {sample}"));
                let (low, high) = bootstrap_interval(&values, rng);
                low <= 0.3 && 0.3 <= high
            })
            .count();
        // 95 % of 400 is 380; five standard errors are 22.
        assert!((355..=398).contains(&covered), "{covered} of 400");
    }

    #[test]
    fn one_value_has_no_width() {
        let interval = bootstrap_interval(&[0.25], ResampleRng::from_name("x"));
        assert_eq!(interval, (0.25, 0.25));
    }

    #[test]
    fn solving_nothing_or_everything_is_not_certainty() {
        let none = MeanEstimate::from_fractions(&panel(&[0.0; 500])).unwrap();
        // 1 - 0.025^(1/500).
        assert!(
            none.low == 0.0 && (none.high - 0.007_350_6).abs() < 1e-6,
            "{none:?}"
        );
        let all = MeanEstimate::from_fractions(&panel(&[1.0; 10])).unwrap();
        assert!(
            (all.low - 0.691_502).abs() < 1e-5 && (all.high - 1.0).abs() < 1e-12,
            "{all:?}"
        );
    }

    #[test]
    fn the_spread_of_seeds_does_not_widen_the_interval() {
        let seeds = vec![seed_scores(0, &[0.4; 100]), seed_scores(1, &[0.6; 100])];
        let estimate = MeanEstimate::from_panel(&ScorePanel(seeds)).unwrap();
        assert_eq!((estimate.seeds, estimate.problems), (2, 100));
        assert!((estimate.high - estimate.low).abs() < 1e-12);
        assert!((estimate.std_between_seeds().unwrap() - 0.02_f64.sqrt()).abs() < 1e-12);
        assert_eq!(MeanEstimate::from_panel(&ScorePanel::default()), None);
    }
}
