//! `rise-lab runs` lists runs with their status.

use std::collections::BTreeSet;

use clap::Args;

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::output::CliOutput;
use crate::cli::table::TextTable;
use crate::store::{RunListRow, RunRow, Status, StoreReader};

use super::status::{error_suffix, styled_status};

/// `rise-lab runs`.
#[derive(Debug, Args)]
pub struct RunsArguments {
    /// List only runs of this experiment
    #[arg(long, value_name = "NAME")]
    pub experiment: Option<String>,
    /// List only queued, running, done, failed or interrupted runs
    #[arg(long, value_name = "STATUS", value_parser = parse_status)]
    pub status: Option<Status>,
    /// List only runs with this value on an axis; repeatable
    #[arg(long, value_name = "AXIS=VALUE")]
    pub r#where: Vec<String>,
}

fn parse_status(typed: &str) -> Result<Status, String> {
    Status::ALL
        .into_iter()
        .find(|status| status.name() == typed)
        .ok_or_else(|| format!("use {}", Status::ALL.map(Status::name).join(", ")))
}

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
    // The list selects the runs; settings and stages are read only for those.
    let all = reader.list_runs(experiment.as_deref())?;
    let conditions = parse_conditions(&arguments.r#where, &all)?;
    let selected: Vec<RunListRow> = all
        .into_iter()
        .filter(|run| arguments.status.is_none_or(|status| run.status == status))
        .filter(|run| {
            conditions
                .iter()
                .all(|(axis, value)| has_axis_value(run, axis, value))
        })
        .collect();
    if environment.output.is_json() {
        let rows = selected
            .iter()
            .map(|run| reader.run_by_key(&run.experiment, &run.key));
        let rows: Vec<RunRow> = rows.collect::<Result<_, _>>()?;
        environment.output.print_result(String::new, &rows)?;
    } else {
        let table = run_table(&reader, &selected, environment.output)?;
        environment.output.print_result(|| table.to_string(), &())?;
    }
    Ok(ExitReason::Success)
}

fn run_table(
    reader: &StoreReader,
    runs: &[RunListRow],
    output: CliOutput,
) -> Result<TextTable, CliError> {
    let mut table = TextTable::new(["experiment", "run", "key", "#stages", "status"]);
    for run in runs {
        let (done, all) = reader.count_done_stages(&run.experiment, &run.key)?;
        let error = error_suffix(run.error.as_deref());
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

/// Conditions as (axis, value) pairs; every axis is that of some run.
fn parse_conditions(
    given: &[String],
    runs: &[RunListRow],
) -> Result<Vec<(String, String)>, CliError> {
    let known: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| &run.axes)
        .map(|(axis, _)| axis.as_str())
        .chain(["seed"])
        .collect();
    let mut conditions = Vec::new();
    for text in given {
        let Some((axis, value)) = text.split_once('=') else {
            return Err(CliError::usage(format!(
                "--where `{text}` is not AXIS=VALUE"
            )));
        };
        if !known.iter().any(|name| axis_matches(name, axis)) {
            let names = known.iter().copied().collect::<Vec<_>>().join(", ");
            return Err(CliError::usage(format!("no run has an axis `{axis}`"))
                .with_hint(format!("use one of these axes: {names}")));
        }
        conditions.push((axis.to_owned(), value.to_owned()));
    }
    Ok(conditions)
}

fn has_axis_value(run: &RunListRow, axis: &str, value: &str) -> bool {
    (axis == "seed" && run.seed.to_string() == value)
        || run
            .axes
            .iter()
            .any(|(name, label)| axis_matches(name, axis) && label == value)
}

/// Whether `given` is the path of an axis or the last part of it.
fn axis_matches(name: &str, given: &str) -> bool {
    name == given || name.rsplit('.').next() == Some(given)
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
        let error = parse_conditions(&["weigthing=uniform".to_owned()], &runs).unwrap_err();
        assert_eq!(
            error.hint.unwrap(),
            "use one of these axes: seed, train.weighting"
        );
    }
}
