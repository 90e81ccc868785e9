//! The train stage: a checkpoint from another one and weighted examples.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::{Key, Seed, TrainingExample};
use crate::model::LanguageModel;
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::stage::{Stage, StageKind};
use crate::pipeline::stage_files::EXAMPLES;
use crate::pipeline::time_estimate::RunSizes;
use crate::train::{LossReduction, TrainConfig, Trainer, TrainingPhase};

use super::cost::ComputeCost;
use super::training::{EncodedSet, encode_all, load_for_training, save_training};

/// Train a checkpoint on examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainStage {
    /// The checkpoint to start from.
    pub start: Key,
    /// The stages with examples, in the order of their union.
    pub examples: Vec<Key>,
    /// Optimizer and schedule.
    pub train: TrainConfig,
    /// Root of the stage's random numbers.
    pub seed: Seed,
    /// The backend that holds the tensors.
    pub backend: String,
}

impl Stage for TrainStage {
    fn kind(&self) -> StageKind {
        StageKind::Train
    }

    fn inputs(&self) -> Vec<Key> {
        [&self.start]
            .into_iter()
            .chain(&self.examples)
            .cloned()
            .collect()
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        let turns = sizes.example_turns(&self.examples);
        sizes.time.training_seconds(turns, &self.train)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let LanguageModel { decoder, tokenizer } =
            load_for_training(context, &self.start, &self.train, self.seed, &self.backend)?;
        let examples: Vec<TrainingExample> = context.read_all_rows(&self.examples, EXAMPLES)?;
        let EncodedSet {
            encoded,
            without_target,
        } = encode_all(&examples, &tokenizer, decoder.config().positions)?;
        let phase = TrainingPhase {
            examples: &encoded,
            config: self.train.clone(),
            seed: self.seed,
        };
        let trainer = Trainer {
            reduction: LossReduction::PerTarget,
            folder: &context.folder,
        };
        let trained = trainer.train(decoder, &[phase], context.observer)?;
        let mut counts = json!({
            "examples": encoded.len(),
            "targets": encoded.iter().map(|example| example.targets.len()).sum::<usize>(),
            "without_target": without_target,
            "steps": trained.steps,
        });
        ComputeCost {
            trained_tokens: trained.tokens,
            ..ComputeCost::for_model(&trained.decoder)
        }
        .add_to_counts(&mut counts);
        let output = save_training(context, &self.start, &trained, &tokenizer, counts)?;
        Ok(output.with_backend(&self.backend))
    }
}
