//! A number that never travels without its interval.

use serde::{Deserialize, Serialize};

use super::{ResampleRng, ScorePanel, mean, mean_interval, sample_std};

/// Coverage of every interval.
pub const CONFIDENCE_LEVEL: f64 = 0.95;

/// A mean over problems with its interval, and what stands behind it.
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
    /// Problems behind it.
    pub problems: usize,
    /// Independent evaluations behind it: training seeds, a shared evaluation counted once.
    pub seeds: usize,
    /// The value of each of them, in order of the seeds.
    pub by_seed: Vec<f64>,
}

impl MeanEstimate {
    /// The estimate of a panel's mean; none for an empty panel.
    ///
    /// The interval is the percentile bootstrap over problems, with the seeds held fixed: it says
    /// what other problems of the same kind would do to these very models.
    #[must_use]
    pub fn from_panel(panel: &ScorePanel) -> Option<Self> {
        let values: Vec<f64> = panel
            .by_problem()
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        if values.is_empty() {
            return None;
        }
        let by_seed = panel.by_seed();
        let (low, high) = mean_interval(&values, ResampleRng::from_values(&values));
        let (value, problems, seeds) = (mean(&values), values.len(), by_seed.len());
        Some(Self {
            value,
            low,
            high,
            level: CONFIDENCE_LEVEL,
            problems,
            seeds,
            by_seed,
        })
    }

    /// The same for scores that lie in [0, 1].
    ///
    /// Where all problems score 0, or all 1, resampling would claim certainty; the exact one-sided
    /// limit (Clopper and Pearson 1934) is used there instead.
    #[must_use]
    pub fn from_fractions(panel: &ScorePanel) -> Option<Self> {
        let mut estimate = Self::from_panel(panel)?;
        let tail = (1.0 - CONFIDENCE_LEVEL) / 2.0;
        let reach = 1.0 - tail.powf(1.0 / estimate.problems as f64);
        let (none, all) = (estimate.high <= 0.0, estimate.low >= 1.0);
        if none {
            estimate.high = reach;
        } else if all {
            estimate.low = 1.0 - reach;
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

#[cfg(test)]
mod tests {
    use super::super::SeedScores;
    use super::*;

    fn panel(scores: &[f64]) -> ScorePanel {
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
    }

    #[test]
    fn nothing_solved_is_not_certainty() {
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
    fn seeds_are_reported_beside_and_not_mixed_into_the_interval() {
        let row = |seed, value: f64| SeedScores {
            seed,
            source: format!("s{seed}"),
            scores: (0..100).map(|problem| (problem, value)).collect(),
        };
        let estimate =
            MeanEstimate::from_panel(&ScorePanel(vec![row(0, 0.4), row(1, 0.6)])).unwrap();
        assert_eq!((estimate.seeds, estimate.problems), (2, 100));
        assert!((estimate.high - estimate.low).abs() < 1e-12);
        assert!((estimate.std_between_seeds().unwrap() - 0.02_f64.sqrt()).abs() < 1e-12);
        assert_eq!(MeanEstimate::from_panel(&ScorePanel::default()), None);
    }
}
