//! `rise-lab report`: pages, tables and figures from what is in the database.

use std::path::Path;

use serde_json::json;

use crate::cli::args::ReportArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::quantity::counted;
use crate::report::{Written, write};
use crate::spec::read;

/// Writes a report.
///
/// # Errors
/// If the experiment is not in the database, or the report cannot be written.
pub fn report(arguments: &ReportArguments, environment: &Environment) -> Result<Exit, Fault> {
    let reader = environment.reader()?;
    let written = write(&reader, &name(&arguments.experiment)?, &arguments.out)?;
    let document = json!({
        "folder": written.folder, "index": written.index, "files": written.files, "headline": written.headline,
    });
    environment.output.answer(|| text(&written), &document)?;
    Ok(Exit::Fine)
}

/// What is told of a report that was written.
pub fn text(written: &Written) -> String {
    let mut lines: Vec<String> = written
        .headline
        .iter()
        .map(|sentence| format!("  {sentence}"))
        .collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    let files = counted(written.files, "file");
    lines.push(format!("report: {} ({files})\n", written.index.display()));
    lines.join("\n")
}

/// The name of an experiment that was given by its name or its file.
pub fn name(given: &str) -> Result<String, Fault> {
    let path = Path::new(given);
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return Ok(read(path, &[])?.name);
    }
    Ok(given.to_owned())
}
