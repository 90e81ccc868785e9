//! What a run needs of a machine: memory while it samples and while it trains, and room on disk.
//!
//! Estimates from sizes and settings, made before anything begins, so that a run that cannot fit is
//! refused in a second and not after an hour. Must not execute anything.

use serde::Serialize;

use crate::config::{Method, RunSpec};
use crate::model::footprint::{Footprint, NumericFormat, TrainableParams, Workload, footprint};
use crate::model::{Engine, ExecutionContext, ModelConfig, Precision};
use crate::rollout::HistoryWindow;
use crate::train::OnlineConfig;

use super::base_models::ResolvedBaseModel;
use super::{BaseModelRegistry, PlanError};

/// Tokens of a question, or of a retry text, where nothing is known of them.
const QUESTION_TOKENS: usize = 128;
/// Dialogues that are sampled at a time.
const SAMPLING_BATCH: usize = 256;

/// What a run needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceEstimate {
    /// Where its tensors live.
    pub backend: String,
    /// Memory while it samples.
    pub sampling: Footprint,
    /// Memory while it trains; none if it does not.
    pub training: Option<Footprint>,
    /// Bytes on disk of each checkpoint that it trains.
    #[serde(rename = "checkpoint")]
    pub checkpoint_bytes: u64,
}

impl ResourceEstimate {
    /// What a run needs of the device that its tensors live on.
    ///
    /// # Errors
    /// If its base model cannot be found.
    pub fn for_run(run: &RunSpec, models: &BaseModelRegistry) -> Result<Self, PlanError> {
        let (config, vocabulary, precision) = match models.for_task(&run.base, &run.task)? {
            ResolvedBaseModel::Recipe(recipe) => {
                (recipe.model, recipe.tokenizer.vocabulary, Precision::F32)
            }
            ResolvedBaseModel::External(linked) => (
                linked.config,
                linked.vocabulary,
                linked.checkpoint.precision,
            ),
        };
        let kernels = if run.backend == "flex" {
            Engine::Cpu
        } else {
            Engine::Portable
        };
        let (activations, threads) = (ExecutionContext::activation_budget_of(&run.backend), 1);
        let frozen = NumericFormat {
            engine: kernels,
            precision,
            storage: precision,
            activation_budget: activations,
            threads,
        };
        let trained = NumericFormat {
            storage: if run.train.lora.is_some() {
                precision
            } else {
                Precision::F32
            },
            ..frozen
        };
        let need = |work: &Workload, numbers: &NumericFormat| {
            footprint(&config, vocabulary, work, numbers)
        };
        let sampled = need(&sampling_workload(run, &config), &frozen);
        Ok(Self {
            backend: run.backend.clone(),
            sampling: sampled,
            training: trains(run).then(|| {
                let training = need(&training_workload(run, &config), &trained);
                let cache = if online_stages(run).is_empty() {
                    0
                } else {
                    sampled.cache
                };
                Footprint { cache, ..training }
            }),
            checkpoint_bytes: checkpoint_bytes(run, &config, vocabulary),
        })
    }

    /// The larger of both needs, and when it arises.
    #[must_use]
    pub fn peak_memory(&self) -> (u64, &'static str) {
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
fn sampling_workload(run: &RunSpec, config: &ModelConfig) -> Workload {
    let answer = run
        .evaluate
        .sampling
        .max_tokens
        .max(run.collect.sampling.max_tokens);
    let window = match run.evaluate.window {
        HistoryWindow::Last(attempts) => attempts,
        HistoryWindow::Trained => own_turns(run),
        HistoryWindow::All => run.evaluate.turns,
    };
    let earlier = window
        .min(run.evaluate.turns.saturating_sub(1))
        .max(own_turns(run) - 1) as usize;
    let prompt = QUESTION_TOKENS + earlier * (answer + QUESTION_TOKENS);
    let prompt = prompt.min(config.positions.saturating_sub(answer)).max(1);
    Workload::Sampling {
        sequences: SAMPLING_BATCH,
        prompt,
        answer,
    }
}

/// A batch of dialogues with all own turns and the improved one, as long as they may become.
fn training_workload(run: &RunSpec, config: &ModelConfig) -> Workload {
    let turns = own_turns(run) as usize + 1;
    let length =
        (turns * (run.collect.sampling.max_tokens + QUESTION_TOKENS)).min(config.positions);
    let trained = run
        .train
        .lora
        .clone()
        .map_or(TrainableParams::All, TrainableParams::Adapters);
    let has_reference = online_stages(run)
        .iter()
        .any(|stage| stage.policy_loss.needs_reference());
    Workload::Training {
        sequences: run.train.batch_size,
        length,
        trainable: trained,
        has_reference,
    }
}

/// What trains on episodes of the model as it is, which are sampled while it is trained.
fn online_stages(run: &RunSpec) -> Vec<OnlineConfig> {
    match run.method {
        Method::Grpo => vec![run.grpo.online_stage()],
        Method::Score => vec![run.score.first_stage(), run.score.second_stage()],
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
fn checkpoint_bytes(run: &RunSpec, config: &ModelConfig, vocabulary: usize) -> u64 {
    let lora = run
        .train
        .lora
        .as_ref()
        .map(|lora| lora.parameter_count(config));
    let values = lora.unwrap_or_else(|| config.parameter_count(vocabulary));
    4 * values as u64
}
