//! `rise-lab report`: pages, tables and figures from what is in the database.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::plural;
use crate::config::read_experiment;
use crate::report::{PublishedReport, write_report};

/// `rise-lab report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The experiment file, or the name of an experiment in the store
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// Write the report into DIR/EXPERIMENT
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
}

/// Writes a report.
///
/// # Errors
/// If the experiment is not in the database, or the report cannot be written.
pub fn report(
    arguments: &ReportArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let reader = environment.open_reader()?;
    let written = write_report(
        &reader,
        &experiment_name(&arguments.experiment)?,
        &arguments.out,
    )?;
    let document = json!({
        "folder": written.folder, "index": written.index, "files": written.files, "headline": written.headline,
    });
    environment
        .output
        .print_result(|| report_summary(&written), &document)?;
    Ok(ExitReason::Success)
}

/// What is told of a report that was written.
pub fn report_summary(written: &PublishedReport) -> String {
    let mut lines: Vec<String> = written
        .headline
        .iter()
        .map(|sentence| format!("  {sentence}"))
        .collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    let files = plural(written.files, "file");
    lines.push(format!("report: {} ({files})\n", written.index.display()));
    lines.join("\n")
}

/// The name of an experiment that was given by its name or its file.
pub fn experiment_name(given: &str) -> Result<String, CliError> {
    let path = Path::new(given);
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return Ok(read_experiment(path, &[])?.name);
    }
    Ok(given.to_owned())
}
