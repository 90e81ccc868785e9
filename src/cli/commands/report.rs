//! `rise-lab report` writes pages, tables and figures from the store or from a `context.json`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::format::plural;
use crate::config::read_experiment;
use crate::report::{PublishedReport, write_report, write_report_from};

/// `rise-lab report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The experiment file, or the name of an experiment in the store
    #[arg(value_name = "EXPERIMENT", required_unless_present = "from")]
    pub experiment: Option<String>,
    /// Render a report's context.json; needs no store
    #[arg(long, value_name = "FILE", conflicts_with = "experiment")]
    pub from: Option<PathBuf>,
    /// Write into DIR/EXPERIMENT [default: reports], or with --from into DIR [default: FILE's]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Writes a report.
///
/// # Errors
/// If the experiment is not in the store, the `context.json` cannot be used, or the report cannot
/// be written.
pub fn report(
    arguments: &ReportArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let out = arguments.out.as_deref();
    let written = if let Some(context) = &arguments.from {
        write_report_from(context, out)?
    } else {
        let reader = environment.open_reader()?;
        let name = experiment_name(arguments.experiment.as_deref().unwrap_or_default())?;
        write_report(&reader, &name, out.unwrap_or(Path::new("reports")))?
    };
    let document = json!({
        "folder": written.folder, "index": written.index, "files": written.files, "headline": written.headline,
    });
    environment
        .output
        .print_result(|| report_summary(&written), &document)?;
    Ok(ExitReason::Success)
}

/// The headline of a written report and the page to open.
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
