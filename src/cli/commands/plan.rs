//! `rise-lab plan`: what an experiment comes to, without touching anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cli::args::PlanArguments;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::experiment::{PreparedExperiment, prepare_experiment};
use crate::cli::format::{format_bytes, format_duration, plural};
use crate::cli::table::TextTable;
use crate::domain::Key;
use crate::model::device_memory;
use crate::pipeline::ResourceEstimate;
use crate::sweep::{SweepPlan, SweepRun};

/// Shows a plan.
///
/// # Errors
/// If anything about the experiment is wrong.
pub fn plan(
    arguments: &PlanArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let opened = prepare_experiment(&arguments.experiment, environment)?;
    print_plan(&opened, environment)?;
    Ok(ExitReason::Success)
}

/// Gives a plan as the answer.
///
/// # Errors
/// If standard output cannot be written.
pub fn print_plan(
    opened: &PreparedExperiment,
    environment: &CliEnvironment,
) -> Result<(), CliError> {
    environment.output.print_result(
        || text(&opened.plan, opened.jobs, &device_memory),
        &document(&opened.plan, opened.jobs),
    )
}

fn text(plan: &SweepPlan, jobs: usize, capacity: &dyn Fn(&str) -> Option<u64>) -> String {
    let SweepPlan { experiment, .. } = plan;
    let head = format!("{}: {}\n", experiment.name, experiment.question);
    let mut parts = vec![
        head,
        run_table(plan).to_string(),
        stage_table(plan).to_string(),
        summary(plan, jobs),
    ];
    if plan.finished.len() < plan.graph.stages().len() {
        parts.extend(
            plan.largest_run()
                .map(|cell| resource_summary(cell, plan.new_checkpoint_bytes(), capacity)),
        );
    }
    parts.join("\n")
}

fn run_table(plan: &SweepPlan) -> TextTable {
    let mut table = TextTable::new(["run", "#stages", "#done", "key"]);
    for cell in &plan.runs {
        let stages: BTreeSet<&Key> = cell.stages.stages.iter().collect();
        let done = stages
            .iter()
            .filter(|stage| plan.finished.contains_key(stage))
            .count();
        let label = cell.cell.label.clone();
        table.add_row([
            label,
            stages.len().to_string(),
            done.to_string(),
            cell.key.short().to_owned(),
        ]);
    }
    table
}

/// Per kind of stage: how many are asked for, how many different ones those are, what is done.
fn stage_table(plan: &SweepPlan) -> TextTable {
    let mut asked: BTreeMap<&Key, usize> = BTreeMap::new();
    for cell in &plan.runs {
        for stage in cell.stages.stages.iter().collect::<BTreeSet<_>>() {
            *asked.entry(stage).or_default() += 1;
        }
    }
    let mut kinds = BTreeMap::new();
    for stage in plan.graph.stages() {
        let (all, distinct, done, seconds) = kinds.entry(stage.kind).or_insert((0, 0, 0, 0.0));
        *all += asked.get(&stage.key).copied().unwrap_or(0);
        *distinct += 1;
        if plan.finished.contains_key(&stage.key) {
            *done += 1
        } else {
            *seconds += stage.estimated_seconds
        }
    }
    let mut table = TextTable::new([
        "stages",
        "#asked for",
        "#different",
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
    let (asked, distinct) = (plan.requested_stages(), plan.graph.stages().len());
    let left = distinct - plan.finished.len();
    let asked = format!(
        "{} {} for {}; {distinct} of them are different, and {} done.\n",
        plural(plan.runs.len(), "run"),
        if plan.runs.len() == 1 { "asks" } else { "ask" },
        plural(asked, "stage"),
        if plan.finished.len() == 1 {
            "1 is".to_owned()
        } else {
            format!("{} are", plan.finished.len())
        },
    );
    let time = match left {
        0 => "Nothing is left to execute.\n".to_owned(),
        left => format!(
            "The other {left} take about {} with {}, on a laptop's cores.\n",
            format_duration(plan.estimated_seconds(jobs)),
            plural(jobs, "worker"),
        ),
    };
    asked + &time
}

/// Memory of the neediest run by what is done with it, and room on disk.
fn resource_summary(cell: &SweepRun, disk: u64, capacity: &dyn Fn(&str) -> Option<u64>) -> String {
    let ResourceEstimate {
        backend,
        sampling,
        training,
        ..
    } = &cell.resources;
    let held = capacity(backend).map(|bytes| format!("; its device has {}", format_bytes(bytes)));
    let trains = training.map(|training| format!(", training {}", format_bytes(training.total())));
    let disk = match disk {
        0 => String::new(),
        bytes => format!(
            "Disk: about {} for checkpoints that are to be trained.\n",
            format_bytes(bytes)
        ),
    };
    format!(
        "Memory on `{backend}`, a worker: sampling {}{} (of it {}){}.\n{disk}",
        format_bytes(sampling.total()),
        trains.unwrap_or_default(),
        largest_parts(&cell.resources),
        held.unwrap_or_default(),
    )
}

/// What most of the larger need is for.
fn largest_parts(needs: &ResourceEstimate) -> String {
    let (peak, during) = needs.peak_memory();
    let footprint = needs
        .training
        .filter(|_| during == "training")
        .unwrap_or(needs.sampling);
    let parts = footprint
        .parts()
        .into_iter()
        .filter(|(_, bytes)| *bytes * 20 > peak);
    parts
        .map(|(name, bytes)| format!("{name} {}", format_bytes(bytes)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn document(plan: &SweepPlan, jobs: usize) -> Value {
    let runs: Vec<Value> = plan
        .runs
        .iter()
        .map(|cell| {
            json!({
                "label": cell.cell.label,
                "key": cell.key,
                "seed": cell.cell.spec.seed,
                "axes": cell.cell.axes,
                "stages": cell.stages.stages,
            })
        })
        .collect();
    let stages: Vec<Value> = plan
        .graph
        .stages()
        .iter()
        .map(|stage| {
            json!({
                "key": stage.key,
                "kind": stage.kind,
                "label": stage.label,
                "inputs": stage.inputs,
                "seconds": stage.estimated_seconds,
                "done": plan.finished.contains_key(&stage.key),
            })
        })
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
        "needs": plan.largest_run().map(|cell| &cell.resources),
        "disk_bytes": plan.new_checkpoint_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::plan;

    #[test]
    fn a_plan_tells_what_is_shared_and_what_is_left() {
        insta::assert_snapshot!(text(&plan(), 2, &|_| Some(24 << 30)), @r"
        weights: Which weighting is best?

        run                            stages  done  key
        -----------------------------  ------  ----  ------------
        weighting=uniform seed=0            2     1  7f990192d976
        weighting=success-only seed=0       2     1  d45f5525dcc0

        stages  asked for  different  done  time left, one core
        ------  ---------  ---------  ----  -------------------
        base            2          1     1                  0 s
        train           2          2     0           1 min 20 s

        2 runs ask for 4 stages; 3 of them are different, and 1 is done.
        The other 2 take about 40 s with 2 workers, on a laptop's cores.

        Memory on `flex`, a worker: sampling 64 MB, training 102 MB (of it moments 8 MB, activations 90 MB); its device has 24.0 GB.
        Disk: about 8 MB for checkpoints that are to be trained.
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
