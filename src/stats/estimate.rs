//! A number that never travels without its interval.

use serde::{Deserialize, Serialize};

use super::{Panel, Stream, deviation, mean, mean_interval};

/// Coverage of every interval.
pub const LEVEL: f64 = 0.95;

/// A mean over problems with its interval, and what stands behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
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

impl Estimate {
    /// The estimate of a panel's mean; none for an empty panel.
    ///
    /// The interval is the percentile bootstrap over problems, with the seeds held fixed: it says
    /// what other problems of the same kind would do to these very models.
    #[must_use]
    pub fn of(panel: &Panel) -> Option<Self> {
        let values: Vec<f64> = panel
            .by_problem()
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        if values.is_empty() {
            return None;
        }
        let by_seed = panel.by_seed();
        let (low, high) = mean_interval(&values, Stream::of(&values));
        let (value, problems, seeds) = (mean(&values), values.len(), by_seed.len());
        Some(Self {
            value,
            low,
            high,
            level: LEVEL,
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
    pub fn of_fraction(panel: &Panel) -> Option<Self> {
        let mut estimate = Self::of(panel)?;
        let tail = (1.0 - LEVEL) / 2.0;
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
    pub fn between_seeds(&self) -> Option<f64> {
        deviation(&self.by_seed)
    }

    /// Whether the whole interval lies above 0.
    #[must_use]
    pub fn above_zero(&self) -> bool {
        self.low > 0.0
    }

    /// Whether the whole interval lies below 0.
    #[must_use]
    pub fn below_zero(&self) -> bool {
        self.high < 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;

    fn panel(scores: &[f64]) -> Panel {
        let scores = scores
            .iter()
            .zip(0..)
            .map(|(&score, problem)| (problem, score))
            .collect();
        Panel(vec![Row {
            seed: 0,
            source: "s".to_owned(),
            scores,
        }])
    }

    #[test]
    fn nothing_solved_is_not_certainty() {
        let none = Estimate::of_fraction(&panel(&[0.0; 500])).unwrap();
        // 1 - 0.025^(1/500).
        assert!(
            none.low == 0.0 && (none.high - 0.007_350_6).abs() < 1e-6,
            "{none:?}"
        );
        let all = Estimate::of_fraction(&panel(&[1.0; 10])).unwrap();
        assert!(
            (all.low - 0.691_502).abs() < 1e-5 && (all.high - 1.0).abs() < 1e-12,
            "{all:?}"
        );
    }

    #[test]
    fn seeds_are_reported_beside_and_not_mixed_into_the_interval() {
        let row = |seed, value: f64| Row {
            seed,
            source: format!("s{seed}"),
            scores: (0..100).map(|problem| (problem, value)).collect(),
        };
        let estimate = Estimate::of(&Panel(vec![row(0, 0.4), row(1, 0.6)])).unwrap();
        assert_eq!((estimate.seeds, estimate.problems), (2, 100));
        assert!((estimate.high - estimate.low).abs() < 1e-12);
        assert!((estimate.between_seeds().unwrap() - 0.02_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Estimate::of(&Panel::default()), None);
    }
}
