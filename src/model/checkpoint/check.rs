//! Whether a folder holds every tensor that its sizes ask for, found out without reading one.

use std::path::Path;

use super::inspect::expected;
use super::shards::Shards;
use super::{CONFIG, CheckpointError, Sizes, WEIGHTS, file, fitting, read_sizes};
use crate::model::Tokenizer;

/// Makes sure that a tokenizer's tokens all have a row in a checkpoint's embedding.
///
/// # Errors
/// If sizes cannot be read, or there are too few rows.
pub fn check_rows(folder: &Path, tokenizer: &Tokenizer) -> Result<(), CheckpointError> {
    let path = folder.join(CONFIG);
    let fits = fitting(read_sizes(&path)?.vocabulary, tokenizer.rows());
    fits.map(drop).map_err(|reason| file("use", &path, &reason))
}

/// Makes sure that every tensor is there in its shape; returns the number of parameters.
///
/// # Errors
/// If sizes or a file cannot be read, or a tensor is missing, of another shape, or no float.
pub fn check(folder: &Path) -> Result<usize, CheckpointError> {
    let path = folder.join(CONFIG);
    let Sizes {
        config, vocabulary, ..
    } = read_sizes(&path)?;
    let rows = vocabulary.ok_or_else(|| file("use", &path, &"it does not say `vocab_size`"))?;
    let shards = Shards::open(&folder.join(WEIGHTS))?;
    for (name, shape) in expected(&config, rows) {
        shards.view(&name, &shape)?;
    }
    Ok(config.weights(rows))
}
