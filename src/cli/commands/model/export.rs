//! `rise-lab model export`: a checkpoint as a folder for other programs.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::card::card;
use super::source::Source;
use crate::cli::args::ExportArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::quantity::{counted, memory};
use crate::model::checkpoint::{Form, export as write};
use crate::model::{Place, Precision};

/// The model card.
const CARD: &str = "README.md";

/// Writes a checkpoint.
///
/// # Errors
/// If there is no such checkpoint, the folder is not empty, or something cannot be written.
pub fn export(arguments: &ExportArguments, environment: &Environment) -> Result<Exit, Fault> {
    let to = arguments.to.as_path();
    check_empty(to)?;
    let source = Source::find(&arguments.source, environment)?;
    let place = Place::open("flex").map_err(Fault::usage)?;
    let model = source.load(&place)?;
    fs::create_dir_all(to).map_err(|error| Fault::write(to, error))?;
    let precision: Precision = arguments.precision.into();
    let form = Form {
        precision,
        shard: arguments.shard_size,
        sampling: source.sampling,
    };
    let card = card(&source, &model, precision);
    fs::write(to.join(CARD), card).map_err(|error| Fault::write(&to.join(CARD), error))?;
    let files = write(&model, to, &form)?;
    let bytes = files.iter().map(|(_, bytes)| bytes).sum();
    let text = || {
        format!(
            "{}: {} of weights in {}, {}\n{}\n",
            source.name,
            memory(bytes),
            counted(files.len(), "file"),
            precision.name(),
            to.display()
        )
    };
    let document = json!({
        "name": source.name, "folder": to, "precision": precision.name(),
        "files": files.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect::<Vec<_>>(),
    });
    environment.output.answer(text, &document)?;
    Ok(Exit::Fine)
}

/// Nothing that is there is written over.
fn check_empty(to: &Path) -> Result<(), Fault> {
    if !to.exists() {
        return Ok(());
    }
    if !to.is_dir() {
        return Err(Fault::usage(format!(
            "{} is a file, not a folder",
            to.display()
        )));
    }
    let mut entries = fs::read_dir(to).map_err(|error| Fault::write(to, error))?;
    if entries.next().is_none() {
        return Ok(());
    }
    Err(Fault::usage(format!("{} is not empty", to.display()))
        .hint("name a new folder; nothing that is there is written over"))
}
