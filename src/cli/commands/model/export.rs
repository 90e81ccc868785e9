//! `rise-lab model export`: a checkpoint as a folder for other programs.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::checkpoint_source::CheckpointSource;
use super::model_card::model_card;
use crate::cli::args::ExportArguments;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::{format_bytes, plural};
use crate::model::checkpoint::{ExportOptions, export as write};
use crate::model::{ExecutionContext, Precision};

/// The model card.
const MODEL_CARD_FILE: &str = "README.md";

/// Writes a checkpoint.
///
/// # Errors
/// If there is no such checkpoint, the folder is not empty, or something cannot be written.
pub fn export(
    arguments: &ExportArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let to = arguments.to.as_path();
    check_empty(to)?;
    let source = CheckpointSource::find(&arguments.source, environment)?;
    let place = ExecutionContext::open("flex").map_err(CliError::usage)?;
    let model = source.load(&place)?;
    fs::create_dir_all(to).map_err(|error| CliError::cannot_write(to, error))?;
    let precision: Precision = arguments.precision.into();
    let form = ExportOptions {
        precision,
        max_shard_bytes: arguments.shard_size,
        sampling: source.sampling,
    };
    let card = model_card(&source, &model, precision);
    fs::write(to.join(MODEL_CARD_FILE), card)
        .map_err(|error| CliError::cannot_write(&to.join(MODEL_CARD_FILE), error))?;
    let files = write(&model, to, &form)?;
    let bytes = files.iter().map(|(_, bytes)| bytes).sum();
    let text = || {
        format!(
            "{}: {} of weights in {}, {}\n{}\n",
            source.name,
            format_bytes(bytes),
            plural(files.len(), "file"),
            precision.name(),
            to.display()
        )
    };
    let document = json!({
        "name": source.name, "folder": to, "precision": precision.name(),
        "files": files.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect::<Vec<_>>(),
    });
    environment.output.print_result(text, &document)?;
    Ok(ExitReason::Success)
}

/// Nothing that is there is written over.
fn check_empty(to: &Path) -> Result<(), CliError> {
    if !to.exists() {
        return Ok(());
    }
    if !to.is_dir() {
        return Err(CliError::usage(format!(
            "{} is a file, not a folder",
            to.display()
        )));
    }
    let mut entries = fs::read_dir(to).map_err(|error| CliError::cannot_write(to, error))?;
    if entries.next().is_none() {
        return Ok(());
    }
    Err(CliError::usage(format!("{} is not empty", to.display()))
        .with_hint("name a new folder; nothing that is there is written over"))
}
