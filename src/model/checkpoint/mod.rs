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
//! sizes          either form of `config.json`
//! check          whether every tensor is there
//! files          which files a folder consists of
//! link           a checkpoint that stays where it is
//! peft           adapters, in PEFT's layout
//! ```
//!
//! Hides that queries, keys and values (and gates and ups) are one matrix in memory, and that
//! matrices are \[in, out\] there and \[out, in\] on disk. The program's own checkpoints hold their
//! sizes in the fields of [`ModelConfig`] instead.

mod check;
mod config_file;
mod export;
mod files;
mod hugging_face;
mod inspect;
mod link;
mod peft;
mod read;
mod safetensors_files;
mod tokenizer_config;
mod write;

use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::Key;

use super::{
    Decoder, ExecutionContext, LanguageModel, ModelConfig, Precision, Tokenizer, TokenizerError,
    Weights,
};
use read::WeightReader;
use safetensors_files::SafetensorsFiles;

pub use check::{check_embedding_rows, check_tensors};
pub use config_file::{CheckpointConfig, read_checkpoint_config};
pub use export::{ExportOptions, export};
pub use files::{CheckpointFile, GENERATION_CONFIG_FILE, TOKENIZER_COMPANIONS, checkpoint_files};
pub use hugging_face::{Architecture, config_json as written_config};
pub use inspect::{
    CheckpointReport, DtypeCount, TokenizerSummary, WeightFile, inspect, inspect_linked,
};
pub use link::{CheckpointLink, FileStamp, LINK_FILE};
pub use peft::{ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, adapter_base, save as save_adapters};
pub use write::encode_weights;

/// Names of a checkpoint's files.
pub const CHECKPOINT_FILES: [&str; 3] = [WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE];
/// The weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The sizes.
pub const CONFIG_FILE: &str = "config.json";
/// The tokenizer.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Reads and writes checkpoint folders.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointFolder;

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

/// Whether the matrices of a checkpoint are going to be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPurpose {
    /// They stay as they are: they are kept in the precision of products.
    Frozen,
    /// They are trained: they are kept in 32 bits.
    Trainable,
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

impl CheckpointFolder {
    /// Writes weights and sizes into `folder`, and returns the hash of the weights' file.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(decoder: &Decoder, folder: &Path) -> Result<Key, CheckpointError> {
        let bytes = encode_weights(decoder);
        write_file(&folder.join(WEIGHTS_FILE), &bytes)?;
        write_file(
            &folder.join(CONFIG_FILE),
            config_file::config_json(decoder).as_bytes(),
        )?;
        Ok(Key::from_bytes(&bytes))
    }

    /// Reads a whole checkpoint folder: one that holds weights, a link to one, or adapters with
    /// their base.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the parts do not fit each other.
    pub fn load(folder: &Path, place: &ExecutionContext) -> Result<LanguageModel, CheckpointError> {
        Self::load_for(LoadPurpose::Frozen, folder, place)
    }

    /// The same, for matrices that are to be trained or not.
    ///
    /// # Errors
    /// As [`CheckpointFolder::load`].
    pub fn load_for(
        purpose: LoadPurpose,
        folder: &Path,
        place: &ExecutionContext,
    ) -> Result<LanguageModel, CheckpointError> {
        if let Some(base) = adapter_base(folder)? {
            let LanguageModel { decoder, tokenizer } = Self::load_for(purpose, &base, place)?;
            let adapters = peft::read_adapters(folder, decoder.config(), place)?;
            return Ok(LanguageModel {
                decoder: decoder.with_adapters(adapters),
                tokenizer,
            });
        }
        match CheckpointLink::read(folder)? {
            Some(link) => load_link_target(purpose, &link, place),
            None => load_weights_folder(purpose, folder, place, None, None),
        }
    }

    /// Reads the checkpoint that a link leads to, in the way that it says.
    ///
    /// # Errors
    /// As [`CheckpointFolder::load`].
    pub fn load_linked(
        link: &CheckpointLink,
        place: &ExecutionContext,
    ) -> Result<LanguageModel, CheckpointError> {
        load_link_target(LoadPurpose::Frozen, link, place)
    }

    /// Reads a checkpoint whose parts lie wherever they lie: sizes that are known, a file of weights,
    /// and one of the tokenizer.
    ///
    /// # Errors
    /// As [`CheckpointFolder::load`].
    pub fn load_parts(
        config: &ModelConfig,
        weights: &Path,
        tokenizer: &Path,
        place: &ExecutionContext,
    ) -> Result<LanguageModel, CheckpointError> {
        let tokenizer = Tokenizer::load(tokenizer)?;
        let weights = read_weights(weights, config, tokenizer.vocabulary_size(), place)?;
        Ok(LanguageModel {
            decoder: Decoder::new(config.clone(), weights, place),
            tokenizer,
        })
    }
}

