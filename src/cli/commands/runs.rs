//! `rise-lab runs`: which runs there are and where they stand.

use std::collections::BTreeSet;

use crate::cli::args::{RunsArguments, StatusArgument};
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::output::CliOutput;
use crate::cli::table::TextTable;
use crate::store::{RunRow, Status, StoreReader};

use super::status::styled_status;

/// Lists runs.
///
/// # Errors
/// If there is no database, the experiment is unknown, or a condition names no axis.
pub fn runs(
    arguments: &RunsArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let reader = environment.open_reader()?;
    let experiment = match &arguments.experiment {
        Some(name) => Some(reader.find_experiment(name)?.name),
        None => None,
    };
    // The lines say which runs are wanted; settings and stages are read of those alone.
    let all = reader.list_runs(experiment.as_deref())?;
    let conditions = parse_conditions(&arguments.r#where, &all)?;
    let status = arguments.status.map(Status::from);
    let wanted: Vec<RunRow> = all
        .into_iter()
        .filter(|run| status.is_none_or(|status| run.status == status))
        .filter(|run| {
            conditions
                .iter()
                .all(|(axis, value)| has_axis_value(run, axis, value))
        })
        .collect();
    if environment.output.is_json() {
        let rows = wanted
            .iter()
            .map(|run| reader.run_by_key(&run.experiment, &run.key));
        let rows: Vec<RunRow> = rows.collect::<Result<_, _>>()?;
        environment.output.print_result(String::new, &rows)?;
    } else {
        let table = run_table(&reader, &wanted, environment.output)?;
        environment.output.print_result(|| table.to_string(), &())?;
    }
    Ok(ExitReason::Success)
}

fn run_table(
    reader: &StoreReader,
    runs: &[RunRow],
    output: CliOutput,
) -> Result<TextTable, CliError> {
    let mut table = TextTable::new(["experiment", "run", "key", "#stages", "status"]);
    for run in runs {
        let (done, all) = reader.count_done_stages(&run.experiment, &run.key)?;
        let error = run
            .error
            .as_deref()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        table.add_row([
            run.experiment.clone(),
            run.label.clone(),
            run.key.short().to_owned(),
            format!("{done}/{all}"),
            format!("{}{error}", styled_status(run.status, output)),
        ]);
    }
    Ok(table)
}

/// Conditions as (axis, value), each on an axis that some run has.
fn parse_conditions(given: &[String], runs: &[RunRow]) -> Result<Vec<(String, String)>, CliError> {
    let known: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| &run.axes)
        .map(|(axis, _)| axis.as_str())
        .chain(["seed"])
        .collect();
    let condition = |text: &String| {
        let Some((axis, value)) = text.split_once('=') else {
            return Err(CliError::usage(format!(
                "--where `{text}` is not AXIS=VALUE"
            )));
        };
        if !known.iter().any(|name| axis_matches(name, axis)) {
            let names = known.iter().copied().collect::<Vec<_>>().join(", ");
            return Err(CliError::usage(format!("no run has an axis `{axis}`"))
                .with_hint(format!("the axes are: {names}")));
        }
        Ok((axis.to_owned(), value.to_owned()))
    };
    given.iter().map(condition).collect()
}

fn has_axis_value(run: &RunRow, axis: &str, value: &str) -> bool {
    (axis == "seed" && run.seed.to_string() == value)
        || run
            .axes
            .iter()
            .any(|(name, label)| axis_matches(name, axis) && label == value)
}

/// Whether an axis is meant by its path or by the last part of it.
fn axis_matches(name: &str, given: &str) -> bool {
    name == given || name.rsplit('.').next() == Some(given)
}

impl From<StatusArgument> for Status {
    fn from(status: StatusArgument) -> Self {
        match status {
            StatusArgument::Queued => Self::Queued,
            StatusArgument::Running => Self::Running,
            StatusArgument::Done => Self::Done,
            StatusArgument::Failed => Self::Failed,
            StatusArgument::Interrupted => Self::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::{plain_output, store};

    #[test]
    fn runs_are_listed_with_what_is_done_and_what_went_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let runs = store.list_runs(None).unwrap();
        insta::assert_snapshot!(run_table(&store, &runs, plain_output()).unwrap(), @r"
        experiment  run                        key           stages  status
        ----------  -------------------------  ------------  ------  ------------------------------------------------
        weights     weighting=uniform seed=0   ef379363dd0c     2/2  done
        weights     weighting=exp(0.4) seed=0  5c498bfde8b5     1/2  failed: stage `train weak` failed: out of memory
        ");
    }

    #[test]
    fn a_condition_takes_the_last_part_of_an_axis_and_refuses_unknown_ones() {
        let folder = tempfile::tempdir().unwrap();
        let runs = store(&folder).list_runs(None).unwrap();
        for condition in ["weighting=uniform", "train.weighting=uniform"] {
            let conditions = parse_conditions(&[condition.to_owned()], &runs).unwrap();
            let found: Vec<bool> = runs
                .iter()
                .map(|run| has_axis_value(run, &conditions[0].0, &conditions[0].1))
                .collect();
            assert_eq!(found, [true, false], "{condition}");
        }
        assert!(has_axis_value(&runs[0], "seed", "0") && !has_axis_value(&runs[0], "seed", "1"));
        let fault = parse_conditions(&["weigthing=uniform".to_owned()], &runs).unwrap_err();
        assert_eq!(fault.hint.unwrap(), "the axes are: seed, train.weighting");
    }
}
