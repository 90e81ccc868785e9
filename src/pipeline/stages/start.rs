//! What a training starts from, and how what it gives is kept: all weights, or adapters beside the
//! checkpoint that they belong to.

use std::path::Path;

use crate::domain::{Key, Seed};
use crate::model::checkpoint::{self, Purpose, base_of};
use crate::model::{Adapters, Checkpoint, CheckpointError, LanguageModel};
use crate::train::TrainConfig;

use crate::pipeline::StageError;
use crate::pipeline::execute::Desk;

/// The checkpoint of a finished stage, ready to be trained: as a whole, or with adapters that
/// change nothing yet, or that are gone on with.
pub fn start(
    desk: &Desk<'_>,
    key: &Key,
    train: &TrainConfig,
    seed: Seed,
    backend: &str,
) -> Result<LanguageModel, StageError> {
    let (folder, place) = (desk.workspace.folder(key), desk.place(backend)?);
    let Some(lora) = &train.lora else {
        let model = Checkpoint::load_for(Purpose::Trained, &folder, &place)?;
        return match &model.decoder.weights().adapters {
            Some(_) => Err(other(
                &folder,
                "it holds adapters; train it with `train.lora` too",
            )),
            None => Ok(model),
        };
    };
    let LanguageModel { decoder, tokenizer } = Checkpoint::load(&folder, &place)?;
    let noise = seed.named("dropout");
    match &decoder.weights().adapters {
        Some(held) if held.lora != *lora => Err(other(
            &folder,
            "its adapters have other sizes than `train.lora` says",
        )),
        Some(_) => Ok(LanguageModel {
            decoder: decoder.with_noise(noise),
            tokenizer,
        }),
        None => {
            let (config, device) = (decoder.config().clone(), decoder.device());
            let adapters = Adapters::fresh(lora, &config, seed.named("lora"), &device);
            Ok(LanguageModel {
                decoder: decoder.with_adapters(adapters).with_noise(noise),
                tokenizer,
            })
        }
    }
}

fn other(folder: &Path, reason: &str) -> StageError {
    CheckpointError::File {
        action: "train",
        path: folder.to_owned(),
        reason: reason.to_owned(),
    }
    .into()
}

/// Writes what was trained from the checkpoint of stage `start`; returns the names of its files.
pub fn save(
    desk: &Desk<'_>,
    start: &Key,
    model: &LanguageModel,
) -> Result<Vec<&'static str>, StageError> {
    let LanguageModel { decoder, tokenizer } = model;
    if decoder.weights().adapters.is_none() {
        Checkpoint::save(decoder, &desk.folder)?;
        let beside = tokenizer.save_all(&desk.folder)?;
        return Ok([checkpoint::WEIGHTS, checkpoint::CONFIG]
            .into_iter()
            .chain(beside)
            .collect());
    }
    checkpoint::save_adapters(decoder, &beside(desk, start)?, &desk.folder)?;
    Ok(vec![checkpoint::ADAPTERS, checkpoint::ADAPTER_CONFIG])
}

/// The folder of the frozen weights, as seen from any stage's folder.
fn beside(desk: &Desk<'_>, start: &Key) -> Result<String, StageError> {
    let folder = desk.workspace.folder(start);
    let base = base_of(&folder)?.unwrap_or(folder);
    let name = base
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(format!("../{name}"))
}
