//! Examples as token ids, and batches of them.
//!
//! Loss masks are built from token ids, message by message: the targets of an assistant message
//! are its text's tokens and its end token, never the token that opens it.
//!
//! The objective is a weighted negative log-likelihood. For targets i with tokens `T_i` and weights
//! `w_i` (reward-weighted regression, paper section 3.2):
//!
//! `L = sum_i w_i mean_{t in T_i} NLL_t / sum_i |w_i|`
//!
//! The mean inside a target makes long and short attempts count alike, as in the official code.
//! The division by the sum of weights (absent there) keeps the step size independent of the
//! weighting's scale.

use std::ops::Range;
use std::sync::Arc;

use crate::domain::{Role, Seed, TrainingExample};
use crate::model::{EncodedDialogue, LossTargets, RaggedBatch, Tokenizer, TokenizerError};

/// An example in token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedExample {
    /// All tokens of the dialogue.
    pub tokens: Vec<u32>,
    /// Its targets, in order.
    pub targets: Vec<LossTarget>,
}

/// Tokens of an example that are trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossTarget {
    /// First token.
    pub start: usize,
    /// The token past the last.
    pub end: usize,
    /// Weight of the target's loss.
    pub weight: f64,
}

/// Why an example cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It does not fit the model's positions.
    #[error("an example has {tokens} tokens, more than the model's positions")]
    TooLong {
        /// Tokens of the example.
        tokens: usize,
    },
    /// No token of it is a target.
    #[error("an example has no target token")]
    NoTarget,
    /// It cannot be written in token ids.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// Turns an example into token ids.
///
/// # Errors
/// If it has more than `positions` tokens, none of them is a target, or a chat template refuses it.
pub fn encode_example(
    example: &TrainingExample,
    tokenizer: &Tokenizer,
    positions: usize,
) -> Result<EncodedExample, EncodeError> {
    let EncodedDialogue { tokens, answers } = tokenizer.encode_dialogue(&example.messages)?;
    if tokens.len() > positions {
        return Err(EncodeError::TooLong {
            tokens: tokens.len(),
        });
    }
    let messages = example.messages.iter().zip(&example.weights);
    let weights = messages
        .filter(|(message, _)| message.role == Role::Assistant)
        .map(|(_, weight)| *weight);
    let targets: Vec<LossTarget> = answers
        .into_iter()
        .zip(weights)
        .map(|(Range { start, end }, weight)| LossTarget { start, end, weight })
        .filter(|target| target.weight != 0.0)
        .collect();
    if targets.iter().all(|target| target.start >= target.end) {
        return Err(EncodeError::NoTarget);
    }
    Ok(EncodedExample { tokens, targets })
}

/// The tokens of one optimizer step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Inputs: every token but each example's last.
    pub inputs: RaggedBatch,
    /// The token after each input, with the weight of its loss.
    pub targets: LossTargets,
    /// Tokens that are targets.
    pub target_tokens: usize,
}

impl Batch {
    /// Puts examples together; scales token weights so their weighted sum of losses is
    /// the objective (see [`LossReduction`]).
    #[must_use]
    pub fn new(examples: &[&EncodedExample], reduction: LossReduction) -> Self {
        let (rows, scale) = (BatchRows::new(examples), reduction.batch_scale(examples));
        let mut weights = vec![0.0; rows.target_ids.len()];
        for span in &rows.spans {
            let weight = examples[span.example].targets[span.target].weight;
            let token_weight = reduction.token_weight(weight, span.rows.len()) * scale;
            weights[span.rows.clone()].fill(token_weight as f32);
        }
        rows.with_weights(weights)
    }
}

/// Some examples as the rows of one batch.
#[derive(Clone, Debug)]
pub struct BatchRows {
    /// Inputs: every token but each example's last.
    pub inputs: RaggedBatch,
    /// The token after each input.
    pub target_ids: Arc<[u32]>,
    /// The examples' targets, in order.
    pub spans: Vec<TargetSpan>,
}

/// The rows of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpan {
    /// Index of its example.
    pub example: usize,
    /// Its index among the targets of its example.
    pub target: usize,
    /// The rows that predict its tokens.
    pub rows: Range<usize>,
}

