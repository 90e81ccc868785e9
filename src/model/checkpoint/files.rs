//! Which files a checkpoint's folder consists of, there or not.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE};

/// What stands beside a tokenizer that came with a checkpoint.
pub const TOKENIZER_COMPANIONS: [&str; 3] = [
    "tokenizer_config.json",
    "chat_template.jinja",
    GENERATION_CONFIG_FILE,
];

/// How answers are sampled where nothing else is said, and what ends one.
pub const GENERATION_CONFIG_FILE: &str = "generation_config.json";

/// The index of weights that lie in several files.
pub const WEIGHTS_INDEX_FILE: &str = "model.safetensors.index.json";

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFile {
    /// Its name in the folder.
    pub name: String,
    /// Whether it is there.
    pub exists: bool,
}

/// The files in `folder` that decide what the checkpoint computes: sizes, tokenizer with what
/// belongs to it, and weights with every shard of their index. Required files that are missing are
/// named too.
#[must_use]
pub fn checkpoint_files(folder: &Path) -> Vec<CheckpointFile> {
    let required = [CONFIG_FILE, TOKENIZER_FILE].map(str::to_owned);
    let beside = TOKENIZER_COMPANIONS
        .iter()
        .filter(|name| folder.join(name).exists())
        .map(|&name| name.to_owned());
    let mut names: Vec<String> = required.into_iter().chain(beside).collect();
    let index = folder.join(WEIGHTS_INDEX_FILE);
    if !folder.join(WEIGHTS_FILE).exists() && index.exists() {
        names.push(WEIGHTS_INDEX_FILE.to_owned());
        names.extend(index_shards(&index));
    } else {
        names.push(WEIGHTS_FILE.to_owned());
    }
    names
        .into_iter()
        .map(|name| CheckpointFile {
            exists: folder.join(&name).exists(),
            name,
        })
        .collect()
}

/// The shards that an index names; none if it cannot be read, which loading will tell.
fn index_shards(index: &Path) -> Vec<String> {
    let text = fs::read_to_string(index).unwrap_or_default();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let files = json["weight_map"].as_object().into_iter().flatten();
    let mut shards: Vec<String> = files
        .filter_map(|(_, file)| Some(file.as_str()?.to_owned()))
        .collect();
    shards.sort();
    shards.dedup();
    shards
}
