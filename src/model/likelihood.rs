//! Log-probabilities of given tokens: the way forward alone.
//!
//! What preference and policy-gradient objectives are made of, and what a verifier is read by.
//! With fused kernels shards go through the network one by one, and threads share them; what is
//! cut where follows from the lengths alone, so the bits do not depend on the number of threads.
//! Must not know what the log-probabilities are for.

use std::ops::Range;

use crate::domain::{Dialogue, PolicyError};

use super::cpu::batch_shards::{BatchShard, shard_groups};
use super::cpu::block::{self, BlockParams};
use super::cpu::buffer::PooledBuffer;
use super::cpu::head::CpuHead;
use super::decoder::RaggedBatch;
use super::language_model::policy_error;
use super::{Decoder, EncodedDialogue, Engine, LanguageModel, LossTargets};

/// Rows of a batch of answers, about.
const MAX_BATCH_ROWS: usize = 8192;

impl Decoder {
    /// Log-probability of each row's target, \[N\]; 0 where the target's weight is 0.
    ///
    /// # Panics
    /// If a sequence is longer than the model's positions or a token is not in the vocabulary.
    #[must_use]
    pub fn log_probabilities(&self, batch: &RaggedBatch, targets: &LossTargets) -> Vec<f32> {
        if self.engine != Engine::Cpu {
            return self.portable_log_probabilities(batch, targets);
        }
        let host = self.host_weights();
        let weights = host.block_slices();
        let head = CpuHead {
            gain: host.norm.as_slice(),
            weights: host.head.as_slice(),
            // Read on the way back only.
            transposed: &[],
            epsilon: self.shape.epsilon,
        };
        let mut values = vec![0.0; targets.weights.len()];
        let mut rest = values.as_mut_slice();
        let mut pieces: Vec<(BatchShard, &mut [f32])> = Vec::new();
        for shard in shard_groups(&batch.lengths, self.weights().parameter_count())
            .into_iter()
            .flatten()
        {
            let (mine, others) = rest.split_at_mut(shard.rows.len());
            pieces.push((shard, mine));
            rest = others;
        }
        self.threads.for_each(pieces, |(shard, values)| {
            let x = self.forward_shard(&weights, host.embedding.as_slice(), &shard, batch);
            let (ids, wanted) = (
                &targets.ids[shard.rows.clone()],
                &targets.weights[shard.rows],
            );
            head.log_probabilities(&x, ids, wanted, values);
        });
        values
    }

    /// The residual stream behind the last block for one shard's rows.
    fn forward_shard(
        &self,
        weights: &[BlockParams<&[f32]>],
        embedding: &[f32],
        shard: &BatchShard,
        batch: &RaggedBatch,
    ) -> PooledBuffer {
        let width = self.shape.width;
        let tokens = &batch.tokens[shard.rows.clone()];
        let mut x = PooledBuffer::acquire(tokens.len() * width);
        for (x, &token) in x.chunks_exact_mut(width).zip(tokens) {
            x.copy_from_slice(&embedding[token as usize * width..][..width]);
        }
        for weights in weights {
            let _ = block::forward(
                &mut x,
                weights,
                &self.shape,
                &batch.lengths[shard.sequences.clone()],
            );
        }
        x
    }
}

impl LanguageModel {
    /// Log-probability that the model answers each dialogue with the text beside it: the sum over
    /// the text's tokens and the end token, in natural logarithms.
    ///
    /// # Errors
    /// If a dialogue with its answer has more tokens than the model has positions.
    pub fn log_likelihoods(&self, answers: &[(Dialogue, String)]) -> Result<Vec<f64>, PolicyError> {
        let limit = self.decoder.config().positions;
        let answers = answers
            .iter()
            .map(|(dialogue, answer)| self.encode_answer(dialogue, answer, limit));
        let answers: Vec<EncodedAnswer> = answers.collect::<Result<_, _>>()?;
        let mut values = Vec::with_capacity(answers.len());
        let mut waiting = answers.as_slice();
        while !waiting.is_empty() {
            let mut rows = 0;
            let size = waiting.iter().take_while(|answer| {
                rows += answer.tokens.len();
                rows <= MAX_BATCH_ROWS
            });
            let (now, later) = waiting.split_at(size.count().max(1));
            values.extend(self.sum_log_probabilities(now));
            waiting = later;
        }
        Ok(values)
    }

