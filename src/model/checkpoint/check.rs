//! Whether a folder holds every tensor that its sizes ask for, found out without reading one.

use std::path::Path;

use super::inspect::expected_tensors;
use super::safetensors_files::SafetensorsFiles;
use super::{
    CONFIG_FILE, CheckpointConfig, CheckpointError, WEIGHTS_FILE, embedding_rows, file_error,
    read_checkpoint_config,
};
use crate::model::Tokenizer;

/// Makes sure that a tokenizer's tokens all have a row in a checkpoint's embedding.
///
/// # Errors
/// If sizes cannot be read, or there are too few rows.
pub fn check_embedding_rows(folder: &Path, tokenizer: &Tokenizer) -> Result<(), CheckpointError> {
    let path = folder.join(CONFIG_FILE);
    let fits = embedding_rows(
        read_checkpoint_config(&path)?.vocabulary,
        tokenizer.embedding_rows(),
    );
    fits.map(drop)
        .map_err(|reason| file_error("use", &path, &reason))
}

/// Makes sure that every tensor is there in its shape; returns the number of parameters.
///
/// # Errors
/// If sizes or a file cannot be read, or a tensor is missing, of another shape, or no float.
pub fn check_tensors(folder: &Path) -> Result<usize, CheckpointError> {
    let path = folder.join(CONFIG_FILE);
    let CheckpointConfig {
        config, vocabulary, ..
    } = read_checkpoint_config(&path)?;
    let rows =
        vocabulary.ok_or_else(|| file_error("use", &path, &"it does not say `vocab_size`"))?;
    let shards = SafetensorsFiles::open(&folder.join(WEIGHTS_FILE))?;
    for (name, shape) in expected_tensors(&config, rows) {
        shards.view(&name, &shape)?;
    }
    Ok(config.parameter_count(rows))
}
