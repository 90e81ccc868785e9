//! Scores by seed and problem, the input of every comparison.

use std::collections::{BTreeMap, BTreeSet};

/// The scores of one training seed.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedScores {
    /// The training seed.
    pub seed: u64,
    /// Name of the evaluation; two seeds that share one count once.
    pub source: String,
    /// (problem number, score), sorted by problem number.
    pub scores: Vec<(u32, f64)>,
}

/// One metric's scores by seed and problem, in order of the seeds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScorePanel(pub Vec<SeedScores>);

impl ScorePanel {
    /// The rows of distinct sources, each at its first seed.
    fn distinct_rows(&self) -> Vec<&SeedScores> {
        let mut seen = BTreeSet::new();
        self.0
            .iter()
            .filter(|row| !row.scores.is_empty() && seen.insert(&row.source))
            .collect()
    }

    /// The mean of each problem over the distinct sources that have it, by problem number.
    fn by_problem(&self) -> Vec<(u32, f64)> {
        let mut sums: BTreeMap<u32, (f64, u32)> = BTreeMap::new();
        for &(problem, score) in self.distinct_rows().iter().flat_map(|row| &row.scores) {
            let (sum, count) = sums.entry(problem).or_default();
            *sum += score;
            *count += 1;
        }
        sums.into_iter()
            .map(|(problem, (sum, count))| (problem, sum / f64::from(count)))
            .collect()
    }

    /// The mean of each problem over the distinct sources that have it, in order of the problems.
    #[must_use]
    pub fn problem_means(&self) -> Vec<f64> {
        self.by_problem()
            .into_iter()
            .map(|(_, mean)| mean)
            .collect()
    }

    /// The mean of each distinct source over its problems.
    #[must_use]
    pub fn by_seed(&self) -> Vec<f64> {
        self.distinct_rows()
            .iter()
            .map(|row| {
                row.scores.iter().map(|score| score.1).sum::<f64>() / row.scores.len() as f64
            })
            .collect()
    }

    /// This panel minus the other on the same seeds and problems.
    ///
    /// If the two share no seed, it averages each over its seeds and pairs the problems alone.
    #[must_use]
    pub fn paired_difference(&self, other: &Self) -> Self {
        let shared: Vec<SeedScores> = self
            .0
            .iter()
            .filter_map(|row| {
                let partner = other.0.iter().find(|partner| partner.seed == row.seed)?;
                Some(row_difference(row, partner))
            })
            .collect();
        if shared.iter().any(|row| !row.scores.is_empty()) {
            return Self(shared);
        }
        Self(vec![row_difference(
            &self.mean_over_seeds(),
            &other.mean_over_seeds(),
        )])
    }

    fn mean_over_seeds(&self) -> SeedScores {
        SeedScores {
            seed: 0,
            source: "mean over seeds".to_owned(),
            scores: self.by_problem(),
        }
    }
}

fn row_difference(row: &SeedScores, other: &SeedScores) -> SeedScores {
    let others: BTreeMap<u32, f64> = other.scores.iter().copied().collect();
    let scores = row
        .scores
        .iter()
        .filter_map(|&(problem, score)| Some((problem, score - others.get(&problem)?)))
        .collect();
    SeedScores {
        seed: row.seed,
        source: format!("{} - {}", row.source, other.source),
        scores,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seed: u64, source: &str, scores: &[(u32, f64)]) -> SeedScores {
        SeedScores {
            seed,
            source: source.to_owned(),
            scores: scores.to_vec(),
        }
    }

    #[test]
    fn problems_are_averaged_over_seeds_and_seeds_over_problems() {
        let panel = ScorePanel(vec![
            row(0, "a", &[(1, 1.0), (2, 0.0)]),
            row(1, "b", &[(1, 0.0), (2, 0.0)]),
        ]);
        assert_eq!(panel.by_problem(), [(1, 0.5), (2, 0.0)]);
        assert_eq!(panel.by_seed(), [0.5, 0.0]);
    }

    #[test]
    fn a_shared_evaluation_counts_once() {
        let panel = ScorePanel(vec![
            row(0, "base", &[(1, 1.0)]),
            row(1, "base", &[(1, 1.0)]),
        ]);
        assert_eq!(panel.by_seed(), [1.0]);
    }

    #[test]
    fn differences_pair_seeds_and_problems() {
        let a = ScorePanel(vec![
            row(0, "a0", &[(1, 1.0), (2, 1.0), (3, 1.0)]),
            row(1, "a1", &[(1, 1.0)]),
        ]);
        let b = ScorePanel(vec![row(0, "b0", &[(1, 0.0), (2, 1.0)])]);
        assert_eq!(
            a.paired_difference(&b),
            ScorePanel(vec![row(0, "a0 - b0", &[(1, 1.0), (2, 0.0)])])
        );
    }

    #[test]
    fn without_a_shared_seed_only_problems_are_paired() {
        let a = ScorePanel(vec![row(0, "a0", &[(1, 1.0)]), row(1, "a1", &[(1, 0.0)])]);
        let b = ScorePanel(vec![row(7, "b7", &[(1, 0.0)])]);
        assert_eq!(a.paired_difference(&b).by_problem(), [(1, 0.5)]);
    }
}