    fn encode_answer(
        &self,
        dialogue: &Dialogue,
        answer: &str,
        limit: usize,
    ) -> Result<EncodedAnswer, PolicyError> {
        let answered = dialogue.clone().assistant(answer);
        let EncodedDialogue {
            mut tokens,
            answers,
        } = self
            .tokenizer
            .encode_dialogue(&answered.0)
            .map_err(|error| policy_error(&error))?;
        let Range { start: shown, end } = answers.last().cloned().unwrap_or_default();
        tokens.truncate(end);
        if tokens.len() > limit {
            return Err(PolicyError::TooLong {
                tokens: shown,
                room: tokens.len() - shown,
                limit,
            });
        }
        Ok(EncodedAnswer {
            tokens,
            prompt_tokens: shown,
        })
    }

    fn sum_log_probabilities(&self, answers: &[EncodedAnswer]) -> Vec<f64> {
        let (mut tokens, mut ids, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for answer in answers {
            let inputs = answer.tokens.len() - 1;
            tokens.extend(&answer.tokens[..inputs]);
            ids.extend(&answer.tokens[1..]);
            weights.extend(
                (0..inputs).map(|row| f32::from(u8::from(row + 1 >= answer.prompt_tokens))),
            );
        }
        let lengths = answers
            .iter()
            .map(|answer| answer.tokens.len() - 1)
            .collect();
        let targets = LossTargets {
            ids: ids.into(),
            weights: weights.into(),
        };
        let values = self
            .decoder
            .log_probabilities(&RaggedBatch { tokens, lengths }, &targets);
        let mut rest = values.as_slice();
        let sums = answers.iter().map(|answer| {
            let (mine, others) = rest.split_at(answer.tokens.len() - 1);
            rest = others;
            mine.iter().map(|&value| f64::from(value)).sum()
        });
        sums.collect()
    }
}

/// A dialogue and its answer in token ids.
struct EncodedAnswer {
    tokens: Vec<u32>,
    /// Tokens before the answer's first.
    prompt_tokens: usize,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::Seed;
    use crate::model::fixtures::{self, VOCABULARY};
    use crate::model::{ExecutionContext, ModelConfig, Tokenizer, Weights};

    /// Sequences of these lengths in which every third row is no target.
    fn batch(lengths: &[usize]) -> (RaggedBatch, LossTargets) {
        let rows: usize = lengths.iter().sum();
        let mut draws = Seed(5).rng();
        let mut token = || draws.int_between(0, VOCABULARY as i64 - 1) as u32;
        let tokens = (0..rows).map(|_| token()).collect();
        let ids = (0..rows).map(|_| token()).collect();
        let weights = (0..rows).map(|row| [0.0, 1.0, -2.5][row % 3]).collect();
        (
            RaggedBatch {
                tokens,
                lengths: Arc::from(lengths),
            },
            LossTargets { ids, weights },
        )
    }

