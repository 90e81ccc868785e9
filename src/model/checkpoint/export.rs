//! A checkpoint as a folder that transformers, and what builds on it, loads.
//!
//! Weights are written one parameter at a time, in one file or in shards with an index; adapters are
//! added to their matrices. A checkpoint that came with a chat template keeps its own files, and one
//! with this program's control tokens gets files that say the same in transformers' words. Sizes come
//! last, so that a folder is a checkpoint when all of it is there.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use safetensors::tensor::View;
use serde_json::{Value, json};

use super::write::{TensorToWrite, named_tensors};
use super::{
    CONFIG_FILE, CheckpointError, GENERATION_CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, file_error,
    hugging_face, tokenizer_config, write_file,
};
use crate::domain::SamplingConfig;
use crate::model::{LanguageModel, Precision};

/// How a checkpoint is written.
#[derive(Clone, Copy, Debug)]
pub struct ExportOptions {
    /// The numbers of the weights.
    pub precision: Precision,
    /// Bytes of tensors in one file at most; a larger tensor has a file of its own.
    pub max_shard_bytes: u64,
    /// How answers are sampled where nothing else is said.
    pub sampling: SamplingConfig,
}

/// Files that belong to a tokenizer with a chat template, where they are there.
const TOKENIZER_FILES: [&str; 9] = [
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    GENERATION_CONFIG_FILE,
];
/// Writes a model into a folder that is there and empty; returns the files of weights with their bytes.
///
/// # Errors
/// If a file cannot be read or written.
pub fn export(
    model: &LanguageModel,
    to: &Path,
    form: &ExportOptions,
) -> Result<Vec<(String, u64)>, CheckpointError> {
    let decoder = &model.decoder;
    let from = model.tokenizer.folder();
    let sizes = model_config_json(model, from, form.precision)
        .map_err(|reason| file_error("export", to, &reason))?;
    let merged = decoder.with_weights(decoder.weights().clone().merge_adapters(decoder.config()));
    let files = write_weights(
        named_tensors(&merged, form.precision),
        to,
        form.max_shard_bytes,
    )?;
    match from {
        Some(from) => {
            copy_tokenizer_files(from, to)?;
            // A template from elsewhere takes the place of the checkpoint's own.
            model.tokenizer.save_files(to)?;
        }
        None => write_own_tokenizer(model, to)?,
    }
    if let Some(json) =
        generation_config_json(model, &form.sampling, &to.join(GENERATION_CONFIG_FILE))
    {
        write_json(&to.join(GENERATION_CONFIG_FILE), &json)?;
    }
    write_json(&to.join(CONFIG_FILE), &sizes)?;
    Ok(files)
}

/// The sizes: as they came, where they came from elsewhere and still hold.
fn model_config_json(
    model: &LanguageModel,
    from: Option<&Path>,
    precision: Precision,
) -> Result<Value, String> {
    let (sizes, rows) = (model.decoder.config(), model.decoder.vocabulary_size());
    let came = from.and_then(|from| fs::read_to_string(from.join(CONFIG_FILE)).ok());
    let came: Option<Value> = came.and_then(|text| serde_json::from_str(&text).ok());
    let holding = came.filter(|json| {
        hugging_face::parse_config(json).is_ok_and(|read| (&read.0, read.1) == (sizes, rows))
    });
    let mut json = match holding {
        Some(json) => json,
        None => hugging_face::config_json(sizes, rows)?,
    };
    let name = match precision {
        Precision::F32 => "float32",
        Precision::Bf16 => "bfloat16",
    };
    for field in ["torch_dtype", "dtype"] {
        if json.get(field).is_some() {
            json[field] = json!(name);
        }
    }
    if let Some(control) = model.tokenizer.special_tokens() {
        json["bos_token_id"] = Value::Null;
        json["eos_token_id"] = json!(control.end);
        json["pad_token_id"] = json!(control.pad);
    }
    Ok(json)
}

/// How transformers samples: as the configuration that came with the checkpoint says, or else as this
/// program does; until any token that ends an attempt. None if what came says that.
fn generation_config_json(
    model: &LanguageModel,
    sampling: &SamplingConfig,
    came: &Path,
) -> Option<Value> {
    let stops = json!(model.tokenizer.stop_tokens());
    let came = fs::read_to_string(came)
        .ok()
        .and_then(|text| serde_json::from_str::<Value>(&text).ok());
    if let Some(mut json) = came.filter(Value::is_object) {
        let named = &json["eos_token_id"];
        if *named == stops || json!([named]) == stops {
            return None;
        }
        json["eos_token_id"] = stops;
        return Some(json);
    }
    let mut json = json!({
        "eos_token_id": stops,
        "do_sample": sampling.temperature > 0.0,
        "max_new_tokens": sampling.max_tokens,
    });
    if sampling.temperature > 0.0 {
        json["temperature"] = json!(sampling.temperature);
        json["top_k"] = json!(sampling.top_k);
        json["top_p"] = json!(sampling.top_p);
    }
    if let Some(control) = model.tokenizer.special_tokens() {
        json["pad_token_id"] = json!(control.pad);
    }
    Some(json)
}