fn load_link_target(
    purpose: LoadPurpose,
    link: &CheckpointLink,
    place: &ExecutionContext,
) -> Result<LanguageModel, CheckpointError> {
    let place = ExecutionContext {
        precision: link.precision,
        ..place.clone()
    };
    load_weights_folder(
        purpose,
        &link.folder,
        &place,
        link.chat_template.as_deref(),
        link.positions,
    )
}

/// A folder that holds weights itself.
fn load_weights_folder(
    purpose: LoadPurpose,
    folder: &Path,
    place: &ExecutionContext,
    chat_template: Option<&Path>,
    positions: Option<usize>,
) -> Result<LanguageModel, CheckpointError> {
    let path = folder.join(CONFIG_FILE);
    let CheckpointConfig {
        mut config,
        vocabulary,
        precision,
        ..
    } = read_checkpoint_config(&path)?;
    config.positions = positions.map_or(config.positions, |most| most.min(config.positions));
    let tokenizer = Tokenizer::load_with(&folder.join(TOKENIZER_FILE), chat_template)?;
    let rows = embedding_rows(vocabulary, tokenizer.embedding_rows())
        .map_err(|reason| file_error("use", &path, &reason))?;
    let precision = precision.unwrap_or(place.precision);
    let storage = if purpose == LoadPurpose::Trainable {
        Precision::F32
    } else {
        precision
    };
    let place = ExecutionContext {
        precision,
        storage,
        ..place.clone()
    };
    let weights = read_weights(&folder.join(WEIGHTS_FILE), &config, rows, &place)?;
    Ok(LanguageModel {
        decoder: Decoder::new(config, weights, &place),
        tokenizer,
    })
}

/// Rows of the embedding, if a tokenizer that needs so many fits them.
fn embedding_rows(rows: Option<usize>, needed: usize) -> Result<usize, String> {
    let rows = rows.unwrap_or(needed);
    if rows < needed {
        return Err(format!(
            "`vocab_size` is {rows}, and the tokenizer beside it has tokens that need {needed} rows: they do not belong together; get both from one source"
        ));
    }
    Ok(rows)
}

/// Reads sizes from a `config.json`, of this program's own or of a known architecture.
///
/// # Errors
/// If the file is missing or damaged, or the architecture is not one of [`Architecture`].
pub fn read_config(path: &Path) -> Result<ModelConfig, CheckpointError> {
    Ok(read_checkpoint_config(path)?.config)
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
    place: &ExecutionContext,
) -> Result<Weights, CheckpointError> {
    let shards = SafetensorsFiles::open(path)?;
    WeightReader {
        tensors: &shards,
        config,
        context: place,
    }
    .read_all(vocabulary)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    fs::write(path, bytes).map_err(|error| file_error("write", path, &error))
}

fn file_error(
    action: &'static str,
    path: &Path,
    reason: &dyn std::fmt::Display,
) -> CheckpointError {
    CheckpointError::File {
        action,
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
