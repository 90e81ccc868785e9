//! `rise-lab model export` writes a checkpoint for other programs.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::checkpoint_source::{CheckpointArguments, CheckpointSource};
use super::model_card::model_card;
use crate::cli::args::parse_name;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::{format_bytes, plural};
use crate::model::checkpoint::{ExportOptions, export as export_checkpoint};
use crate::model::{ExecutionContext, Precision};

/// `rise-lab model export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The checkpoint.
    #[command(flatten)]
    pub source: CheckpointArguments,
    /// Write into this folder, which must be new or empty
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Store the weights in this precision: f32 or bf16
    #[arg(
        long,
        value_name = "PRECISION",
        default_value = "f32",
        value_parser = parse_name::<Precision>
    )]
    pub precision: Precision,
    /// Limit one file's size, e.g. 500MB (1 MB = 10^6 bytes)
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = parse_size)]
    pub shard_size: u64,
}

/// Reads a size: a number and its unit.
fn parse_size(typed: &str) -> Result<u64, String> {
    let digits = typed
        .find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))
        .unwrap_or(typed.len());
    let (number, unit) = typed.split_at(digits);
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => Some(1.0),
        "KB" => Some(1e3),
        "MB" => Some(1e6),
        "GB" => Some(1e9),
        _ => None,
    };
    number
        .parse::<f64>()
        .ok()
        .zip(factor)
        .map(|(number, factor)| (number * factor) as u64)
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| {
            format!("`{typed}` is not a size; write a number and kB, MB or GB, e.g. 500MB")
        })
}

/// The file name of the model card.
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
    let context = ExecutionContext::open("flex").map_err(CliError::usage)?;
    let model = source.load(&context)?;
    fs::create_dir_all(to).map_err(|error| CliError::cannot_write(to, error))?;
    let precision = arguments.precision;
    let options = ExportOptions {
        precision,
        max_shard_bytes: arguments.shard_size,
        sampling: source.sampling,
    };
    let card = model_card(&source, &model, precision);
    fs::write(to.join(MODEL_CARD_FILE), card)
        .map_err(|error| CliError::cannot_write(&to.join(MODEL_CARD_FILE), error))?;
    let files = export_checkpoint(&model, to, &options)?;
    let bytes = files.iter().map(|(_, bytes)| bytes).sum();
    let text = format!(
        "{}: {} of weights in {}, {}\n{}\n",
        source.name,
        format_bytes(bytes),
        plural(files.len(), "file"),
        precision.name(),
        to.display()
    );
    let document = json!({
        "name": source.name, "folder": to, "precision": precision.name(),
        "files": files.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect::<Vec<_>>(),
    });
    environment.output.print_result(|| text, &document)?;
    Ok(ExitReason::Success)
}

/// Refuses a folder with files, which an export would overwrite.
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
        .with_hint("choose a new folder; an export overwrites nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(parse_size("5GB"), Ok(5_000_000_000));
        assert_eq!(parse_size("1.5 mb"), Ok(1_500_000));
        assert_eq!(parse_size("70kB"), Ok(70_000));
        assert_eq!(parse_size("12"), Ok(12));
        insta::assert_snapshot!(
            parse_size("5GiB").unwrap_err(),
            @"`5GiB` is not a size; write a number and kB, MB or GB, e.g. 500MB"
        );
        for wrong in ["", "GB", "0", "-1", "1.2.3MB", "0.1"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