    #[test]
    fn they_are_the_log_softmax_of_the_logits() {
        for (kernels, tied) in [
            (Engine::Cpu, false),
            (Engine::Cpu, true),
            (Engine::Portable, false),
        ] {
            let decoder = fixtures::decoder_with(kernels, tied);
            let (batch, targets) = batch(&[17, 1, 48, 130, 2]);
            let ours = decoder.log_probabilities(&batch, &targets);
            let mut first = 0;
            let prefixes = batch.lengths.iter().flat_map(|&length| {
                let sequence = first..first + length;
                first = sequence.end;
                sequence.clone().map(move |row| sequence.start..row + 1)
            });
            for (row, prefix) in prefixes.enumerate() {
                let logits = fixtures::next_token_logits(&decoder, &batch.tokens[prefix]);
                let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
                let expected = match targets.weights[row] {
                    0.0 => 0.0,
                    _ => f64::from(logits[targets.ids[row] as usize]) - total.ln(),
                };
                let off = (f64::from(ours[row]) - expected).abs();
                assert!(
                    off < 1e-5,
                    "{kernels:?}, row {row}: {} and not {expected}",
                    ours[row]
                );
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let lengths: Vec<usize> = (0..60).map(|i| 10 + i * 53 % 170).collect();
        let (batch, targets) = batch(&lengths);
        let bits = |threads: usize| -> Vec<u32> {
            let decoder = fixtures::decoder();
            decoder.threads.set_count(threads);
            decoder
                .log_probabilities(&batch, &targets)
                .into_iter()
                .map(f32::to_bits)
                .collect()
        };
        assert_eq!(bits(1), bits(2));
        assert_eq!(bits(1), bits(3));
    }

    #[test]
    fn nothing_has_no_log_probabilities() {
        let (batch, targets) = batch(&[]);
        assert!(
            fixtures::decoder()
                .log_probabilities(&batch, &targets)
                .is_empty()
        );
        assert!(
            fixtures::decoder_with(Engine::Portable, false)
                .log_probabilities(&batch, &targets)
                .is_empty()
        );
    }

    fn model() -> LanguageModel {
        let texts = [
            "How many pens?",
            "3+4=7\n#### 7",
            "That is incorrect. Try again.",
        ];
        let tokenizer = Tokenizer::train(texts.into_iter(), 280).unwrap();
        let config = ModelConfig {
            width: 16,
            heads: 2,
            kv_heads: 1,
            hidden: 20,
            positions: 64,
            ..ModelConfig::default()
        };
        let place = ExecutionContext::open("flex").unwrap();
        let weights =
            Weights::init_random(&config, tokenizer.vocabulary_size(), Seed(7), &place.device);
        LanguageModel {
            decoder: Decoder::new(config, weights, &place),
            tokenizer,
        }
    }

    #[test]
    fn an_answer_is_as_likely_as_all_its_tokens_and_its_end() {
        let model = model();
        let dialogue = Dialogue::default()
            .user("How many pens?")
            .assistant("#### 3")
            .user("Try again.");
        let tokens = model.tokenizer.encode_prompt(&dialogue).unwrap();
        let mut expected = 0.0;
        let mut shown = tokens.clone();
        for next in model
            .tokenizer
            .encode("#### 7")
            .into_iter()
            .chain([model.tokenizer.stop_tokens()[0]])
        {
            let last = fixtures::next_token_logits(&model.decoder, &shown);
            let total: f64 = last.iter().map(|&logit| f64::from(logit).exp()).sum();
            expected += f64::from(last[next as usize]) - total.ln();
            shown.push(next);
        }
        let answers = vec![(dialogue, "#### 7".to_owned()); 400];
        let values = model.log_likelihoods(&answers).unwrap();
        assert_eq!(values.len(), 400);
        assert!(400 * tokens.len() > MAX_BATCH_ROWS, "one batch only");
        assert!(
            values.iter().all(|value| (value - expected).abs() < 1e-4),
            "{} {expected}",
            values[0]
        );
    }

    #[test]
    fn an_answer_that_does_not_fit_is_an_error() {
        let answers = [(
            Dialogue::default().user("How many pens?"),
            "3+4=7\n#### 7".repeat(20),
        )];
        let error = model().log_likelihoods(&answers).unwrap_err().to_string();
        assert!(
            error.contains("do not fit the model's 64 positions"),
            "{error}"
        );
    }
}
