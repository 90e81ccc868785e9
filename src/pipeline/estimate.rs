//! How long stages may take on one core of a laptop; for plans and progress only, never for keys.

use crate::remote::Endpoint;
use crate::spec::{BaseSpec, RunSpec};
use crate::train::{Reinforce, TrainConfig};

use super::models::Base;

/// Floating-point operations per second of one core, as training reaches them; a server's core with
/// AVX-512 reaches 10e10.
const SPEED: f64 = 8.0e10;
/// Tokens of an attempt, prompt included, where nothing is known yet.
const TOKENS: f64 = 80.0;

/// Seconds until a model behind an API has answered.
const ANSWER: f64 = 2.0;

/// What an estimate is made of.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    weights: f64,
    problems: f64,
}

impl Estimate {
    /// For runs on this base model.
    pub fn of(base: &Base, run: &RunSpec) -> Self {
        let weights = match base {
            Base::Recipe(recipe) => weights(recipe),
            Base::Linked(linked) => linked.config.weights(linked.vocabulary) as f64,
        };
        Self { weights, problems: run.data.train as f64 }
    }

    /// Seconds to sample so many attempts.
    pub fn sampling(self, attempts: usize) -> f64 {
        1.0 + attempts as f64 * TOKENS * 2.0 * self.weights / SPEED
    }

    /// Seconds to have so many answers from a model behind an API.
    pub fn asking(endpoint: &Endpoint, answers: usize) -> f64 {
        let allowed = endpoint.requests_per_minute.map_or(0.0, |limit| 60.0 / f64::from(limit));
        1.0 + answers as f64 * (ANSWER / endpoint.concurrency as f64).max(allowed)
    }

    /// Seconds to train on so many rounds' examples.
    pub fn training(self, rounds: usize, train: &TrainConfig) -> f64 {
        let tokens = self.problems * rounds as f64 * 1.5 * TOKENS * f64::from(train.epochs);
        1.0 + tokens * 6.0 * self.weights / SPEED
    }

    /// Seconds of an online training: sampling, two passes without gradients, and those with.
    pub fn practice(self, settings: &Reinforce) -> f64 {
        let attempts = settings.problems * (settings.iterations * settings.samples * settings.turns) as usize;
        let passes = 4.0 + 8.0 * f64::from(settings.passes);
        self.sampling(attempts) + attempts as f64 * TOKENS * passes * self.weights / SPEED
    }

    /// Seconds to pre-train a base model, or to take in the one that is shipped.
    pub fn base(base: &BaseSpec) -> f64 {
        if base.checkpoint.is_some() {
            return 0.5;
        }
        let documents = f64::from(base.train.slices) * base.train.documents_per_slice as f64;
        10.0 + documents * 2.0 * TOKENS * 6.0 * weights(base) / SPEED
    }
}

fn weights(base: &BaseSpec) -> f64 {
    base.model.weights(base.tokenizer.vocabulary) as f64
}
