//! What a run needs of a machine: memory while it samples and while it trains, and room on disk.
//!
//! Estimates from sizes and settings, made before anything begins, so that a run that cannot fit is
//! refused in a second and not after an hour. Must not execute anything.

use serde::Serialize;

use crate::model::memory::{Footprint, Numbers, Trained, Work, footprint};
use crate::model::{Kernels, ModelConfig, Place, Precision};
use crate::rollout::Window;
use crate::spec::{Method, RunSpec};
use crate::train::Reinforce;

use super::models::Base;
use super::{Models, PlanError};

/// Tokens of a question, or of a retry text, where nothing is known of them.
const QUESTION: usize = 128;
/// Dialogues that are sampled at a time.
const SAMPLED: usize = 256;

/// What a run needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Where its tensors live.
    pub backend: String,
    /// Memory while it samples.
    pub sampling: Footprint,
    /// Memory while it trains; none if it does not.
    pub training: Option<Footprint>,
    /// Bytes on disk of each checkpoint that it trains.
    pub checkpoint: u64,
}

impl Needs {
    /// What a run needs of the device that its tensors live on.
    ///
    /// # Errors
    /// If its base model cannot be found.
    pub fn of(run: &RunSpec, models: &Models) -> Result<Self, PlanError> {
        let (config, vocabulary, precision) = match models.for_task(&run.base, &run.task)? {
            Base::Recipe(recipe) => (recipe.model, recipe.tokenizer.vocabulary, Precision::F32),
            Base::Linked(linked) => (
                linked.config,
                linked.vocabulary,
                linked.checkpoint.precision,
            ),
        };
        let kernels = if run.backend == "flex" {
            Kernels::Fused
        } else {
            Kernels::Plain
        };
        let (activations, threads) = (Place::room(&run.backend), 1);
        let frozen = Numbers {
            kernels,
            precision,
            storage: precision,
            activations,
            threads,
        };
        let trained = Numbers {
            storage: if run.train.lora.is_some() {
                precision
            } else {
                Precision::F32
            },
            ..frozen
        };
        let need = |work: &Work, numbers: &Numbers| footprint(&config, vocabulary, work, numbers);
        let sampled = need(&sampling(run, &config), &frozen);
        Ok(Self {
            backend: run.backend.clone(),
            sampling: sampled,
            training: trains(run).then(|| {
                let training = need(&training(run, &config), &trained);
                let cache = if online(run).is_empty() {
                    0
                } else {
                    sampled.cache
                };
                Footprint { cache, ..training }
            }),
            checkpoint: checkpoint(run, &config, vocabulary),
        })
    }

    /// The larger of both needs, and when it arises.
    #[must_use]
    pub fn peak(&self) -> (u64, &'static str) {
        let training = self.training.map_or(0, |training| training.total());
        let sampling = self.sampling.total();
        if training > sampling {
            (training, "training")
        } else {
            (sampling, "sampling")
        }
    }
}

fn trains(run: &RunSpec) -> bool {
    run.method != Method::SelfRefine
}

/// The longest history that is answered, and the answer.
fn sampling(run: &RunSpec, config: &ModelConfig) -> Work {
    let answer = run
        .evaluate
        .sampling
        .max_tokens
        .max(run.collect.sampling.max_tokens);
    let window = match run.evaluate.window {
        Window::Last(attempts) => attempts,
        Window::Trained => own_turns(run),
        Window::All => run.evaluate.turns,
    };
    let earlier = window
        .min(run.evaluate.turns.saturating_sub(1))
        .max(own_turns(run) - 1) as usize;
    let prompt = QUESTION + earlier * (answer + QUESTION);
    let prompt = prompt.min(config.positions.saturating_sub(answer)).max(1);
    Work::Sampling {
        sequences: SAMPLED,
        prompt,
        answer,
    }
}

/// A batch of dialogues with all own turns and the improved one, as long as they may become.
fn training(run: &RunSpec, config: &ModelConfig) -> Work {
    let turns = own_turns(run) as usize + 1;
    let length = (turns * (run.collect.sampling.max_tokens + QUESTION)).min(config.positions);
    let trained = run
        .train
        .lora
        .clone()
        .map_or(Trained::All, Trained::Adapters);
    let has_reference = online(run).iter().any(|stage| stage.rule.has_reference());
    Work::Training {
        sequences: run.train.batch,
        length,
        trained,
        has_reference,
    }
}

/// What trains on episodes of the model as it is, which are sampled while it is trained.
fn online(run: &RunSpec) -> Vec<Reinforce> {
    match run.method {
        Method::Grpo => vec![run.grpo.stage()],
        Method::Score => vec![run.score.first(), run.score.second()],
        _ => Vec::new(),
    }
}

/// Own turns of the last round.
fn own_turns(run: &RunSpec) -> u32 {
    run.collect
        .own_turns
        .in_round(run.rounds.count.max(1))
        .max(1)
}

/// Bytes of what a training leaves behind, in 32 bits.
fn checkpoint(run: &RunSpec, config: &ModelConfig, vocabulary: usize) -> u64 {
    let lora = run.train.lora.as_ref().map(|lora| lora.parameters(config));
    let values = lora.unwrap_or_else(|| config.weights(vocabulary));
    4 * values as u64
}
