//! Examples as token ids, and batches of them.
//!
//! Loss masks are built from token ids, message by message: the targets of an assistant message
//! are its text's tokens and its end token, never the token that opens it.

use crate::domain::{Role, Seed, SeededRng, TrainingExample};
use crate::model::{EncodedDialogue, LossTargets, RaggedBatch, Tokenizer, TokenizerError};

use super::LossReduction;
use super::batch_rows::BatchRows;

/// An example in token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedExample {
    /// All tokens of the dialogue.
    pub tokens: Vec<u32>,
    /// (first token, token past the last, weight) of each target.
    pub targets: Vec<(usize, usize, f64)>,
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
    /// No token of it is a target, so that there is nothing to learn from it.
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
    let targets = answers
        .into_iter()
        .zip(weights)
        .filter(|(_, weight)| *weight != 0.0);
    let targets: Vec<_> = targets
        .map(|(answer, weight)| (answer.start, answer.end, weight))
        .collect();
    if targets.iter().all(|(from, to, _)| from >= to) {
        return Err(EncodeError::NoTarget);
    }
    Ok(EncodedExample { tokens, targets })
}

/// What one optimizer step trains on.
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
    /// Puts examples together; token weights are scaled so that their weighted sum of losses is
    /// the objective (see [`LossReduction`]).
    #[must_use]
    pub fn new(examples: &[&EncodedExample], normalise: LossReduction) -> Self {
        let (rows, scale) = (BatchRows::new(examples), normalise.batch_scale(examples));
        let mut weights = vec![0.0; rows.target_ids.len()];
        for span in &rows.spans {
            let weight = examples[span.example].targets[span.target].2;
            let share = (normalise.token_weight(weight, span.rows.len()) * scale) as f32;
            weights[span.rows.clone()].fill(share);
        }
        rows.with_weights(weights)
    }
}

/// The order of one epoch: indices of examples, cut where a batch is full (see [`LossReduction`]).
#[must_use]
pub fn epoch_batches(
    examples: &[EncodedExample],
    batch: usize,
    normalise: LossReduction,
    seed: Seed,
) -> Vec<Vec<usize>> {
    shuffled_batches(
        examples.len(),
        &|index| normalise.batch_units(&examples[index]),
        batch,
        seed,
    )
}

/// The order of one epoch over `count` items, cut where their sizes fill a batch.
#[must_use]
pub fn shuffled_batches(
    count: usize,
    size: &dyn Fn(usize) -> usize,
    batch: usize,
    seed: Seed,
) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut draws: SeededRng = seed.rng();
    draws.shuffle(&mut order);
    let mut batches = vec![Vec::new()];
    let mut filled = 0;
    for index in order {
        let more = size(index);
        if filled > 0 && filled + more > batch {
            batches.push(Vec::new());
            filled = 0;
        }
        filled += more;
        batches
            .last_mut()
            .expect("there is always a last batch")
            .push(index);
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(tokens: usize, targets: &[(usize, usize, f64)]) -> EncodedExample {
        EncodedExample {
            tokens: (0..tokens as u32).collect(),
            targets: targets.to_vec(),
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
