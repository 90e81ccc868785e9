//! Small panels of scores.

use super::{ScorePanel, SeedScores};

/// The scores of one seed, on problems 0, 1, 2, ...
pub(super) fn seed_scores(seed: u64, scores: &[f64]) -> SeedScores {
    SeedScores {
        seed,
        source: format!("s{seed}"),
        scores: (0..).zip(scores.iter().copied()).collect(),
    }
}

/// A panel with one seed.
pub(super) fn panel(scores: &[f64]) -> ScorePanel {
    ScorePanel(vec![seed_scores(0, scores)])
}
