//! The base stage: a base model from its recipe, or the checkpoint that comes with it.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::{BaseModelSpec, BundledCheckpoint, PretrainConfig};
use crate::data::corpus_documents;
use crate::domain::{Key, Seed};
use crate::model::{CheckpointFolder, Decoder, Tokenizer, Weights, checkpoint};
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::stage::{Stage, StageKind};
use crate::pipeline::stage_files::{POINTS, PROBLEMS};
use crate::pipeline::time_estimate::{RunSizes, TimeEstimator};
use crate::pipeline::workspace::io_error;
use crate::train::{
    EncodedExample, LossReduction, TrainConfig, TrainError, Trainer, TrainingPhase,
};

use super::training::{EncodedSet, encode_all};

/// The files of a base model.
const FILES: [&str; 4] = [
    checkpoint::WEIGHTS_FILE,
    checkpoint::CONFIG_FILE,
    checkpoint::TOKENIZER_FILE,
    POINTS,
];

/// Pre-train a base model, or copy the checkpoint that its recipe ships.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseStage {
    /// The stage with the problems of the corpus.
    pub problems: Key,
    /// The stage with the tokenizer.
    pub tokenizer: Key,
    /// The base model's recipe, and its shipped checkpoint if it has one.
    pub base: Box<BaseModelSpec>,
    /// The backend that holds the tensors.
    pub backend: String,
}

impl Stage for BaseStage {
    fn kind(&self) -> StageKind {
        StageKind::Base
    }

    fn inputs(&self) -> Vec<Key> {
        vec![self.problems.clone(), self.tokenizer.clone()]
    }

    /// The key of the recipe, so that a shipped checkpoint and a trained one are the same stage.
    fn map_key(&self, content: &mut Map<String, Value>) {
        content.remove("base");
        content.insert("recipe".to_owned(), json!(self.base.recipe_key()));
        let templates = self.base.corpus_prompt().template_key();
        content.insert("templates".to_owned(), json!(templates));
    }

    fn estimated_seconds(&self, _: &RunSizes) -> f64 {
        TimeEstimator::pretraining_seconds(&self.base)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        match &self.base.checkpoint {
            Some(shipped) => self.copy_shipped(context, shipped),
            None => self.pretrain(context),
        }
    }
}

impl BaseStage {
    /// Copies the shipped files, after a check of the weights against the recipe's file and of the
    /// tokenizer against the recipe: keys name the recipe, not these files.
    fn copy_shipped(
        &self,
        context: &StageContext<'_>,
        shipped: &BundledCheckpoint,
    ) -> Result<StageOutput, StageError> {
        let weights = fs::read(&shipped.file).map_err(io_error("read", &shipped.file))?;
        let found = Key::from_bytes(&weights);
        if found.as_str() != shipped.sha256 {
            return Err(StageError::ShippedWeightsMismatch {
                path: shipped.file.clone(),
                found: found.to_string(),
                expected: shipped.sha256.clone(),
            });
        }
        let tokenizer =
            fs::read(&shipped.tokenizer).map_err(io_error("read", &shipped.tokenizer))?;
        let trained = context
            .workspace
            .stage_file(&self.tokenizer, checkpoint::TOKENIZER_FILE);
        if tokenizer != fs::read(&trained).map_err(io_error("read", &trained))? {
            return Err(StageError::ShippedTokenizerMismatch {
                path: shipped.tokenizer.clone(),
            });
        }
        let config = serde_json::to_string_pretty(&self.base.model).expect("sizes are plain data");
        write_file(&context.folder, checkpoint::WEIGHTS_FILE, &weights)?;
        write_file(&context.folder, checkpoint::TOKENIZER_FILE, &tokenizer)?;
        write_file(&context.folder, checkpoint::CONFIG_FILE, config.as_bytes())?;
        context.write_rows::<()>(POINTS, &[])?;
        Ok(StageOutput {
            shipped_instruction_set: Some(shipped.instruction_set.clone()),
            ..StageOutput::new_without_backend(&FILES, json!({ "trained_tokens": 0 }))
                .with_backend(&self.backend)
        })
    }

    fn pretrain(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let (base, seed) = (&self.base, Seed(self.base.seed));
        let device = context.open_backend(&self.backend)?;
        let problems = context.read_rows(&self.problems, PROBLEMS)?;
        let tokenizer = Tokenizer::load(
            &context
                .workspace
                .stage_file(&self.tokenizer, checkpoint::TOKENIZER_FILE),
        )?;
        let mut documents = corpus_documents(&problems, &base.corpus, &base.corpus_prompt(), seed);
        let slices = base.train.slices as usize;
        documents.truncate(base.train.documents_per_slice.saturating_mul(slices));
        let EncodedSet {
            encoded,
            without_target,
        } = encode_all(&documents, &tokenizer, base.model.positions)?;
        if encoded.is_empty() {
            return Err(StageError::Train(TrainError::NoExamples));
        }
        let weights = Weights::init_random(
            &base.model,
            tokenizer.vocabulary_size(),
            seed.derive("weights"),
            &device.device,
        );
        let start = Decoder::new(base.model.clone(), weights, &device);
        let trainer = Trainer {
            reduction: LossReduction::PerToken,
            folder: &context.folder,
        };
        let phases = training_phases(&encoded, &base.train, seed);
        let trained = trainer.train(start, &phases, context.observer)?;
        CheckpointFolder::save(&trained.decoder, &context.folder)?;
        tokenizer.save(&context.folder.join(checkpoint::TOKENIZER_FILE))?;
        context.write_rows(POINTS, &trained.curve)?;
        let counts = json!({
            "documents": encoded.len(), "without_target": without_target, "steps": trained.steps,
            "trained_tokens": trained.tokens,
            "parameters": trained.decoder.weights().parameter_count(),
        });
        Ok(StageOutput {
            earlier_seconds: trained.earlier_seconds,
            ..StageOutput::new_without_backend(&FILES, counts).with_backend(&self.backend)
        })
    }
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), StageError> {
    let path = folder.join(name);
    Ok(fs::write(&path, bytes).map_err(io_error("write", &path))?)
}

/// One phase per slice; a corpus with fewer slices of documents serves them again.
fn training_phases<'a>(
    encoded: &'a [EncodedExample],
    train: &PretrainConfig,
    seed: Seed,
) -> Vec<TrainingPhase<'a>> {
    let size = train.documents_per_slice.min(encoded.len());
    let slices = encoded.len() / size;
    (0..train.slices)
        .map(|slice| {
            let first = slice as usize % slices * size;
            let config = TrainConfig {
                epochs: 1,
                batch_size: train.batch,
                learning_rate: train.learning_rate * train.decay.powi(slice as i32),
                warmup_ratio: if slice == 0 { train.warmup } else { 0.0 },
                final_rate: train.final_rate,
                weight_decay: train.weight_decay,
                beta1: train.beta1,
                beta2: train.beta2,
                max_grad_norm: train.clip,
                lora: None,
            };
            TrainingPhase {
                examples: &encoded[first..first + size],
                config,
                seed: seed.derive("order").derive_indexed(u64::from(slice)),
            }
        })
        .collect()
}
