//! The training objective: weighted negative log-likelihood.
//!
//! For targets i with tokens `T_i` and weights `w_i` (reward-weighted regression, paper section 3.2):
//!
//! `L = sum_i w_i mean_{t in T_i} NLL_t / sum_i |w_i|`
//!
//! The mean inside a target makes long and short attempts count alike, as in the official code.
//! The division by the sum of weights (absent there) keeps the step size independent of the
//! weighting's scale.

use super::EncodedExample;

/// What the weights of a batch are relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReduction {
    /// Every target counts by its weight, however long it is, and batches are counted in targets:
    /// for fine-tuning.
    PerTarget,
    /// Every token counts by its target's weight, and batches are counted in documents: for
    /// pre-training.
    PerToken,
}

impl LossReduction {
    /// Weight of one token of a target of `tokens` tokens, before scaling.
    pub(super) fn token_weight(self, weight: f64, tokens: usize) -> f64 {
        match self {
            Self::PerTarget => weight / tokens as f64,
            Self::PerToken => weight,
        }
    }

    /// How much of a batch an example fills: a document, or its targets.
    pub(super) fn batch_units(self, example: &EncodedExample) -> usize {
        match self {
            Self::PerTarget => example.targets.len(),
            Self::PerToken => 1,
        }
    }

    /// What all token weights of a batch are multiplied with.
    pub(super) fn batch_scale(self, examples: &[&EncodedExample]) -> f64 {
        let targets = examples.iter().flat_map(|example| &example.targets);
        let total: f64 = targets
            .map(|&(from, to, weight)| match self {
                Self::PerTarget => weight.abs(),
                Self::PerToken => weight.abs() * (to - from) as f64,
            })
            .sum();
        if total > 0.0 { total.recip() } else { 0.0 }
    }
}
