//! Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, equation 7).
//!
//! For a pair of dialogues, with sums over all tokens of their targets,
//!
//! `L = -log σ(β [(log π(y+) - log π_ref(y+)) - (log π(y-) - log π_ref(y-))])`
//!
//! where the reference is the policy that the training starts from. `dL / d log π(y+)` is
//! `-β σ(-β m)` with the margin m in brackets, and the opposite for y-: the gradient of weighted
//! negative log-likelihoods, of weight `β σ(-β m)` on every token of y+ and minus that on those of
//! y-. V-STaR trains its verifier with it.

use crate::domain::{PreferencePair, Seed};
use crate::model::{Decoder, Tokenizer};

use super::TrainConfig;
use super::batch::{BatchRows, EncodeError, EncodedExample, encode_example, shuffled_batches};
use super::trainer::{TrainError, TrainingObjective, WeightedBatch};

/// Pairs in one batch of the reference.
const REFERENCE_BATCH_PAIRS: usize = 64;

/// A pair in token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedPair {
    /// The better dialogue, then the worse one.
    pub sides: [EncodedExample; 2],
}

impl EncodedPair {
    /// Turns a preference into token ids.
    ///
    /// # Errors
    /// If one of its dialogues has more than `positions` tokens, or no target to compare.
    pub fn encode(
        preference: &PreferencePair,
        tokenizer: &Tokenizer,
        positions: usize,
    ) -> Result<Self, EncodeError> {
        Ok(Self {
            sides: [
                encode_example(&preference.chosen, tokenizer, positions)?,
                encode_example(&preference.rejected, tokenizer, positions)?,
            ],
        })
    }
}

/// Loss and weights of a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DpoLoss {
    /// The loss.
    pub loss: f64,
    /// Weight of the negative log-likelihood of each token of the better side; that of the worse
    /// side's tokens is minus this.
    pub nll_weight: f64,
    /// `β m`: how much more than the reference the policy prefers the better side, in units of
    /// reward.
    pub margin: f64,
}

/// The loss of a pair, from the sums of log-probabilities of the better and the worse side under
/// policy and reference.
#[must_use]
pub fn dpo_loss(beta: f64, policy: [f64; 2], reference: [f64; 2]) -> DpoLoss {
    let margin = beta * ((policy[0] - reference[0]) - (policy[1] - reference[1]));
    // Softplus of minus the margin, in the form that does not overflow.
    let loss = (-margin.abs()).exp().ln_1p() + (-margin).max(0.0);
    DpoLoss {
        loss,
        nll_weight: beta / (1.0 + margin.exp()),
        margin,
    }
}

/// Direct preference optimisation over epochs of pairs in a shuffled order; the batch size counts
/// pairs.
pub struct DpoObjective<'a> {
    pairs: &'a [EncodedPair],
    beta: f64,
    config: TrainConfig,
    batches: Vec<Vec<usize>>,
    reference_logprobs: Vec<[f64; 2]>,
    /// Tokens that passed through the reference.
    pub reference_tokens: u64,
}

impl<'a> DpoObjective<'a> {
    /// Computes the reference's log-probabilities of every pair.
    ///
    /// # Errors
    /// If there is no pair, or one of them compares nothing.
    pub fn new(
        reference: &Decoder,
        pairs: &'a [EncodedPair],
        beta: f64,
        config: TrainConfig,
        seed: Seed,
    ) -> Result<Self, TrainError> {
        let mut sides = pairs.iter().flat_map(|pair| &pair.sides);
        if pairs.is_empty() || sides.any(|side| side.targets.is_empty()) {
            return Err(TrainError::NoExamples);
        }
        let batches = (0..config.epochs)
            .map(|epoch| seed.derive_indexed(u64::from(epoch)))
            .flat_map(|seed| shuffled_batches(pairs.len(), &|_| 1, config.batch_size, seed))
            .collect();
        let mut reference_logprobs = Vec::with_capacity(pairs.len());
        let mut reference_tokens = 0;
        for pairs in pairs.chunks(REFERENCE_BATCH_PAIRS) {
            let rows = pair_rows(pairs);
            reference_logprobs.extend(sequence_logprobs(reference, &rows, pairs.len()));
            reference_tokens += rows.input_tokens();
        }
        Ok(Self {
            pairs,
            beta,
            config,
            batches,
            reference_logprobs,
            reference_tokens,
        })
    }
}

