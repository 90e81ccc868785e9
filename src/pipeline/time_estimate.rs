//! How long stages may take on one core of a laptop; for plans and progress only, never for keys.

use std::collections::BTreeMap;

use crate::api::Endpoint;
use crate::config::BaseModelSpec;
use crate::domain::Key;
use crate::train::{OnlineConfig, TrainConfig};

use super::base_models::ResolvedBaseModel;

/// Floating-point operations per second of one core, as training reaches them; a server's core with
/// AVX-512 reaches 10e10.
const FLOPS_PER_SECOND: f64 = 8.0e10;
/// Tokens of an attempt, prompt included.
const TOKENS_PER_ATTEMPT: f64 = 80.0;
/// Tokens of one trained turn, with the question or the retry text before it.
const TOKENS_PER_TURN: f64 = 60.0;
/// The cost of a later turn in first attempts: a sliding window makes it read its whole context again.
const ATTEMPTS_PER_RETRY: f64 = 2.5;

/// Seconds of one answer of an API model.
const SECONDS_PER_ANSWER: f64 = 2.0;

/// The sizes of a run, for the estimates of its stages.
pub struct RunSizes {
    /// Seconds of its base model.
    pub time: TimeEstimator,
    /// Training problems.
    pub train_problems: usize,
    /// Samples on all training problems.
    pub train_samples: usize,
    /// Trajectories per training problem.
    pub trajectories: usize,
    /// Evaluated problems.
    pub eval_problems: usize,
    /// About how many turns the examples of each stage have.
    pub turns_by_stage: BTreeMap<Key, usize>,
}

impl RunSizes {
    /// About how many turns an epoch over these examples trains on.
    pub fn example_turns(&self, examples: &[Key]) -> usize {
        let known = |key| self.turns_by_stage.get(key);
        examples.iter().filter_map(known).sum()
    }
}

/// The speed of a base model.
#[derive(Clone, Copy, Debug)]
pub struct TimeEstimator {
    parameters: f64,
}

impl TimeEstimator {
    /// For runs on this base model.
    pub fn for_base_model(base: &ResolvedBaseModel) -> Self {
        let parameters = match base {
            ResolvedBaseModel::Recipe(recipe) => parameter_count(recipe),
            ResolvedBaseModel::External(external) => {
                external.config.parameter_count(external.vocabulary) as f64
            }
        };
        Self { parameters }
    }

    /// Seconds to sample attempts.
    pub fn sampling_seconds(self, attempts: usize) -> f64 {
        1.0 + attempts as f64 * TOKENS_PER_ATTEMPT * 2.0 * self.parameters / FLOPS_PER_SECOND
    }

    /// Seconds to evaluate: first attempts at each problem, one of which continues.
    pub fn evaluation_seconds(self, problems: usize, turns: u32, samples: u32) -> f64 {
        let attempts = f64::from(samples) + ATTEMPTS_PER_RETRY * f64::from(turns.saturating_sub(1));
        self.sampling_seconds((problems as f64 * attempts) as usize)
    }

    /// Seconds until an API model has answered.
    pub fn api_seconds(endpoint: &Endpoint, answers: usize) -> f64 {
        let allowed = endpoint
            .requests_per_minute
            .map_or(0.0, |limit| 60.0 / f64::from(limit));
        1.0 + answers as f64 * (SECONDS_PER_ANSWER / endpoint.concurrency as f64).max(allowed)
    }

    /// Seconds to train on turns.
    pub fn training_seconds(self, turns: usize, train: &TrainConfig) -> f64 {
        let tokens = turns as f64 * TOKENS_PER_TURN * f64::from(train.epochs);
        1.0 + tokens * 6.0 * self.parameters / FLOPS_PER_SECOND
    }

    /// Seconds of an online training: sampling, two passes without gradients, and those with.
    pub fn online_training_seconds(self, settings: &OnlineConfig) -> f64 {
        let attempts = settings.batch_problems
            * (settings.iterations * settings.group_size * settings.turns) as usize;
        let passes = 4.0 + 8.0 * f64::from(settings.updates_per_batch);
        self.sampling_seconds(attempts)
            + attempts as f64 * TOKENS_PER_ATTEMPT * passes * self.parameters / FLOPS_PER_SECOND
    }

    /// Seconds to pre-train a base model, or to copy the shipped one.
    pub fn pretraining_seconds(base: &BaseModelSpec) -> f64 {
        if base.checkpoint.is_some() {
            return 0.5;
        }
        let documents = f64::from(base.train.slices) * base.train.documents_per_slice as f64;
        10.0 + documents * 2.0 * TOKENS_PER_ATTEMPT * 6.0 * parameter_count(base) / FLOPS_PER_SECOND
    }
}

fn parameter_count(base: &BaseModelSpec) -> f64 {
    base.model.parameter_count(base.tokenizer.vocabulary) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_turns_cost_more_than_first_attempts() {
        let estimate = TimeEstimator { parameters: 5e5 };
        let [samples, turns] = [(1, 5), (5, 1)]
            .map(|(turns, samples)| estimate.evaluation_seconds(1000, turns, samples));
        // 5 and 11 first attempts of 80 tokens on 1,000 problems, and a second to begin.
        assert!(
            (samples - 1.0 - 5.0 * 80.0 * 1000.0 * 2.0 * 5e5 / 8e10).abs() < 1e-9,
            "{samples}"
        );
        assert!(
            (turns - 1.0 - 11.0 * 80.0 * 1000.0 * 2.0 * 5e5 / 8e10).abs() < 1e-9,
            "{turns}"
        );
    }

    #[test]
    fn training_takes_as_long_as_its_turns_and_epochs() {
        let estimate = TimeEstimator { parameters: 5e5 };
        let train = TrainConfig {
            epochs: 3,
            ..TrainConfig::default()
        };
        // Three passes over 1,000 turns of 60 tokens, and a second to begin.
        let seconds = estimate.training_seconds(1000, &train) - 1.0;
        assert!(
            (seconds - 3.0 * 60.0 * 1000.0 * 6.0 * 5e5 / 8e10).abs() < 1e-9,
            "{seconds}"
        );
    }
}
