//! The work that all trainings share: load a checkpoint, encode examples, save the result.

use std::path::Path;

use serde_json::Value;

use crate::domain::{Key, Seed, TrainingExample};
use crate::model::checkpoint::{self, LoadPurpose, adapter_base};
use crate::model::{CheckpointError, CheckpointFolder, LanguageModel, LoraAdapters, Tokenizer};
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::stage_files::POINTS;
use crate::train::{EncodeError, EncodedExample, TrainConfig, TrainingResult, encode_example};

/// The checkpoint of a finished stage, ready to be trained: all weights, new adapters that change
/// nothing yet, or the checkpoint's own adapters.
pub fn load_for_training(
    context: &StageContext<'_>,
    key: &Key,
    train: &TrainConfig,
    seed: Seed,
    backend: &str,
) -> Result<LanguageModel, StageError> {
    let folder = context.workspace.stage_folder(key);
    let device = context.open_backend(backend)?;
    let Some(lora) = &train.lora else {
        let model = CheckpointFolder::load_for(LoadPurpose::Trainable, &folder, &device)?;
        return match &model.decoder.weights().adapters {
            Some(_) => Err(cannot_train(
                &folder,
                "it holds adapters; set `train.lora` for this training too",
            )),
            None => Ok(model),
        };
    };
    let LanguageModel { decoder, tokenizer } = CheckpointFolder::load(&folder, &device)?;
    let noise = seed.derive("dropout");
    match &decoder.weights().adapters {
        Some(held) if held.lora != *lora => Err(cannot_train(
            &folder,
            "its adapters have other sizes than `train.lora`; use the same sizes",
        )),
        Some(_) => Ok(LanguageModel {
            decoder: decoder.with_dropout_seed(noise),
            tokenizer,
        }),
        None => {
            let (config, device) = (decoder.config().clone(), decoder.device());
            let adapters = LoraAdapters::init(lora, &config, seed.derive("lora"), &device);
            Ok(LanguageModel {
                decoder: decoder.with_adapters(adapters).with_dropout_seed(noise),
                tokenizer,
            })
        }
    }
}

fn cannot_train(folder: &Path, reason: &str) -> StageError {
    CheckpointError::File {
        action: "train",
        path: folder.to_owned(),
        reason: reason.to_owned(),
    }
    .into()
}

/// Writes the checkpoint and the curve of a training that started from the stage `start`.
pub fn save_training(
    context: &StageContext<'_>,
    start: &Key,
    trained: &TrainingResult,
    tokenizer: &Tokenizer,
    counts: Value,
) -> Result<StageOutput, StageError> {
    let decoder = &trained.decoder;
    let mut files = if decoder.weights().adapters.is_none() {
        CheckpointFolder::save(decoder, &context.folder)?;
        let mut files = vec![checkpoint::WEIGHTS_FILE, checkpoint::CONFIG_FILE];
        files.extend(tokenizer.save_files(&context.folder)?);
        files
    } else {
        let frozen = frozen_weights_path(context, start)?;
        checkpoint::save_adapters(decoder, &frozen, &context.folder)?;
        vec![
            checkpoint::ADAPTER_WEIGHTS_FILE,
            checkpoint::ADAPTER_CONFIG_FILE,
        ]
    };
    context.write_rows(POINTS, &trained.curve)?;
    files.push(POINTS);
    Ok(StageOutput {
        earlier_seconds: trained.earlier_seconds,
        ..StageOutput::new_without_backend(&files, counts)
    })
}

/// The folder of the frozen weights, as seen from any stage's folder.
fn frozen_weights_path(context: &StageContext<'_>, start: &Key) -> Result<String, StageError> {
    let folder = context.workspace.stage_folder(start);
    let base = adapter_base(&folder)?.unwrap_or(folder);
    let name = base
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(format!("../{name}"))
}

/// Examples in token ids.
#[derive(Debug)]
pub struct EncodedSet<E> {
    /// In the given order.
    pub encoded: Vec<E>,
    /// Number of examples without a target, which are left out.
    pub without_target: usize,
}

/// Every example in token ids.
pub fn encode_all(
    examples: &[TrainingExample],
    tokenizer: &Tokenizer,
    positions: usize,
) -> Result<EncodedSet<EncodedExample>, StageError> {
    encode_all_with(examples, positions, |example| {
        encode_example(example, tokenizer, positions)
    })
}

/// Everything in token ids. Examples that do not fit the model are an error with their number;
/// examples without a target would only dilute the batches, so they are counted and left out.
pub fn encode_all_with<T, E>(
    items: &[T],
    positions: usize,
    encode: impl Fn(&T) -> Result<E, EncodeError>,
) -> Result<EncodedSet<E>, StageError> {
    let (mut encoded, mut without_target) = (Vec::with_capacity(items.len()), 0);
    let (mut count, mut longest) = (0, 0);
    for item in items {
        match encode(item) {
            Ok(fitting) => encoded.push(fitting),
            Err(EncodeError::NoTarget) => without_target += 1,
            Err(EncodeError::TooLong { tokens }) => {
                count += 1;
                longest = longest.max(tokens);
            }
            Err(EncodeError::Tokenizer(error)) => return Err(error.into()),
        }
    }
    if count > 0 {
        return Err(StageError::ExamplesTooLong {
            count,
            total: items.len(),
            positions,
            longest,
        });
    }
    Ok(EncodedSet {
        encoded,
        without_target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_counts_the_long_examples_and_names_the_remedies() {
        let fits = |&tokens: &usize| {
            if tokens > 8 {
                Err(EncodeError::TooLong { tokens })
            } else {
                Ok(tokens)
            }
        };
        assert_eq!(encode_all_with(&[5, 8], 8, fits).unwrap().encoded, [5, 8]);
        let error = encode_all_with(&[5, 12, 9], 8, fits)
            .unwrap_err()
            .to_string();
        insta::assert_snapshot!(error, @"2 of 3 examples are longer than the model's 8 positions (the longest has 12 tokens); lower `max_tokens` or `collect.own_turns`, or leave `repeat_question` out, or give the model more: `model.positions` in the recipe of a base model, `base.positions` where it lowers what the `config.json` of a checkpoint from elsewhere allows");
    }
}
