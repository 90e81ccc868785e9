//! `rise-lab plan`: what an experiment comes to, without touching anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cli::args::PlanArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::experiment::{Opened, open};
use crate::cli::quantity::{counted, duration, memory};
use crate::cli::table::Table;
use crate::domain::Key;
use crate::pipeline::{Needs, capacity};
use crate::sweep::{PlannedCell, SweepPlan};

/// Shows a plan.
///
/// # Errors
/// If anything about the experiment is wrong.
pub fn plan(arguments: &PlanArguments, environment: &Environment) -> Result<Exit, Fault> {
    let opened = open(&arguments.experiment, environment)?;
    show(&opened, environment)?;
    Ok(Exit::Fine)
}

/// Gives a plan as the answer.
///
/// # Errors
/// If standard output cannot be written.
pub fn show(opened: &Opened, environment: &Environment) -> Result<(), Fault> {
    environment.output.answer(
        || text(&opened.plan, opened.jobs, &capacity),
        &document(&opened.plan, opened.jobs),
    )
}

fn text(plan: &SweepPlan, jobs: usize, capacity: &dyn Fn(&str) -> Option<u64>) -> String {
    let SweepPlan { experiment, .. } = plan;
    let head = format!("{}: {}\n", experiment.name, experiment.question);
    let mut parts = vec![
        head,
        runs(plan).to_string(),
        stages(plan).to_string(),
        summary(plan, jobs),
    ];
    if plan.finished.len() < plan.graph.stages().len() {
        parts.extend(
            plan.neediest()
                .map(|cell| needs(cell, plan.disk(), capacity)),
        );
    }
    parts.join("\n")
}

fn runs(plan: &SweepPlan) -> Table {
    let mut table = Table::new(["run", "#stages", "#done", "key"]);
    for cell in &plan.cells {
        let stages: BTreeSet<&Key> = cell.run.stages.iter().collect();
        let done = stages
            .iter()
            .filter(|stage| plan.finished.contains_key(stage))
            .count();
        let label = cell.cell.label.clone();
        table.row([
            label,
            stages.len().to_string(),
            done.to_string(),
            cell.key.short().to_owned(),
        ]);
    }
    table
}

/// Per kind of stage: how many are asked for, how many different ones those are, what is done.
fn stages(plan: &SweepPlan) -> Table {
    let mut asked: BTreeMap<&Key, usize> = BTreeMap::new();
    for cell in &plan.cells {
        for stage in cell.run.stages.iter().collect::<BTreeSet<_>>() {
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
            *seconds += stage.estimate
        }
    }
    let mut table = Table::new([
        "stages",
        "#asked for",
        "#different",
        "#done",
        "#time left, one core",
    ]);
    for (kind, (all, distinct, done, seconds)) in kinds {
        let cells = [all, distinct, done].map(|count: usize| count.to_string());
        table.row(
            [kind.name().to_owned()]
                .into_iter()
                .chain(cells)
                .chain([duration(seconds)]),
        );
    }
    table
}

fn summary(plan: &SweepPlan, jobs: usize) -> String {
    let (asked, distinct) = (plan.asked(), plan.graph.stages().len());
    let left = distinct - plan.finished.len();
    let asked = format!(
        "{} {} for {}; {distinct} of them are different, and {} done.\n",
        counted(plan.cells.len(), "run"),
        if plan.cells.len() == 1 { "asks" } else { "ask" },
        counted(asked, "stage"),
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
            duration(plan.seconds(jobs)),
            counted(jobs, "worker"),
        ),
    };
    asked + &time
}

/// Memory of the neediest run by what is done with it, and room on disk.
fn needs(cell: &PlannedCell, disk: u64, capacity: &dyn Fn(&str) -> Option<u64>) -> String {
    let Needs {
        backend,
        sampling,
        training,
        ..
    } = &cell.needs;
    let held = capacity(backend).map(|bytes| format!("; its device has {}", memory(bytes)));
    let trains = training.map(|training| format!(", training {}", memory(training.total())));
    let disk = match disk {
        0 => String::new(),
        bytes => format!(
            "Disk: about {} for checkpoints that are to be trained.\n",
            memory(bytes)
        ),
    };
    format!(
        "Memory on `{backend}`, a worker: sampling {}{} (of it {}){}.\n{disk}",
        memory(sampling.total()),
        trains.unwrap_or_default(),
        largest_parts(&cell.needs),
        held.unwrap_or_default(),
    )
}

/// What most of the larger need is for.
fn largest_parts(needs: &Needs) -> String {
    let (peak, during) = needs.peak();
    let footprint = needs
        .training
        .filter(|_| during == "training")
        .unwrap_or(needs.sampling);
    let parts = footprint
        .parts()
        .into_iter()
        .filter(|(_, bytes)| *bytes * 20 > peak);
    parts
        .map(|(name, bytes)| format!("{name} {}", memory(bytes)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn document(plan: &SweepPlan, jobs: usize) -> Value {
    let runs: Vec<Value> = plan
        .cells
        .iter()
        .map(|cell| {
            json!({
                "label": cell.cell.label,
                "key": cell.key,
                "seed": cell.cell.spec.seed,
                "axes": cell.cell.axes,
                "stages": cell.run.stages,
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
                "seconds": stage.estimate,
                "done": plan.finished.contains_key(&stage.key),
            })
        })
        .collect();
    json!({
        "experiment": plan.experiment.name,
        "question": plan.experiment.question,
        "runs": runs,
        "stages": stages,
        "asked": plan.asked(),
        "different": plan.graph.stages().len(),
        "done": plan.finished.len(),
        "jobs": jobs,
        "seconds": plan.seconds(jobs),
        "needs": plan.neediest().map(|cell| &cell.needs),
        "disk_bytes": plan.disk(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::plan;

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
