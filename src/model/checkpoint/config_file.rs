//! Either form of `config.json`: this program's own, or that of a known architecture.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Architecture, CheckpointError, file_error, hugging_face};
use crate::model::{Decoder, ModelConfig, Precision};

/// What a `config.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointConfig {
    /// Sizes of the decoder.
    pub config: ModelConfig,
    /// V: rows of the embedding; as many as the tokenizer has tokens if it is not said.
    pub vocabulary: Option<usize>,
    /// The numbers of products that the weights were trained with, where they are not those of the
    /// place.
    pub precision: Option<Precision>,
    /// The architecture, where it is named.
    pub architecture: Option<Architecture>,
}

/// Reads a `config.json`.
///
/// # Errors
/// If the file is missing or damaged, or the architecture is not one of [`Architecture`].
pub fn read_checkpoint_config(path: &Path) -> Result<CheckpointConfig, CheckpointError> {
    let text = fs::read_to_string(path).map_err(|error| file_error("read", path, &error))?;
    let mut json: Value =
        serde_json::from_str(&text).map_err(|error| file_error("read", path, &error))?;
    if json.get("model_type").is_some() {
        let (config, rows, architecture) =
            hugging_face::parse_config(&json).map_err(|error| file_error("use", path, &error))?;
        let architecture = Some(architecture);
        return Ok(CheckpointConfig {
            config,
            vocabulary: Some(rows),
            precision: None,
            architecture,
        });
    }
    let [vocabulary, precision] = ["vocabulary", "precision"]
        .map(|name| json.as_object_mut().and_then(|fields| fields.remove(name)));
    let config = serde_json::from_value(json).map_err(|error| file_error("read", path, &error))?;
    Ok(CheckpointConfig {
        config,
        vocabulary: vocabulary
            .and_then(|rows| rows.as_u64())
            .map(|rows| rows as usize),
        precision: precision.and_then(|name| Precision::deserialize(name).ok()),
        architecture: None,
    })
}

/// This program's own form.
pub fn config_json(decoder: &Decoder) -> String {
    let mut json = serde_json::to_value(decoder.config()).expect("sizes are plain data");
    json["vocabulary"] = json!(decoder.vocabulary_size());
    if decoder.precision() != Precision::F32 {
        json["precision"] = json!(decoder.precision());
    }
    serde_json::to_string_pretty(&json).expect("sizes are plain data")
}
