//! `rise-lab status` shows the progress of every experiment in the store.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::output::{CliOutput, TextStyle};
use crate::cli::table::TextTable;
use crate::store::{ExperimentProgress, StageRow, Status};

/// The columns of the table.
const STATUS_COLUMNS: [Status; 5] = [
    Status::Done,
    Status::Running,
    Status::Queued,
    Status::Interrupted,
    Status::Failed,
];

/// Shows the progress of every experiment.
///
/// # Errors
/// If there is no database or it cannot be read.
pub fn status(environment: &CliEnvironment) -> Result<ExitReason, CliError> {
    let reader = environment.open_reader()?;
    let is_live = reader.is_being_written();
    let statuses: Vec<ExperimentStatus> = reader
        .experiment_progress()?
        .into_iter()
        .map(|progress| ExperimentStatus::from_progress(progress, is_live))
        .collect();
    let documents: Vec<Value> = statuses.iter().map(ExperimentStatus::document).collect();
    environment
        .output
        .print_result(|| text(&statuses, environment.output), &documents)?;
    Ok(ExitReason::Success)
}

/// The name of a status in its colour.
pub fn styled_status(status: Status, output: CliOutput) -> String {
    let style = match status {
        Status::Queued => TextStyle::Dim,
        Status::Running => TextStyle::Bold,
        Status::Done => TextStyle::Green,
        Status::Failed => TextStyle::Red,
        Status::Interrupted => TextStyle::Yellow,
    };
    output.style_stdout(style, status.name())
}

/// `: ` and the error, or nothing.
pub fn error_suffix(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| format!(": {error}"))
}

/// The status now: without a live process, a killed sweep left it at "running".
const fn effective_status(stored: Status, is_live: bool) -> Status {
    match stored {
        Status::Running if !is_live => Status::Interrupted,
        other => other,
    }
}

struct ExperimentStatus {
    experiment: String,
    runs: BTreeMap<&'static str, u64>,
    stages: BTreeMap<&'static str, u64>,
    /// Stages that are running, or that failed.
    noteworthy: Vec<StageRow>,
}

impl ExperimentStatus {
    /// The status of an experiment, while a live process writes to the store or not.
    fn from_progress(progress: ExperimentProgress, is_live: bool) -> Self {
        let noteworthy = progress.active_or_failed.into_iter();
        Self {
            experiment: progress.experiment,
            runs: count_statuses(progress.runs, is_live),
            stages: count_statuses(progress.stages, is_live),
            noteworthy: noteworthy
                .filter(|stage| effective_status(stage.status, is_live) == stage.status)
                .collect(),
        }
    }

    fn document(&self) -> Value {
        json!({
            "experiment": self.experiment, "runs": self.runs, "stages": self.stages,
            "noteworthy": self.noteworthy,
        })
    }
}

fn count_statuses(stored: Vec<(Status, u64)>, is_live: bool) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for (status, count) in stored {
        *counts
            .entry(effective_status(status, is_live).name())
            .or_insert(0) += count;
    }
    counts
}

fn text(statuses: &[ExperimentStatus], output: CliOutput) -> String {
    let columns = STATUS_COLUMNS.map(|status| format!("#{}", status.name()));
    let mut table = TextTable::new(
        ["experiment", ""]
            .map(str::to_owned)
            .into_iter()
            .chain(columns),
    );
    for status in statuses {
        for (name, counts) in [("runs", &status.runs), ("stages", &status.stages)] {
            let counts = STATUS_COLUMNS.map(|status| {
                counts
                    .get(status.name())
                    .map_or_else(|| "-".to_owned(), ToString::to_string)
            });
            table.add_row(
                [status.experiment.clone(), name.to_owned()]
                    .into_iter()
                    .chain(counts),
            );
        }
    }
    let mut lines: Vec<String> = statuses
        .iter()
        .flat_map(|status| &status.noteworthy)
        .map(|stage| {
            let status = styled_status(stage.status, output);
            format!(
                "{status} {}{}\n",
                stage.label,
                error_suffix(stage.error.as_deref())
            )
        })
        .collect();
    if !lines.is_empty() {
        lines.insert(0, "\n".to_owned());
    }
    table.to_string() + &lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::{key_for, plain_output, store};

    #[test]
    fn what_a_dead_process_left_running_is_interrupted() {
        assert_eq!(
            effective_status(Status::Running, false),
            Status::Interrupted
        );
        assert_eq!(effective_status(Status::Running, true), Status::Running);
        assert_eq!(effective_status(Status::Queued, false), Status::Queued);
    }

    #[test]
    fn nothing_runs_in_a_store_that_nobody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        store
            .set_run_status("weights", &key_for("uniform"), Status::Running, None)
            .unwrap();
        let progress = store.experiment_progress().unwrap().remove(0);
        assert_eq!(
            ExperimentStatus::from_progress(progress.clone(), true).runs,
            BTreeMap::from([("failed", 1), ("running", 1)])
        );
        assert_eq!(
            ExperimentStatus::from_progress(progress, false).runs,
            BTreeMap::from([("failed", 1), ("interrupted", 1)])
        );
    }

    #[test]
    fn status_counts_runs_and_stages_and_names_the_failed_ones() {
        let folder = tempfile::tempdir().unwrap();
        let progress = store(&folder).experiment_progress().unwrap().remove(0);
        insta::assert_snapshot!(text(&[ExperimentStatus::from_progress(progress, true)], plain_output()), @r"
        experiment          done  running  queued  interrupted  failed
        ----------  ------  ----  -------  ------  -----------  ------
        weights     runs       1        -       -            -       1
        weights     stages     2        -       -            -       1

        failed train weak: out of memory
        ");
    }
}
