//! The base stage: a base model from its recipe, or the checkpoint that comes with it.

use std::fs;

use serde_json::json;

use crate::data::documents;
use crate::domain::{Key, Problem, Seed};
use crate::model::{Checkpoint, Decoder, Tokenizer, Weights, checkpoint};
use crate::spec::{BaseSpec, BaseTraining, Shipped};
use crate::train::{Encoded, Normalise, Phase, TrainConfig, TrainError, Trainer};

use super::train::{Fitting, encode_all};
use crate::pipeline::StageError;
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, POINTS, PROBLEMS};
use crate::pipeline::workspace::fault;

pub fn run(
    desk: &mut Desk<'_>,
    problems: &Key,
    tokenizer: &Key,
    base: &BaseSpec,
    backend: &str,
) -> Result<Made, StageError> {
    match &base.checkpoint {
        Some(shipped) => take_in(desk, tokenizer, base, shipped, backend),
        None => pretrain(desk, problems, tokenizer, base, backend),
    }
}

/// Copies the shipped files, after checking that the weights are what the recipe's file says and
/// the tokenizer is the one that the recipe gives: keys name the recipe, not these files.
fn take_in(
    desk: &Desk<'_>,
    tokenizer: &Key,
    base: &BaseSpec,
    shipped: &Shipped,
    backend: &str,
) -> Result<Made, StageError> {
    let bytes = fs::read(&shipped.file).map_err(fault("read", &shipped.file))?;
    let found = Key::of_bytes(&bytes);
    if found.as_str() != shipped.sha256 {
        return Err(StageError::Shipped {
            path: shipped.file.clone(),
            found: found.to_string(),
            expected: shipped.sha256.clone(),
        });
    }
    let vocabulary = fs::read(&shipped.tokenizer).map_err(fault("read", &shipped.tokenizer))?;
    let trained = desk.workspace.file(tokenizer, checkpoint::TOKENIZER);
    if vocabulary != fs::read(&trained).map_err(fault("read", &trained))? {
        return Err(StageError::ShippedTokenizer {
            path: shipped.tokenizer.clone(),
        });
    }
    let put = |name: &str, bytes: &[u8]| {
        let path = desk.folder.join(name);
        fs::write(&path, bytes).map_err(fault("write", &path))
    };
    put(checkpoint::WEIGHTS, &bytes)?;
    put(checkpoint::TOKENIZER, &vocabulary)?;
    let config = serde_json::to_string_pretty(&base.model).expect("sizes are plain data");
    put(checkpoint::CONFIG, config.as_bytes())?;
    files::write::<()>(&desk.folder.join(POINTS), &[])?;
    let made = Made::plain(&published(), json!({ "trained_tokens": 0 })).on(backend);
    Ok(Made {
        shipped: Some(shipped.instruction_set.clone()),
        ..made
    })
}

fn published() -> [&'static str; 4] {
    [
        checkpoint::WEIGHTS,
        checkpoint::CONFIG,
        checkpoint::TOKENIZER,
        POINTS,
    ]
}

fn pretrain(
    desk: &mut Desk<'_>,
    problems: &Key,
    tokenizer: &Key,
    base: &BaseSpec,
    backend: &str,
) -> Result<Made, StageError> {
    let place = desk.place(backend)?;
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let tokenizer = Tokenizer::load(&desk.workspace.file(tokenizer, checkpoint::TOKENIZER))?;
    let seed = Seed(base.seed);
    let mut documents = documents(&problems, &base.corpus, &base.wording(), seed);
    documents.truncate(
        base.train
            .documents_per_slice
            .saturating_mul(base.train.slices as usize),
    );
    let Fitting {
        encoded,
        without_target,
    } = encode_all(&documents, &tokenizer, base.model.positions)?;
    if encoded.is_empty() {
        return Err(StageError::Train(TrainError::NoExamples));
    }
    let weights = Weights::random(
        &base.model,
        tokenizer.vocabulary(),
        seed.named("weights"),
        &place.device,
    );
    let start = Decoder::new(base.model.clone(), weights, &place);
    let trainer = Trainer {
        normalise: Normalise::Token,
        folder: &desk.folder,
    };
    let trained = trainer.train(start, &phases(&encoded, &base.train, seed), desk.observer)?;
    Checkpoint::save(&trained.decoder, &desk.folder)?;
    tokenizer.save(&desk.folder.join(checkpoint::TOKENIZER))?;
    files::write(&desk.folder.join(POINTS), &trained.points)?;
    let counts = json!({
        "documents": encoded.len(), "without_target": without_target, "steps": trained.steps, "trained_tokens": trained.tokens,
        "parameters": trained.decoder.weights().count(),
    });
    Ok(Made {
        earlier: trained.earlier,
        ..Made::plain(&published(), counts).on(backend)
    })
}

/// One phase per slice; where the corpus has fewer slices of documents, it is gone through again.
fn phases<'a>(encoded: &'a [Encoded], train: &BaseTraining, seed: Seed) -> Vec<Phase<'a>> {
    let size = train.documents_per_slice.min(encoded.len());
    let slices = encoded.len() / size;
    (0..train.slices)
        .map(|slice| {
            let first = slice as usize % slices * size;
            let config = TrainConfig {
                epochs: 1,
                batch: train.batch,
                learning_rate: train.learning_rate * train.decay.powi(slice as i32),
                warmup: if slice == 0 { train.warmup } else { 0.0 },
                final_rate: train.final_rate,
                weight_decay: train.weight_decay,
                beta1: train.beta1,
                beta2: train.beta2,
                clip: train.clip,
                lora: None,
            };
            Phase {
                examples: &encoded[first..first + size],
                config,
                seed: seed.named("order").at(u64::from(slice)),
            }
        })
        .collect()
}
