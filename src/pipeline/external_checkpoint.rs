//! Checkpoints that were trained elsewhere: what identifies them, and how large they are.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::HfCheckpoint;
use crate::domain::Key;
use crate::model::checkpoint::{
    CONFIG_FILE, CheckpointConfig, checkpoint_files, read_checkpoint_config,
};
use crate::model::{CheckpointError, ModelConfig};

use super::base_models::PlanError;
use super::file_hashes::FileHashes;

/// A checkpoint with what a plan needs of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalCheckpoint {
    /// Where it is, and how it is used.
    pub checkpoint: HfCheckpoint,
    /// Sizes of the decoder.
    pub config: ModelConfig,
    /// V: rows of the embedding.
    pub vocabulary: usize,
    /// What its files hold.
    pub files: CheckpointFileHashes,
}

/// SHA-256 of a checkpoint's files by name; none for one that is missing.
pub type CheckpointFileHashes = BTreeMap<String, Option<Key>>;

/// Name under which the hash of a template of one's own stands.
const CHAT_TEMPLATE_NAME: &str = "chat_template";

impl ExternalCheckpoint {
    /// Reads sizes and hashes. Missing weights are no fault yet: sizes are all that a plan needs.
    ///
    /// # Errors
    /// If there is no such folder, or its sizes cannot be read.
    pub fn read(checkpoint: HfCheckpoint, hashes: &FileHashes) -> Result<Self, PlanError> {
        let name = checkpoint.label();
        if !checkpoint.hf.is_dir() {
            return Err(PlanError::MissingCheckpointFolder {
                name,
                folder: checkpoint.hf,
            });
        }
        let fail = |error: CheckpointError| PlanError::Checkpoint {
            name: name.clone(),
            error,
        };
        let CheckpointConfig {
            mut config,
            vocabulary,
            ..
        } = read_checkpoint_config(&checkpoint.hf.join(CONFIG_FILE)).map_err(fail)?;
        config.positions = checkpoint
            .positions
            .map_or(config.positions, |most| most.min(config.positions));
        let files = hash_files(&checkpoint, hashes).map_err(fail)?;
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
pub fn hash_files(
    checkpoint: &HfCheckpoint,
    hashes: &FileHashes,
) -> Result<CheckpointFileHashes, CheckpointError> {
    let hash = |path: &Path| {
        let fail = |error: std::io::Error| CheckpointError::File {
            action: "read",
            path: path.to_owned(),
            reason: error.to_string(),
        };
        hashes.hash_file(path).map_err(fail)
    };
    let mut files = CheckpointFileHashes::new();
    for member in checkpoint_files(&checkpoint.hf) {
        let key = if member.exists {
            Some(hash(&checkpoint.hf.join(&member.name))?)
        } else {
            None
        };
        files.insert(member.name, key);
    }
    if let Some(template) = &checkpoint.chat_template {
        files.insert(CHAT_TEMPLATE_NAME.to_owned(), Some(hash(template)?));
    }
    Ok(files)
}
