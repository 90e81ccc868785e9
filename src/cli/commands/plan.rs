//! `rise-lab plan` shows the runs, stages, time and memory of an experiment.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cli::args::ExperimentArguments;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::experiment::{PreparedExperiment, prepare_experiment};
use crate::cli::format::{format_bytes, format_duration, plural};
use crate::cli::table::TextTable;
use crate::domain::Key;
use crate::model::device_memory;
use crate::pipeline::{ResourceEstimate, StageNode};
use crate::sweep::{SweepPlan, SweepRun};

/// Shows a plan.
///
/// # Errors
/// If the experiment is wrong.
pub fn plan(
    arguments: &ExperimentArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    print_plan(&prepare_experiment(arguments, environment)?, environment)?;
    Ok(ExitReason::Success)
}

/// Prints a plan.
///
/// # Errors
/// If standard output cannot be written.
pub fn print_plan(
    experiment: &PreparedExperiment,
    environment: &CliEnvironment,
) -> Result<(), CliError> {
    environment.output.print_result(
        || text(&experiment.plan, experiment.jobs, &device_memory),
        &document(&experiment.plan, experiment.jobs),
    )
}

fn text(plan: &SweepPlan, jobs: usize, capacity: &dyn Fn(&str) -> Option<u64>) -> String {
    let mut parts = vec![
        format!("{}: {}\n", plan.experiment.name, plan.experiment.question),
        run_table(plan).to_string(),
        stage_table(plan).to_string(),
        summary(plan, jobs),
    ];
    if plan.finished.len() < plan.graph.stages().len() {
        parts.extend(
            plan.largest_run()
                .map(|run| resource_summary(run, plan.new_checkpoint_bytes(), capacity)),
        );
    }
    parts.join("\n")
}

fn run_table(plan: &SweepPlan) -> TextTable {
    let mut table = TextTable::new(["run", "#stages", "#done", "key"]);
    for run in &plan.runs {
        let stages: BTreeSet<&Key> = run.stages.stages.iter().collect();
        let done = stages
            .iter()
            .filter(|stage| plan.finished.contains_key(stage));
        table.add_row([
            run.cell.label.clone(),
            stages.len().to_string(),
            done.count().to_string(),
            run.key.short().to_owned(),
        ]);
    }
    table
}

/// Per kind: the stages of all runs, the distinct ones, the done ones and the remaining time.
fn stage_table(plan: &SweepPlan) -> TextTable {
    let mut requests: BTreeMap<&Key, usize> = BTreeMap::new();
    for run in &plan.runs {
        for stage in run.stages.stages.iter().collect::<BTreeSet<_>>() {
            *requests.entry(stage).or_default() += 1;
        }
    }
    let mut kinds = BTreeMap::new();
    for stage in plan.graph.stages() {
        let (all, distinct, done, seconds) = kinds.entry(stage.kind).or_insert((0, 0, 0, 0.0));
        *all += requests.get(&stage.key).copied().unwrap_or(0);
        *distinct += 1;
        if plan.finished.contains_key(&stage.key) {
            *done += 1;
        } else {
            *seconds += stage.estimated_seconds;
        }
    }
    let mut table = TextTable::new([
        "stages",
        "#in all runs",
        "#distinct",
        "#done",
        "#time left, one core",
    ]);
    for (kind, (all, distinct, done, seconds)) in kinds {
        let cells = [all, distinct, done].map(|count: usize| count.to_string());
        table.add_row(
            [kind.name().to_owned()]
                .into_iter()
                .chain(cells)
                .chain([format_duration(seconds)]),
        );
    }
    table
}

fn summary(plan: &SweepPlan, jobs: usize) -> String {
    let (requested, distinct) = (plan.requested_stages(), plan.graph.stages().len());
    let done = plan.finished.len();
    let stages = format!(
        "{} with {}: {distinct} distinct, {done} done.\n",
        plural(plan.runs.len(), "run"),
        plural(requested, "stage"),
    );
    let time = match distinct - done {
        0 => "Nothing is left to execute.\n".to_owned(),
        left => format!(
            "The other {left} take about {} with {}, on a laptop's cores.\n",
            format_duration(plan.estimated_seconds(jobs)),
            plural(jobs, "worker"),
        ),
    };
    stages + &time
}