impl BatchRows {
    /// Puts examples together.
    #[must_use]
    pub fn new(examples: &[&EncodedExample]) -> Self {
        let lengths = examples
            .iter()
            .map(|example| example.tokens.len() - 1)
            .collect();
        let (mut tokens, mut ids, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        for (number, example) in examples.iter().enumerate() {
            // The row of a token predicts the token after it.
            let shift = tokens.len();
            tokens.extend(&example.tokens[..example.tokens.len() - 1]);
            ids.extend(&example.tokens[1..]);
            let targets = example.targets.iter().enumerate();
            spans.extend(
                targets.map(|(target, &LossTarget { start, end, .. })| TargetSpan {
                    example: number,
                    target,
                    rows: shift + start - 1..shift + end - 1,
                }),
            );
        }
        Self {
            inputs: RaggedBatch { tokens, lengths },
            target_ids: Arc::from(ids),
            spans,
        }
    }

    /// Every token of every target, for its log-probability.
    #[must_use]
    pub fn loss_targets(&self) -> LossTargets {
        let mut weights = vec![0.0; self.target_ids.len()];
        for span in &self.spans {
            weights[span.rows.clone()].fill(1.0);
        }
        LossTargets {
            ids: Arc::clone(&self.target_ids),
            weights: Arc::from(weights),
        }
    }

    /// A batch of the same rows with these weights, \[N\].
    #[must_use]
    pub fn with_weights(&self, weights: Vec<f32>) -> Batch {
        Batch {
            inputs: self.inputs.clone(),
            target_tokens: weights.iter().filter(|&&weight| weight != 0.0).count(),
            targets: LossTargets {
                ids: Arc::clone(&self.target_ids),
                weights: Arc::from(weights),
            },
        }
    }

    /// Tokens that pass through the network.
    #[must_use]
    pub fn input_tokens(&self) -> u64 {
        self.inputs.tokens.len() as u64
    }
}

/// The unit of weights and batch sizes.
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
    fn token_weight(self, weight: f64, tokens: usize) -> f64 {
        match self {
            Self::PerTarget => weight / tokens as f64,
            Self::PerToken => weight,
        }
    }

    /// The part of a batch that an example fills: one document, or its targets.
    fn batch_units(self, example: &EncodedExample) -> usize {
        match self {
            Self::PerTarget => example.targets.len(),
            Self::PerToken => 1,
        }
    }

    /// The factor of all token weights of a batch.
    fn batch_scale(self, examples: &[&EncodedExample]) -> f64 {
        let targets = examples.iter().flat_map(|example| &example.targets);
        let total: f64 = targets
            .map(|target| match self {
                Self::PerTarget => target.weight.abs(),
                Self::PerToken => target.weight.abs() * (target.end - target.start) as f64,
            })
            .sum();
        if total > 0.0 { total.recip() } else { 0.0 }
    }
}

/// The order of one epoch: indices of examples, cut where a batch is full (see [`LossReduction`]).
#[must_use]
pub fn epoch_batches(
    examples: &[EncodedExample],
    batch_size: usize,
    reduction: LossReduction,
    seed: Seed,
) -> Vec<Vec<usize>> {
    shuffled_batches(
        examples.len(),
        &|index| reduction.batch_units(&examples[index]),
        batch_size,
        seed,
    )
}

/// The order of one epoch over `count` items, cut where their sizes fill a batch.
#[must_use]
pub fn shuffled_batches(
    count: usize,
    size: &dyn Fn(usize) -> usize,
    batch_size: usize,
    seed: Seed,
) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    seed.rng().shuffle(&mut order);
    let mut batches = Vec::new();
    let (mut batch, mut filled) = (Vec::new(), 0);
    for index in order {
        let size = size(index);
        if filled > 0 && filled + size > batch_size {
            batches.push(std::mem::take(&mut batch));
            filled = 0;
        }
        filled += size;
        batch.push(index);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An example whose targets are (start, end, weight).
    fn encoded(tokens: usize, targets: &[(usize, usize, f64)]) -> EncodedExample {
        let targets = targets.iter();
        EncodedExample {
            tokens: (0..tokens as u32).collect(),
            targets: targets
                .map(|&(start, end, weight)| LossTarget { start, end, weight })
                .collect(),
        }
    }

    #[test]
    fn targets_are_shifted_by_one_and_weighted_by_hand() {
        let (a, b) = (encoded(5, &[(3, 5, 3.0)]), encoded(3, &[(1, 2, 1.0)]));
        let batch = Batch::new(&[&a, &b], LossReduction::PerTarget);
        assert_eq!(batch.inputs.tokens, [0, 1, 2, 3, 0, 1]);
        assert_eq!(&*batch.inputs.lengths, [4, 2]);
        assert_eq!(&*batch.targets.ids, [1, 2, 3, 4, 1, 2]);
        // 3 / 2 tokens / (3 + 1) and 1 / 1 token / (3 + 1).
        assert_eq!(&*batch.targets.weights, [0.0, 0.0, 0.375, 0.375, 0.25, 0.0]);
        let batch = Batch::new(&[&a, &b], LossReduction::PerToken);
        // 3 each and 1, over 3 + 3 + 1.
        let seventh = 1.0 / 7.0;
        for (weight, expected) in batch
            .targets
            .weights
            .iter()
            .zip([0.0, 0.0, 3.0, 3.0, 1.0, 0.0])
        {
            assert!((weight - expected * seventh).abs() < 1e-7);
        }
    }

    #[test]
    fn an_epoch_holds_every_example_once_in_batches_of_targets() {
        let examples: Vec<EncodedExample> = (0..50)
            .map(|i| encoded(9, &[(1, 3, 1.0), (5, 8, 1.0)][..=i % 2]))
            .collect();
        let batches = epoch_batches(&examples, 8, LossReduction::PerTarget, Seed(3));
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
        for batch in &batches {
            let targets: usize = batch.iter().map(|&i| examples[i].targets.len()).sum();
            assert!((1..=8).contains(&targets), "{targets}");
        }
        assert_ne!(
            batches,
            epoch_batches(&examples, 8, LossReduction::PerTarget, Seed(4))
        );
        assert_eq!(
            batches,
            epoch_batches(&examples, 8, LossReduction::PerTarget, Seed(3))
        );
    }
}
