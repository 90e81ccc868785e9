//! Checkpoints that were trained elsewhere: what identifies them, and how large they are.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::Key;
use crate::model::checkpoint::{CONFIG, Sizes, members, read_sizes};
use crate::model::{CheckpointError, ModelConfig};
use crate::spec::HfCheckpoint;

use super::PlanError;
use super::hashes::Hashes;

/// A checkpoint with what a plan needs of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Linked {
    /// Where it is, and how it is used.
    pub checkpoint: HfCheckpoint,
    /// Sizes of the decoder.
    pub config: ModelConfig,
    /// V: rows of the embedding.
    pub vocabulary: usize,
    /// What its files hold.
    pub files: Files,
}

/// SHA-256 of a checkpoint's files by name; none for one that is missing.
pub type Files = BTreeMap<String, Option<Key>>;

/// Name under which the hash of a template of one's own stands.
const TEMPLATE: &str = "chat_template";

impl Linked {
    /// Reads sizes and hashes. Missing weights are no fault yet: sizes are all that a plan needs.
    ///
    /// # Errors
    /// If there is no such folder, or its sizes cannot be read.
    pub fn find(checkpoint: HfCheckpoint, hashes: &Hashes) -> Result<Self, PlanError> {
        let name = checkpoint.label();
        if !checkpoint.hf.is_dir() {
            return Err(PlanError::NoCheckpoint {
                name,
                folder: checkpoint.hf,
            });
        }
        let fail = |error: CheckpointError| PlanError::Checkpoint {
            name: name.clone(),
            error,
        };
        let Sizes {
            mut config,
            vocabulary,
            ..
        } = read_sizes(&checkpoint.hf.join(CONFIG)).map_err(fail)?;
        config.positions = checkpoint
            .positions
            .map_or(config.positions, |most| most.min(config.positions));
        let files = files(&checkpoint, hashes).map_err(fail)?;
        Ok(Self {
            checkpoint,
            vocabulary: vocabulary.unwrap_or(0),
            config,
            files,
        })
    }
}

/// Hashes of the files as they are now.
///
/// # Errors
/// If a file that is there cannot be read.
pub fn files(checkpoint: &HfCheckpoint, hashes: &Hashes) -> Result<Files, CheckpointError> {
    let hash = |path: &Path| {
        let fail = |error: std::io::Error| CheckpointError::File {
            action: "read",
            path: path.to_owned(),
            reason: error.to_string(),
        };
        hashes.of(path).map_err(fail)
    };
    let mut files = Files::new();
    for member in members(&checkpoint.hf) {
        let key = if member.exists {
            Some(hash(&checkpoint.hf.join(&member.name))?)
        } else {
            None
        };
        files.insert(member.name, key);
    }
    if let Some(template) = &checkpoint.chat_template {
        files.insert(TEMPLATE.to_owned(), Some(hash(template)?));
    }
    Ok(files)
}

/// What a linked checkpoint is, for the stage that takes it in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkJob {
    /// Where it is, and how it is used.
    pub checkpoint: HfCheckpoint,
    /// What its files held when the plan was made.
    pub files: Files,
}