/// The memory of the largest run by activity, and the disk space.
fn resource_summary(run: &SweepRun, disk: u64, capacity: &dyn Fn(&str) -> Option<u64>) -> String {
    let resources = &run.resources;
    let training = resources.training.map_or_else(String::new, |training| {
        format!(", training {}", format_bytes(training.total()))
    });
    let held = capacity(&resources.backend).map_or_else(String::new, |bytes| {
        format!("; its device has {}", format_bytes(bytes))
    });
    let disk = match disk {
        0 => String::new(),
        bytes => format!("Disk: about {} for new checkpoints.\n", format_bytes(bytes)),
    };
    format!(
        "Memory on `{}`, per worker: sampling {}{training} ({}){held}.\n{disk}",
        resources.backend,
        format_bytes(resources.sampling.total()),
        largest_parts(resources),
    )
}

/// The parts above 5 % of the larger need.
fn largest_parts(resources: &ResourceEstimate) -> String {
    let (peak, activity) = resources.peak_memory();
    let footprint = resources
        .training
        .filter(|_| activity == "training")
        .unwrap_or(resources.sampling);
    footprint
        .parts()
        .into_iter()
        .filter(|(_, bytes)| *bytes * 20 > peak)
        .map(|(name, bytes)| format!("{name} {}", format_bytes(bytes)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn document(plan: &SweepPlan, jobs: usize) -> Value {
    let runs: Vec<Value> = plan.runs.iter().map(run_document).collect();
    let stages: Vec<Value> = plan
        .graph
        .stages()
        .iter()
        .map(|stage| stage_document(stage, plan.finished.contains_key(&stage.key)))
        .collect();
    json!({
        "experiment": plan.experiment.name,
        "question": plan.experiment.question,
        "runs": runs,
        "stages": stages,
        "asked": plan.requested_stages(),
        "different": plan.graph.stages().len(),
        "done": plan.finished.len(),
        "jobs": jobs,
        "seconds": plan.estimated_seconds(jobs),
        "needs": plan.largest_run().map(|run| &run.resources),
        "disk_bytes": plan.new_checkpoint_bytes(),
    })
}

fn run_document(run: &SweepRun) -> Value {
    json!({
        "label": run.cell.label,
        "key": run.key,
        "seed": run.cell.spec.seed,
        "axes": run.cell.axes,
        "stages": run.stages.stages,
    })
}

fn stage_document(stage: &StageNode, is_done: bool) -> Value {
    json!({
        "key": stage.key,
        "kind": stage.kind,
        "label": stage.label,
        "inputs": stage.inputs,
        "seconds": stage.estimated_seconds,
        "done": is_done,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::plan;

    #[test]
    fn a_plan_shows_what_is_shared_and_what_is_left() {
        insta::assert_snapshot!(text(&plan(), 2, &|_| Some(24 << 30)), @r"
        weights: Which weighting is best?

        run                            stages  done  key
        -----------------------------  ------  ----  ------------
        weighting=uniform seed=0            2     1  7f990192d976
        weighting=success-only seed=0       2     1  d45f5525dcc0

        stages  in all runs  distinct  done  time left, one core
        ------  -----------  --------  ----  -------------------
        base              2         1     1                  0 s
        train             2         2     0           1 min 20 s

        2 runs with 4 stages: 3 distinct, 1 done.
        The other 2 take about 40 s with 2 workers, on a laptop's cores.

        Memory on `flex`, per worker: sampling 64 MB, training 102 MB (moments 8 MB, activations 90 MB); its device has 24.0 GB.
        Disk: about 8 MB for new checkpoints.
        ");
    }

    #[test]
    fn machines_get_the_same_numbers() {
        let document = document(&plan(), 1);
        assert_eq!(document["asked"], 4);
        assert_eq!(document["different"], 3);
        assert_eq!(document["done"], 1);
        assert_eq!(document["seconds"], 80.0);
        assert_eq!(document["stages"][0]["done"], true);
    }
}