/// Both sides of every pair in turn.
fn pair_rows<'a>(pairs: impl IntoIterator<Item = &'a EncodedPair>) -> BatchRows {
    let sides: Vec<&EncodedExample> = pairs.into_iter().flat_map(|pair| &pair.sides).collect();
    BatchRows::new(&sides)
}

/// Sums of log-probabilities over the targets of either side of each pair.
fn sequence_logprobs(decoder: &Decoder, rows: &BatchRows, pairs: usize) -> Vec<[f64; 2]> {
    let values = decoder.log_probabilities(&rows.inputs, &rows.loss_targets());
    let mut sums = vec![[0.0; 2]; pairs];
    for span in &rows.spans {
        let sum: f64 = values[span.rows.clone()]
            .iter()
            .map(|&value| f64::from(value))
            .sum();
        sums[span.example / 2][span.example % 2] += sum;
    }
    sums
}

impl TrainingObjective for DpoObjective<'_> {
    fn config(&self) -> &TrainConfig {
        &self.config
    }

    fn steps(&self) -> usize {
        self.batches.len()
    }

    fn batch(&mut self, step: usize, decoder: &Decoder) -> Result<WeightedBatch, TrainError> {
        let batch = &self.batches[step];
        let rows = pair_rows(batch.iter().map(|&index| &self.pairs[index]));
        let count = batch.len() as f64;
        let logprobs = sequence_logprobs(decoder, &rows, batch.len());
        let losses: Vec<DpoLoss> = logprobs
            .into_iter()
            .zip(batch)
            .map(|(policy, &index)| dpo_loss(self.beta, policy, self.reference_logprobs[index]))
            .collect();
        let mut weights = vec![0.0; rows.target_ids.len()];
        for span in &rows.spans {
            let sign = if span.example % 2 == 0 { 1.0 } else { -1.0 };
            weights[span.rows.clone()]
                .fill((sign * losses[span.example / 2].nll_weight / count) as f32);
        }
        let loss = losses.iter().map(|pair| pair.loss).sum::<f64>() / count;
        let margin = losses.iter().map(|pair| pair.margin).sum::<f64>() / count;
        let right = losses.iter().filter(|pair| pair.margin > 0.0).count() as f64;
        Ok(WeightedBatch {
            batch: rows.with_weights(weights),
            loss: Some(loss),
            metrics: vec![
                ("reward margin".to_owned(), margin),
                ("accuracy".to_owned(), right / count),
            ],
            counts: vec![("forward_tokens", rows.input_tokens())],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_by_hand() {
        // m = (-1 + 2) - (-3 + 1) = 3; β m = 0.3; σ(-0.3) = 0.425557; -ln σ(0.3) = 0.554355.
        let pair = dpo_loss(0.1, [-1.0, -3.0], [-2.0, -1.0]);
        assert!((pair.margin - 0.3).abs() < 1e-12);
        assert!((pair.nll_weight - 0.042_555_7).abs() < 1e-6);
        assert!((pair.loss - 0.554_355).abs() < 1e-6);
        // The reference itself: ln 2, half of β.
        let even = dpo_loss(0.1, [-5.0, -7.0], [-5.0, -7.0]);
        assert!((even.loss - std::f64::consts::LN_2).abs() < 1e-12);
        assert!((even.nll_weight - 0.05).abs() < 1e-12);
    }

    #[test]
    fn far_from_the_reference_nothing_overflows() {
        let lost = dpo_loss(1.0, [-2000.0, 0.0], [0.0, 0.0]);
        assert!((lost.loss - 2000.0).abs() < 1e-9 && (lost.nll_weight - 1.0).abs() < 1e-9);
        let won = dpo_loss(1.0, [0.0, -2000.0], [0.0, 0.0]);
        assert!(won.loss.abs() < 1e-9 && won.nll_weight.abs() < 1e-9);
    }
}