fn write_own_tokenizer(model: &LanguageModel, to: &Path) -> Result<(), CheckpointError> {
    model.tokenizer.save(&to.join(TOKENIZER_FILE))?;
    if let Some(config) =
        tokenizer_config::tokenizer_config(&model.tokenizer, model.decoder.config())
    {
        write_json(&to.join("tokenizer_config.json"), &config)?;
        write_json(
            &to.join("special_tokens_map.json"),
            &tokenizer_config::special_tokens_map(),
        )?;
    }
    Ok(())
}

fn copy_tokenizer_files(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    for name in TOKENIZER_FILES {
        let (from, to) = (from.join(name), to.join(name));
        if from.exists() {
            fs::copy(&from, &to).map_err(|error| file_error("write", &to, &error))?;
        }
    }
    Ok(())
}

fn write_json(path: &Path, json: &Value) -> Result<(), CheckpointError> {
    let text = serde_json::to_string_pretty(json).expect("plain data");
    write_file(path, format!("{text}\n").as_bytes())
}

/// Writes tensors in the order of their names.
fn write_weights(
    tensors: BTreeMap<String, TensorToWrite>,
    to: &Path,
    shard: u64,
) -> Result<Vec<(String, u64)>, CheckpointError> {
    let total: usize = tensors.values().map(View::data_len).sum();
    let shards = split_into_shards(tensors, shard);
    let count = shards.len();
    let mut files = Vec::with_capacity(count);
    let mut places = BTreeMap::new();
    for (number, shard) in shards.into_iter().enumerate() {
        let name = match count {
            1 => WEIGHTS_FILE.to_owned(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        places.extend(
            shard
                .iter()
                .map(|(tensor, _)| (tensor.clone(), name.clone())),
        );
        let path = to.join(&name);
        // Some readers refuse files that do not say this.
        let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize_to_file(shard, Some(about), &path)
            .map_err(|error| file_error("write", &path, &error))?;
        let bytes = fs::metadata(&path)
            .map_err(|error| file_error("read", &path, &error))?
            .len();
        files.push((name, bytes));
    }
    if count > 1 {
        let index = json!({ "metadata": { "total_size": total }, "weight_map": places });
        write_json(&to.join(format!("{WEIGHTS_FILE}.index.json")), &index)?;
    }
    Ok(files)
}

/// Tensors in shards of at most so many bytes, in order.
fn split_into_shards<T: View>(tensors: BTreeMap<String, T>, most: u64) -> Vec<Vec<(String, T)>> {
    let mut shards: Vec<Vec<(String, T)>> = vec![Vec::new()];
    let mut room = most;
    for (name, tensor) in tensors {
        let bytes = tensor.data_len() as u64;
        if bytes > room && shards.last().is_some_and(|shard| !shard.is_empty()) {
            shards.push(Vec::new());
            room = most;
        }
        room = room.saturating_sub(bytes);
        shards
            .last_mut()
            .expect("there is always one")
            .push((name, tensor));
    }
    shards
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use safetensors::Dtype;

    use super::*;

    struct TensorOfSize(usize);

    impl View for TensorOfSize {
        fn dtype(&self) -> Dtype {
            Dtype::U8
        }

        fn shape(&self) -> &[usize] {
            std::slice::from_ref(&self.0)
        }

        fn data(&self) -> Cow<'_, [u8]> {
            vec![0; self.0].into()
        }

        fn data_len(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn shards_are_filled_in_order_and_a_large_tensor_stands_alone() {
        let sizes = [("a", 4), ("b", 3), ("c", 3), ("d", 20), ("e", 1)];
        let tensors = || {
            sizes
                .iter()
                .map(|&(name, size)| (name.to_owned(), TensorOfSize(size)))
                .collect()
        };
        let names = |most| -> Vec<String> {
            split_into_shards(tensors(), most)
                .iter()
                .map(|s| s.iter().map(|(name, _)| name.as_str()).collect())
                .collect()
        };
        assert_eq!(names(7), ["ab", "c", "d", "e"]);
        assert_eq!(names(100), ["abcde"]);
        assert_eq!(names(1), ["a", "b", "c", "d", "e"]);
    }
}
