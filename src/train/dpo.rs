//! Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, equation 7).
//!
//! For a pair of dialogues, with sums over all tokens of their targets,
//!
//! `L = -log σ(β [(log π(y+) - log π_ref(y+)) - (log π(y-) - log π_ref(y-))])`
//!
//! where the reference is the policy that the training starts from. `dL / d log π(y+)` is
//! `-β σ(-β m)` with the margin m in brackets, and the opposite for y-: the gradient of weighted
//! negative log-likelihoods, of weight `β σ(-β m)` on every token of y+ and minus that on those of
//! y-. V-STaR trains its verifier so. Must not know where pairs come from.

use crate::domain::{PreferencePair, Seed};
use crate::model::{Decoder, Tokenizer};

use super::batch::shuffled_batches;
use super::batch_rows::BatchRows;
use super::training_loop::{TrainError, TrainingObjective, WeightedBatch};
use super::{EncodeError, EncodedExample, TrainConfig, encode_example};

/// Pairs that are passed through the reference at a time.
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
        let side = |example| encode_example(example, tokenizer, positions);
        Ok(Self {
            sides: [side(&preference.chosen)?, side(&preference.rejected)?],
        })
    }
}

/// What a pair comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DpoLoss {
    /// The loss.
    pub loss: f64,
    /// Weight of the negative log-likelihood of each token of the better side; that of the worse
    /// side's tokens is minus this.
    pub nll_weight: f64,
    /// `β m`: by how much the policy prefers the better side more than the reference does, in the
    /// units of a reward.
    pub margin: f64,
}

/// Judges a pair by what policy and reference say to the better and to the worse side: sums of
/// log-probabilities.
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

/// Direct preference optimisation over epochs of pairs in a shuffled order; the configuration's
/// batch is counted in pairs.
pub struct DpoObjective<'a> {
    pairs: &'a [EncodedPair],
    beta: f64,
    config: TrainConfig,
    batches: Vec<Vec<usize>>,
    reference_logprobs: Vec<[f64; 2]>,
    /// Tokens that were passed through the reference.
    pub reference_tokens: u64,
}

impl<'a> DpoObjective<'a> {
    /// Reads every pair with the reference.
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
        let empty = |pair: &EncodedPair| pair.sides.iter().any(|side| side.targets.is_empty());
        if pairs.is_empty() || pairs.iter().any(empty) {
            return Err(TrainError::NoExamples);
        }
        let epoch = |number: u32| {
            shuffled_batches(
                pairs.len(),
                &|_| 1,
                config.batch_size,
                seed.derive_indexed(u64::from(number)),
            )
        };
        let batches = (0..config.epochs).flat_map(epoch).collect();
        let (mut said, mut reference_tokens) = (Vec::with_capacity(pairs.len()), 0);
        for pairs in pairs.chunks(REFERENCE_BATCH_PAIRS) {
            let rows = pair_rows(&pairs.iter().collect::<Vec<_>>());
            said.extend(sequence_logprobs(reference, &rows, pairs.len()));
            reference_tokens += rows.input_tokens();
        }
        Ok(Self {
            pairs,
            beta,
            config,
            batches,
            reference_logprobs: said,
            reference_tokens,
        })
    }
}

/// Both sides of every pair in turn.
fn pair_rows(pairs: &[&EncodedPair]) -> BatchRows {
    BatchRows::new(
        &pairs
            .iter()
            .flat_map(|pair| &pair.sides)
            .collect::<Vec<_>>(),
    )
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
        let chosen = &self.batches[step];
        let rows = pair_rows(
            &chosen
                .iter()
                .map(|&index| &self.pairs[index])
                .collect::<Vec<_>>(),
        );
        let count = chosen.len() as f64;
        let said = sequence_logprobs(decoder, &rows, chosen.len())
            .into_iter()
            .zip(chosen);
        let judged: Vec<DpoLoss> = said
            .map(|(policy, &index)| dpo_loss(self.beta, policy, self.reference_logprobs[index]))
            .collect();
        let mut weights = vec![0.0; rows.target_ids.len()];
        for span in &rows.spans {
            let sign = if span.example % 2 == 0 { 1.0 } else { -1.0 };
            weights[span.rows.clone()]
                .fill((sign * judged[span.example / 2].nll_weight / count) as f32);
        }
        let mean = |value: &dyn Fn(&DpoLoss) -> f64| judged.iter().map(value).sum::<f64>() / count;
        let readings = vec![
            ("reward margin".to_owned(), mean(&|judged| judged.margin)),
            (
                "accuracy".to_owned(),
                mean(&|judged| f64::from(u8::from(judged.margin > 0.0))),
            ),
        ];
        let counts = vec![("forward_tokens", rows.input_tokens())];
        Ok(WeightedBatch {
            batch: rows.with_weights(weights),
            loss: Some(mean(&|judged| judged.loss)),
            metrics: readings,
            counts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_by_hand() {
        // m = (-1 + 2) - (-3 + 1) = 3; β m = 0.3; σ(-0.3) = 0.425557; -ln σ(0.3) = 0.554355.
        let judged = dpo_loss(0.1, [-1.0, -3.0], [-2.0, -1.0]);
        assert!((judged.margin - 0.3).abs() < 1e-12);
        assert!((judged.nll_weight - 0.042_555_7).abs() < 1e-6);
        assert!((judged.loss - 0.554_355).abs() < 1e-6);
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
