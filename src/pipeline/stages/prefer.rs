//! The prefer stage: a checkpoint from another one and pairs of a better and a worse answer.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::{Key, PreferencePair, Seed};
use crate::model::LanguageModel;
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::stage::{Stage, StageKind};
use crate::pipeline::stage_files::PAIRS;
use crate::pipeline::time_estimate::RunSizes;
use crate::train::{DpoObjective, EncodedPair, TrainConfig, run_objectives};

use super::cost::ComputeCost;
use super::training::{EncodedSet, encode_all_with, load_for_training, save_training};

/// Train a checkpoint by direct preference optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreferStage {
    /// The checkpoint to start from, which is also the reference.
    pub start: Key,
    /// The stages with pairs, in the order of their union.
    pub pairs: Vec<Key>,
    /// β: how much a difference in log-probability counts as reward.
    pub beta: f64,
    /// Optimizer and schedule; the batch counts pairs.
    pub train: TrainConfig,
    /// Root of the stage's random numbers.
    pub seed: Seed,
    /// The backend that holds the tensors.
    pub backend: String,
}

impl Stage for PreferStage {
    fn kind(&self) -> StageKind {
        StageKind::Prefer
    }

    fn inputs(&self) -> Vec<Key> {
        [&self.start]
            .into_iter()
            .chain(&self.pairs)
            .cloned()
            .collect()
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        // A pass without gradients comes before the one with them.
        let turns = sizes.example_turns(&self.pairs);
        4.0 / 3.0 * sizes.time.training_seconds(turns, &self.train)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let LanguageModel { decoder, tokenizer } =
            load_for_training(context, &self.start, &self.train, self.seed, &self.backend)?;
        let pairs: Vec<PreferencePair> = context.read_all_rows(&self.pairs, PAIRS)?;
        let positions = decoder.config().positions;
        let EncodedSet {
            encoded: pairs,
            without_target,
        } = encode_all_with(&pairs, positions, |pair| {
            EncodedPair::encode(pair, &tokenizer, positions)
        })?;
        let train = self.train.clone();
        let mut objective = DpoObjective::new(&decoder, &pairs, self.beta, train, self.seed)?;
        let trained = run_objectives(
            &context.folder,
            decoder,
            &mut [&mut objective],
            context.observer,
        )?;
        let forward_tokens = trained.counts.get("forward_tokens").copied().unwrap_or(0);
        let mut counts = json!({
            "pairs": pairs.len(), "without_target": without_target, "steps": trained.steps,
        });
        ComputeCost {
            scored_tokens: forward_tokens + objective.reference_tokens,
            trained_tokens: trained.tokens,
            ..ComputeCost::for_model(&trained.decoder)
        }
        .add_to_counts(&mut counts);
        let output = save_training(context, &self.start, &trained, &tokenizer, counts)?;
        Ok(output.with_backend(&self.backend))
    }
}
