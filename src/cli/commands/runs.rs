//! `rise-lab runs`: which runs there are and where they stand.

use std::collections::BTreeSet;

use crate::cli::args::{RunsArguments, StatusArgument};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::output::Output;
use crate::cli::table::Table;
use crate::store::{Reader, RunLine, RunRow, Status};

use super::status::shown;

/// Lists runs.
///
/// # Errors
/// If there is no database, the experiment is unknown, or a condition names no axis.
pub fn runs(arguments: &RunsArguments, environment: &Environment) -> Result<Exit, Fault> {
    let reader = environment.reader()?;
    let experiment = match &arguments.experiment {
        Some(name) => Some(reader.experiment_named(name)?.name),
        None => None,
    };
    // The lines say which runs are wanted; settings and stages are read of those alone.
    let all = reader.run_lines(experiment.as_deref())?;
    let conditions = conditions(&arguments.r#where, &all)?;
    let status = arguments.status.map(Status::from);
    let wanted: Vec<RunLine> = all
        .into_iter()
        .filter(|run| status.is_none_or(|status| run.status == status))
        .filter(|run| conditions.iter().all(|(axis, value)| has(run, axis, value)))
        .collect();
    if environment.output.is_json() {
        let rows = wanted
            .iter()
            .map(|run| reader.run_of(&run.experiment, &run.key));
        let rows: Vec<RunRow> = rows.collect::<Result<_, _>>()?;
        environment.output.answer(String::new, &rows)?;
    } else {
        let table = table(&reader, &wanted, environment.output)?;
        environment.output.answer(|| table.to_string(), &())?;
    }
    Ok(Exit::Fine)
}

fn table(reader: &Reader, runs: &[RunLine], output: Output) -> Result<Table, Fault> {
    let mut table = Table::new(["experiment", "run", "key", "#stages", "status"]);
    for run in runs {
        let (done, all) = reader.stages_done(&run.experiment, &run.key)?;
        let error = run
            .error
            .as_deref()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        table.row([
            run.experiment.clone(),
            run.label.clone(),
            run.key.short().to_owned(),
            format!("{done}/{all}"),
            format!("{}{error}", shown(run.status, output)),
        ]);
    }
    Ok(table)
}

/// Conditions as (axis, value), each on an axis that some run has.
fn conditions(given: &[String], runs: &[RunLine]) -> Result<Vec<(String, String)>, Fault> {
    let known: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| &run.axes)
        .map(|(axis, _)| axis.as_str())
        .chain(["seed"])
        .collect();
    let condition = |text: &String| {
        let Some((axis, value)) = text.split_once('=') else {
            return Err(Fault::usage(format!("--where `{text}` is not AXIS=VALUE")));
        };
        if !known.iter().any(|name| is(name, axis)) {
            let names = known.iter().copied().collect::<Vec<_>>().join(", ");
            return Err(Fault::usage(format!("no run has an axis `{axis}`"))
                .hint(format!("the axes are: {names}")));
        }
        Ok((axis.to_owned(), value.to_owned()))
    };
    given.iter().map(condition).collect()
}

fn has(run: &RunLine, axis: &str, value: &str) -> bool {
    (axis == "seed" && run.seed.to_string() == value)
        || run
            .axes
            .iter()
            .any(|(name, label)| is(name, axis) && label == value)
}

/// Whether an axis is meant by its path or by the last part of it.
fn is(name: &str, given: &str) -> bool {
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
    use crate::cli::samples::{plain, store};

    #[test]
    fn runs_are_listed_with_what_is_done_and_what_went_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let runs = store.run_lines(None).unwrap();
        insta::assert_snapshot!(table(&store, &runs, plain()).unwrap(), @r"
        experiment  run                        key           stages  status
        ----------  -------------------------  ------------  ------  ------------------------------------------------
        weights     weighting=uniform seed=0   ef379363dd0c     2/2  done
        weights     weighting=exp(0.4) seed=0  5c498bfde8b5     1/2  failed: stage `train weak` failed: out of memory
        ");
    }

    #[test]
    fn a_condition_takes_the_last_part_of_an_axis_and_refuses_unknown_ones() {
        let folder = tempfile::tempdir().unwrap();
        let runs = store(&folder).run_lines(None).unwrap();
        for condition in ["weighting=uniform", "train.weighting=uniform"] {
            let conditions = conditions(&[condition.to_owned()], &runs).unwrap();
            let found: Vec<bool> = runs
                .iter()
                .map(|run| has(run, &conditions[0].0, &conditions[0].1))
                .collect();
            assert_eq!(found, [true, false], "{condition}");
        }
        assert!(has(&runs[0], "seed", "0") && !has(&runs[0], "seed", "1"));
        let fault = conditions(&["weigthing=uniform".to_owned()], &runs).unwrap_err();
        assert_eq!(fault.hint.unwrap(), "the axes are: seed, train.weighting");
    }
}
