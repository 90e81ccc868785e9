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
mod dialogues;
mod export;
mod files;
mod hugging_face;
mod inspect;
mod link;
mod peft;
mod read;
mod shards;
mod sizes;
mod write;

use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::Key;

use super::{
    Decoder, LanguageModel, ModelConfig, Place, Precision, Tokenizer, TokenizerError, Weights,
};
use read::Reader;
use shards::Shards;

pub use check::{check, check_rows};
pub use export::{Form, export};
pub use files::{COMPANIONS, GENERATION, Member, members};
pub use hugging_face::{Architecture, written as written_config};
pub use inspect::{Inspected, Kind, Shard, TokenizerFacts, inspect, inspect_linked};
pub use link::{LINK, Link, Stamp};
pub use peft::{ADAPTER_CONFIG, ADAPTERS, base_of, save as save_adapters};
pub use sizes::{Sizes, read_sizes};
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

/// Whether the matrices of a checkpoint are going to be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// They stay as they are: they are kept in the precision of products.
    Frozen,
    /// They are trained: they are kept in 32 bits.
    Trained,
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
        write(&folder.join(CONFIG), sizes::written(decoder).as_bytes())?;
        Ok(Key::of_bytes(&bytes))
    }

    /// Reads a whole checkpoint folder: one that holds weights, a link to one, or adapters with
    /// their base.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the parts do not fit each other.
    pub fn load(folder: &Path, place: &Place) -> Result<LanguageModel, CheckpointError> {
        Self::load_for(Purpose::Frozen, folder, place)
    }

    /// The same, for matrices that are to be trained or not.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_for(
        purpose: Purpose,
        folder: &Path,
        place: &Place,
    ) -> Result<LanguageModel, CheckpointError> {
        if let Some(base) = base_of(folder)? {
            let LanguageModel { decoder, tokenizer } = Self::load_for(purpose, &base, place)?;
            let adapters = peft::read(folder, decoder.config(), place)?;
            return Ok(LanguageModel {
                decoder: decoder.with_adapters(adapters),
                tokenizer,
            });
        }
        match Link::read(folder)? {
            Some(link) => linked(purpose, &link, place),
            None => whole(purpose, folder, place, None, None),
        }
    }

    /// Reads the checkpoint that a link leads to, in the way that it says.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_linked(link: &Link, place: &Place) -> Result<LanguageModel, CheckpointError> {
        linked(Purpose::Frozen, link, place)
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
        Ok(LanguageModel {
            decoder: Decoder::new(config.clone(), weights, place),
            tokenizer,
        })
    }
}

fn linked(purpose: Purpose, link: &Link, place: &Place) -> Result<LanguageModel, CheckpointError> {
    let place = Place {
        precision: link.precision,
        ..place.clone()
    };
    whole(
        purpose,
        &link.folder,
        &place,
        link.chat_template.as_deref(),
        link.positions,
    )
}

/// A folder that holds weights itself.
fn whole(
    purpose: Purpose,
    folder: &Path,
    place: &Place,
    chat_template: Option<&Path>,
    positions: Option<usize>,
) -> Result<LanguageModel, CheckpointError> {
    let path = folder.join(CONFIG);
    let Sizes {
        mut config,
        vocabulary,
        precision,
        ..
    } = read_sizes(&path)?;
    config.positions = positions.map_or(config.positions, |most| most.min(config.positions));
    let tokenizer = Tokenizer::load_with(&folder.join(TOKENIZER), chat_template)?;
    let rows =
        fitting(vocabulary, tokenizer.rows()).map_err(|reason| file("use", &path, &reason))?;
    let precision = precision.unwrap_or(place.precision);
    let storage = if purpose == Purpose::Trained {
        Precision::F32
    } else {
        precision
    };
    let place = Place {
        precision,
        storage,
        ..place.clone()
    };
    let weights = read_weights(&folder.join(WEIGHTS), &config, rows, &place)?;
    Ok(LanguageModel {
        decoder: Decoder::new(config, weights, &place),
        tokenizer,
    })
}

/// Rows of the embedding, if a tokenizer that needs so many fits them.
fn fitting(rows: Option<usize>, needed: usize) -> Result<usize, String> {
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
    Ok(read_sizes(path)?.config)
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
    Reader {
        shards: &shards,
        config,
        place,
    }
    .weights(vocabulary)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    fs::write(path, bytes).map_err(|error| file("write", path, &error))
}

fn file(action: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> CheckpointError {
    CheckpointError::File {
        action,
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
