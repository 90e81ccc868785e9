//! The base stage: a base model from its recipe, or the checkpoint that comes with it.

use std::fs;

use serde_json::json;

use crate::config::{BaseModelSpec, BundledCheckpoint, PretrainConfig};
use crate::data::corpus_documents;
use crate::domain::{Key, Problem, Seed};
use crate::model::{CheckpointFolder, Decoder, Tokenizer, Weights, checkpoint};
use crate::train::{
    EncodedExample, LossReduction, TrainConfig, TrainError, Trainer, TrainingPhase,
};

use super::train::{EncodedSet, encode_all};
use crate::pipeline::StageError;
use crate::pipeline::execute::{StageContext, StageOutput};
use crate::pipeline::stage_files::{self, POINTS, PROBLEMS};
use crate::pipeline::workspace::io_error;

pub fn run(
    desk: &mut StageContext<'_>,
    problems: &Key,
    tokenizer: &Key,
    base: &BaseModelSpec,
    backend: &str,
) -> Result<StageOutput, StageError> {
    match &base.checkpoint {
        Some(shipped) => copy_shipped(desk, tokenizer, base, shipped, backend),
        None => pretrain(desk, problems, tokenizer, base, backend),
    }
}

/// Copies the shipped files, after checking that the weights are what the recipe's file says and
/// the tokenizer is the one that the recipe gives: keys name the recipe, not these files.
fn copy_shipped(
    desk: &StageContext<'_>,
    tokenizer: &Key,
    base: &BaseModelSpec,
    shipped: &BundledCheckpoint,
    backend: &str,
) -> Result<StageOutput, StageError> {
    let bytes = fs::read(&shipped.file).map_err(io_error("read", &shipped.file))?;
    let found = Key::from_bytes(&bytes);
    if found.as_str() != shipped.sha256 {
        return Err(StageError::ShippedWeightsMismatch {
            path: shipped.file.clone(),
            found: found.to_string(),
            expected: shipped.sha256.clone(),
        });
    }
    let vocabulary = fs::read(&shipped.tokenizer).map_err(io_error("read", &shipped.tokenizer))?;
    let trained = desk
        .workspace
        .stage_file(tokenizer, checkpoint::TOKENIZER_FILE);
    if vocabulary != fs::read(&trained).map_err(io_error("read", &trained))? {
        return Err(StageError::ShippedTokenizerMismatch {
            path: shipped.tokenizer.clone(),
        });
    }
    let put = |name: &str, bytes: &[u8]| {
        let path = desk.folder.join(name);
        fs::write(&path, bytes).map_err(io_error("write", &path))
    };
    put(checkpoint::WEIGHTS_FILE, &bytes)?;
    put(checkpoint::TOKENIZER_FILE, &vocabulary)?;
    let config = serde_json::to_string_pretty(&base.model).expect("sizes are plain data");
    put(checkpoint::CONFIG_FILE, config.as_bytes())?;
    stage_files::write_jsonl::<()>(&desk.folder.join(POINTS), &[])?;
    let made = StageOutput::new_without_backend(&published_files(), json!({ "trained_tokens": 0 }))
        .with_backend(backend);
    Ok(StageOutput {
        shipped_instruction_set: Some(shipped.instruction_set.clone()),
        ..made
    })
}

fn published_files() -> [&'static str; 4] {
    [
        checkpoint::WEIGHTS_FILE,
        checkpoint::CONFIG_FILE,
        checkpoint::TOKENIZER_FILE,
        POINTS,
    ]
}

fn pretrain(
    desk: &mut StageContext<'_>,
    problems: &Key,
    tokenizer: &Key,
    base: &BaseModelSpec,
    backend: &str,
) -> Result<StageOutput, StageError> {
    let place = desk.open_backend(backend)?;
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let tokenizer = Tokenizer::load(
        &desk
            .workspace
            .stage_file(tokenizer, checkpoint::TOKENIZER_FILE),
    )?;
    let seed = Seed(base.seed);
    let mut documents = corpus_documents(&problems, &base.corpus, &base.corpus_prompt(), seed);
    documents.truncate(
        base.train
            .documents_per_slice
            .saturating_mul(base.train.slices as usize),
    );
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
        &place.device,
    );
    let start = Decoder::new(base.model.clone(), weights, &place);
    let trainer = Trainer {
        reduction: LossReduction::PerToken,
        folder: &desk.folder,
    };
    let trained = trainer.train(
        start,
        &training_phases(&encoded, &base.train, seed),
        desk.observer,
    )?;
    CheckpointFolder::save(&trained.decoder, &desk.folder)?;
    tokenizer.save(&desk.folder.join(checkpoint::TOKENIZER_FILE))?;
    stage_files::write_jsonl(&desk.folder.join(POINTS), &trained.curve)?;
    let counts = json!({
        "documents": encoded.len(), "without_target": without_target, "steps": trained.steps, "trained_tokens": trained.tokens,
        "parameters": trained.decoder.weights().parameter_count(),
    });
    Ok(StageOutput {
        earlier_seconds: trained.earlier_seconds,
        ..StageOutput::new_without_backend(&published_files(), counts).with_backend(backend)
    })
}

/// One phase per slice; where the corpus has fewer slices of documents, it is gone through again.
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
