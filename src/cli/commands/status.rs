//! `rise-lab status`: how far every experiment in the store is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::output::{CliOutput, TextStyle};
use crate::cli::table::TextTable;
use crate::store::{ExperimentProgress, StageRow, Status};

/// All states, in the order in which a stage meets them.
const ALL_STATUSES: [Status; 5] = [
    Status::Done,
    Status::Running,
    Status::Queued,
    Status::Interrupted,
    Status::Failed,
];

/// Shows how far every experiment is.
///
/// # Errors
/// If there is no database or it cannot be read.
pub fn status(environment: &CliEnvironment) -> Result<ExitReason, CliError> {
    let reader = environment.open_reader()?;
    let alive = reader.is_being_written();
    let standings: Vec<ExperimentStatus> = reader
        .experiment_progress()?
        .into_iter()
        .map(|written| ExperimentStatus::from_progress(written, alive))
        .collect();
    let documents: Vec<Value> = standings.iter().map(ExperimentStatus::document).collect();
    environment
        .output
        .print_result(|| text(&standings, environment.output), &documents)?;
    Ok(ExitReason::Success)
}

/// The name of a state, coloured where colours are wanted.
pub fn styled_status(status: Status, output: CliOutput) -> String {
    let style = match status {
        Status::Queued => TextStyle::Dim,
        Status::Running => TextStyle::Bold,
        Status::Done => TextStyle::Green,
        Status::Failed => TextStyle::Red,
        Status::Interrupted => TextStyle::Yellow,
    };
    output.style_stdout(style, status_name(status))
}

/// The name of a state.
pub const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running => "running",
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Interrupted => "interrupted",
    }
}

/// What a state means when nobody works on the store: a killed sweep left it at "running".
const fn effective_status(written: Status) -> Status {
    match written {
        Status::Running => Status::Interrupted,
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
    /// What is written about an experiment, as it stands while somebody works on the store or not.
    fn from_progress(written: ExperimentProgress, alive: bool) -> Self {
        let now = |status: Status| {
            if alive {
                status
            } else {
                effective_status(status)
            }
        };
        let counts = |written: Vec<(Status, u64)>| {
            written
                .into_iter()
                .fold(BTreeMap::new(), |mut counts, (status, count)| {
                    *counts.entry(status_name(now(status))).or_insert(0) += count;
                    counts
                })
        };
        let noteworthy = written.active_or_failed.into_iter();
        let noteworthy = noteworthy
            .filter(|stage| now(stage.status) == stage.status)
            .collect();
        Self {
            experiment: written.experiment,
            runs: counts(written.runs),
            stages: counts(written.stages),
            noteworthy,
        }
    }

    fn document(&self) -> Value {
        json!({
            "experiment": self.experiment, "runs": self.runs, "stages": self.stages, "noteworthy": self.noteworthy,
        })
    }
}

fn text(standings: &[ExperimentStatus], output: CliOutput) -> String {
    let mut table = TextTable::new(
        ["experiment", ""]
            .map(str::to_owned)
            .into_iter()
            .chain(status_columns()),
    );
    for standing in standings {
        for (what, counts) in [("runs", &standing.runs), ("stages", &standing.stages)] {
            let count = |status| {
                counts
                    .get(status_name(status))
                    .map_or_else(|| "-".to_owned(), ToString::to_string)
            };
            table.add_row(
                [standing.experiment.clone(), what.to_owned()]
                    .into_iter()
                    .chain(ALL_STATUSES.map(count)),
            );
        }
    }
    let noteworthy = standings.iter().flat_map(|standing| &standing.noteworthy);
    let mut lines: Vec<String> = noteworthy
        .map(|stage| {
            let error = stage
                .error
                .as_deref()
                .map(|error| format!(": {error}"))
                .unwrap_or_default();
            format!(
                "{} {}{error}\n",
                styled_status(stage.status, output),
                stage.label
            )
        })
        .collect();
    if !lines.is_empty() {
        lines.insert(0, "\n".to_owned());
    }
    table.to_string() + &lines.concat()
}

fn status_columns() -> impl Iterator<Item = String> {
    ALL_STATUSES
        .into_iter()
        .map(|status| format!("#{}", status_name(status)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::{key_for, plain_output, store};

    #[test]
    fn what_a_dead_process_left_running_is_interrupted() {
        assert_eq!(effective_status(Status::Running), Status::Interrupted);
        assert_eq!(effective_status(Status::Queued), Status::Queued);
    }

    #[test]
    fn nothing_runs_in_a_store_that_nobody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        store
            .set_run_status("weights", &key_for("uniform"), Status::Running, None)
            .unwrap();
        let written = store.experiment_progress().unwrap().remove(0);
        assert_eq!(
            ExperimentStatus::from_progress(written.clone(), true).runs,
            BTreeMap::from([("failed", 1), ("running", 1)])
        );
        assert_eq!(
            ExperimentStatus::from_progress(written, false).runs,
            BTreeMap::from([("failed", 1), ("interrupted", 1)])
        );
    }

    #[test]
    fn status_counts_runs_and_stages_and_names_the_failed_ones() {
        let folder = tempfile::tempdir().unwrap();
        let written = store(&folder).experiment_progress().unwrap().remove(0);
        insta::assert_snapshot!(text(&[ExperimentStatus::from_progress(written, true)], plain_output()), @r"
        experiment          done  running  queued  interrupted  failed
        ----------  ------  ----  -------  ------  -----------  ------
        weights     runs       1        -       -            -       1
        weights     stages     2        -       -            -       1

        failed train weak: out of memory
        ");
    }
}
