//! What a training starts from, and how what it gives is kept: all weights, or adapters beside the
//! checkpoint that they belong to.

use std::path::Path;

use crate::domain::{Key, Seed};
use crate::model::checkpoint::{self, LoadPurpose, adapter_base};
use crate::model::{CheckpointError, CheckpointFolder, LanguageModel, LoraAdapters};
use crate::train::TrainConfig;

use crate::pipeline::StageError;
use crate::pipeline::execute::StageContext;

/// The checkpoint of a finished stage, ready to be trained: as a whole, or with adapters that
/// change nothing yet, or that are gone on with.
pub fn load_for_training(
    desk: &StageContext<'_>,
    key: &Key,
    train: &TrainConfig,
    seed: Seed,
    backend: &str,
) -> Result<LanguageModel, StageError> {
    let (folder, place) = (
        desk.workspace.stage_folder(key),
        desk.open_backend(backend)?,
    );
    let Some(lora) = &train.lora else {
        let model = CheckpointFolder::load_for(LoadPurpose::Trainable, &folder, &place)?;
        return match &model.decoder.weights().adapters {
            Some(_) => Err(cannot_train(
                &folder,
                "it holds adapters; train it with `train.lora` too",
            )),
            None => Ok(model),
        };
    };
    let LanguageModel { decoder, tokenizer } = CheckpointFolder::load(&folder, &place)?;
    let noise = seed.derive("dropout");
    match &decoder.weights().adapters {
        Some(held) if held.lora != *lora => Err(cannot_train(
            &folder,
            "its adapters have other sizes than `train.lora` says",
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

/// Writes what was trained from the checkpoint of stage `training_checkpoint`; returns the names of its files.
pub fn save_trained(
    desk: &StageContext<'_>,
    start: &Key,
    model: &LanguageModel,
) -> Result<Vec<&'static str>, StageError> {
    let LanguageModel { decoder, tokenizer } = model;
    if decoder.weights().adapters.is_none() {
        CheckpointFolder::save(decoder, &desk.folder)?;
        let beside = tokenizer.save_files(&desk.folder)?;
        return Ok([checkpoint::WEIGHTS_FILE, checkpoint::CONFIG_FILE]
            .into_iter()
            .chain(beside)
            .collect());
    }
    checkpoint::save_adapters(decoder, &frozen_weights_path(desk, start)?, &desk.folder)?;
    Ok(vec![
        checkpoint::ADAPTER_WEIGHTS_FILE,
        checkpoint::ADAPTER_CONFIG_FILE,
    ])
}

/// The folder of the frozen weights, as seen from any stage's folder.
fn frozen_weights_path(desk: &StageContext<'_>, start: &Key) -> Result<String, StageError> {
    let folder = desk.workspace.stage_folder(start);
    let base = adapter_base(&folder)?.unwrap_or(folder);
    let name = base
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(format!("../{name}"))
}
