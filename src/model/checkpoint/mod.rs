//! Checkpoints on disk, in Hugging Face's names and layout: weights in one safetensors file or in
//! several with an index, `config.json`, and `tokenizer.json` beside them.
//!
//! ```text
//! shards         the files of weights, mapped into memory; a tensor's bytes by its name
//! read           from tensors on disk to weights on a device
//! write          from weights to the bytes of a file
//! export         a folder that other programs load
//! dialogues      how other programs write dialogues with this program's own tokenizers
//! inspect        what is in a folder, without reading a weight
//! hugging_face   sizes from the `config.json` of known architectures, and back
//! ```
//!
//! Hides that queries, keys and values (and gates and ups) are one matrix in memory, and that
//! matrices are \[in, out\] there and \[out, in\] on disk. The program's own checkpoints hold their
//! sizes in the fields of [`ModelConfig`] instead.

mod dialogues;
mod export;
mod hugging_face;
mod inspect;
mod read;
mod shards;
mod write;

use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::Key;

use super::{Decoder, LanguageModel, ModelConfig, Place, Tokenizer, TokenizerError, Weights};
use read::Reader;
use shards::Shards;

pub use export::{Form, export};
pub use hugging_face::{Architecture, written as written_config};
pub use inspect::{Inspected, Kind, Shard, TokenizerFacts, inspect};
pub use write::encode;

/// Names of a checkpoint's files.
pub const FILES: [&str; 3] = [WEIGHTS, CONFIG, TOKENIZER];
/// The weights.
pub const WEIGHTS: &str = "model.safetensors";
/// The sizes.
pub const CONFIG: &str = "config.json";
/// The tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";

/// Reads and writes checkpoint folders.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint;

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {reason}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor is missing or has another shape than the configuration says.
    #[error("{}: tensor `{name}` {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The tokenizer does not fit.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl CheckpointError {
    /// Whether something could not be written, rather than read.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        match self {
            Self::File { action, .. } => matches!(action.as_bytes(), b"write"),
            Self::Tokenizer(error) => matches!(error, TokenizerError::Write { .. }),
            Self::Tensor { .. } => false,
        }
    }
}

impl Checkpoint {
    /// Writes weights and sizes into `folder`, and returns the hash of the weights' file.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(decoder: &Decoder, folder: &Path) -> Result<Key, CheckpointError> {
        let bytes = encode(decoder);
        write(&folder.join(WEIGHTS), &bytes)?;
        let config = serde_json::to_string_pretty(decoder.config()).expect("sizes are plain data");
        write(&folder.join(CONFIG), config.as_bytes())?;
        Ok(Key::of_bytes(&bytes))
    }

    /// Reads a whole checkpoint folder.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the parts do not fit each other.
    pub fn load(folder: &Path, place: &Place) -> Result<LanguageModel, CheckpointError> {
        let path = folder.join(CONFIG);
        let (config, rows) = read_sizes(&path)?;
        let tokenizer = Tokenizer::load(&folder.join(TOKENIZER))?;
        let rows = fitting(rows, tokenizer.vocabulary()).map_err(|reason| file("use", &path, &reason))?;
        let weights = read_weights(&folder.join(WEIGHTS), &config, rows, place)?;
        Ok(LanguageModel { decoder: Decoder::new(config, weights, place), tokenizer })
    }

    /// Reads a checkpoint whose parts lie wherever they lie: sizes that are known, a file of weights,
    /// and one of the tokenizer.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_parts(
        config: &ModelConfig,
        weights: &Path,
        tokenizer: &Path,
        place: &Place,
    ) -> Result<LanguageModel, CheckpointError> {
        let tokenizer = Tokenizer::load(tokenizer)?;
        let weights = read_weights(weights, config, tokenizer.vocabulary(), place)?;
        Ok(LanguageModel { decoder: Decoder::new(config.clone(), weights, place), tokenizer })
    }
}

/// Rows of the embedding, if a tokenizer of so many tokens fits them.
fn fitting(rows: Option<usize>, tokens: usize) -> Result<usize, String> {
    let rows = rows.unwrap_or(tokens);
    if rows < tokens {
        return Err(format!(
            "`vocab_size` is {rows}, and the tokenizer beside it has {tokens} tokens: they do not belong together"
        ));
    }
    Ok(rows)
}

/// Reads sizes from a `config.json`, of this program's own or of a known architecture.
///
/// # Errors
/// If the file is missing or damaged, or the architecture is not one of [`Architecture`].
pub fn read_config(path: &Path) -> Result<ModelConfig, CheckpointError> {
    Ok(read_sizes(path)?.0)
}

/// Sizes, and the rows of the embedding where the file says how many there are.
fn read_sizes(path: &Path) -> Result<(ModelConfig, Option<usize>), CheckpointError> {
    let text = fs::read_to_string(path).map_err(|error| file("read", path, &error))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| file("read", path, &error))?;
    if json.get("model_type").is_some() {
        let (config, rows) = hugging_face::read(&json).map_err(|error| file("use", path, &error))?;
        return Ok((config, Some(rows)));
    }
    let config = serde_json::from_value(json).map_err(|error| file("read", path, &error))?;
    Ok((config, None))
}

/// Reads weights of the given sizes from a safetensors file, or from the shards that stand in the
/// index beside it.
///
/// # Errors
/// If a file is missing or damaged, or a tensor is missing, of another shape, of a type that is no
/// float, or holds something that is not a number.
pub fn read_weights(
    path: &Path,
    config: &ModelConfig,
    vocabulary: usize,
    place: &Place,
) -> Result<Weights, CheckpointError> {
    let shards = Shards::open(path)?;
    Reader { shards: &shards, config, place }.weights(vocabulary)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    fs::write(path, bytes).map_err(|error| file("write", path, &error))
}

fn file(action: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> CheckpointError {
    CheckpointError::File { action, path: path.to_owned(), reason: reason.to_string() }
}
