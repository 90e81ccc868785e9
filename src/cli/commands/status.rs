//! `rise-lab status`: how far every experiment in the store is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::output::{Output, Style};
use crate::cli::table::Table;
use crate::store::{StageRow, Standing, Status};

/// All states, in the order in which a stage meets them.
const ALL: [Status; 5] = [
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
pub fn status(environment: &Environment) -> Result<Exit, Fault> {
    let reader = environment.reader()?;
    let alive = reader.is_being_written();
    let standings: Vec<Shown> = reader
        .standings()?
        .into_iter()
        .map(|written| Shown::of(written, alive))
        .collect();
    let documents: Vec<Value> = standings.iter().map(Shown::document).collect();
    environment
        .output
        .answer(|| text(&standings, environment.output), &documents)?;
    Ok(Exit::Fine)
}

/// The name of a state, coloured where colours are wanted.
pub fn shown(status: Status, output: Output) -> String {
    let style = match status {
        Status::Queued => Style::Dim,
        Status::Running => Style::Bold,
        Status::Done => Style::Green,
        Status::Failed => Style::Red,
        Status::Interrupted => Style::Yellow,
    };
    output.styled(style, name(status))
}

/// The name of a state.
pub const fn name(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running => "running",
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Interrupted => "interrupted",
    }
}

/// What a state means when nobody works on the store: a killed sweep left it at "running".
const fn standing(written: Status) -> Status {
    match written {
        Status::Running => Status::Interrupted,
        other => other,
    }
}

struct Shown {
    experiment: String,
    runs: BTreeMap<&'static str, u64>,
    stages: BTreeMap<&'static str, u64>,
    /// Stages that are running, or that failed.
    noteworthy: Vec<StageRow>,
}

impl Shown {
    /// What is written about an experiment, as it stands while somebody works on the store or not.
    fn of(written: Standing, alive: bool) -> Self {
        let now = |status: Status| if alive { status } else { standing(status) };
        let counts = |written: Vec<(Status, u64)>| {
            written
                .into_iter()
                .fold(BTreeMap::new(), |mut counts, (status, count)| {
                    *counts.entry(name(now(status))).or_insert(0) += count;
                    counts
                })
        };
        let noteworthy = written.noteworthy.into_iter();
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

fn text(standings: &[Shown], output: Output) -> String {
    let mut table = Table::new(
        ["experiment", ""]
            .map(str::to_owned)
            .into_iter()
            .chain(heads()),
    );
    for standing in standings {
        for (what, counts) in [("runs", &standing.runs), ("stages", &standing.stages)] {
            let count = |status| {
                counts
                    .get(name(status))
                    .map_or_else(|| "-".to_owned(), ToString::to_string)
            };
            table.row(
                [standing.experiment.clone(), what.to_owned()]
                    .into_iter()
                    .chain(ALL.map(count)),
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
            format!("{} {}{error}\n", shown(stage.status, output), stage.label)
        })
        .collect();
    if !lines.is_empty() {
        lines.insert(0, "\n".to_owned());
    }
    table.to_string() + &lines.concat()
}

fn heads() -> impl Iterator<Item = String> {
    ALL.into_iter().map(|status| format!("#{}", name(status)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{key, plain, store};

    #[test]
    fn what_a_dead_process_left_running_is_interrupted() {
        assert_eq!(standing(Status::Running), Status::Interrupted);
        assert_eq!(standing(Status::Queued), Status::Queued);
    }

    #[test]
    fn nothing_runs_in_a_store_that_nobody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        store
            .run_status("weights", &key("uniform"), Status::Running, None)
            .unwrap();
        let written = store.standings().unwrap().remove(0);
        assert_eq!(
            Shown::of(written.clone(), true).runs,
            BTreeMap::from([("failed", 1), ("running", 1)])
        );
        assert_eq!(
            Shown::of(written, false).runs,
            BTreeMap::from([("failed", 1), ("interrupted", 1)])
        );
    }

    #[test]
    fn status_counts_runs_and_stages_and_names_the_failed_ones() {
        let folder = tempfile::tempdir().unwrap();
        let written = store(&folder).standings().unwrap().remove(0);
        insta::assert_snapshot!(text(&[Shown::of(written, true)], plain()), @r"
        experiment          done  running  queued  interrupted  failed
        ----------  ------  ----  -------  ------  -----------  ------
        weights     runs       1        -       -            -       1
        weights     stages     2        -       -            -       1

        failed train weak: out of memory
        ");
    }
}
