//! A whole sweep: write down what was asked for, execute what is open, say what came of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Key;
use crate::pipeline::{Graph, Manifest, Stage, Workspace, metrics};
use crate::store::{CheckpointRow, ExperimentRow, PlannedRun, PlannedStage, Status, Store};

use super::ledger::StoreLedger;
use super::runs::Runs;
use super::schedule::{self, Ledger, Outcome, Work};
use super::{News, PlannedCell, Stop, SweepError, SweepPlan, WorkerCommand};

/// With what, and how, a sweep is performed.
#[derive(Debug)]
pub struct Session<'a> {
    /// The run database, opened for writing.
    pub store: &'a mut Store,
    /// The stages' folders.
    pub workspace: &'a Workspace,
    /// The program that serves as a worker.
    pub command: WorkerCommand,
    /// Cores to work on: so many worker processes at a time, or fewer with more threads each.
    pub jobs: usize,
    /// How the sweep is told to stop.
    pub stop: &'a Stop,
}

/// What a sweep came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Performed {
    /// What was executed.
    pub outcome: Outcome,
    /// Stages that were to be executed; the others were finished or not needed.
    pub open: usize,
    /// Runs that are done, from this sweep or an earlier one.
    pub runs_done: usize,
    /// Runs that failed.
    pub runs_failed: usize,
}

/// Executes everything in `plan` that is not done; `watch` is told what happens.
///
/// # Errors
/// If the database or the workspace cannot be read or written, or no worker can be started.
pub fn perform(
    plan: &SweepPlan,
    session: Session<'_>,
    watch: &mut dyn FnMut(News<'_>),
) -> Result<Performed, SweepError> {
    let Session {
        store,
        workspace,
        command,
        jobs,
        stop,
    } = session;
    let experiment = &plan.experiment.name;
    register(plan, store)?;
    let recorded = recorded(store, experiment)?;
    let published: BTreeMap<_, _> = plan
        .finished
        .iter()
        .filter(|(key, _)| !recorded.contains(key))
        .map(|(key, manifest)| (key.clone(), manifest.clone()))
        .collect();
    let work = Work {
        stages: plan.graph.stages(),
        open: plan.open(&recorded),
        published,
    };
    // A run is done when its results are recorded, whether or not the files are still there.
    let runs = Runs::new(
        plan.cells
            .iter()
            .map(|cell| (&cell.key, cell.run.stages.as_slice())),
        &recorded,
    );
    let standing = runs.standing();
    let mut ledger = StoreLedger {
        store,
        workspace,
        experiment,
        runs,
        recorded,
    };
    ledger.note(&standing)?;
    let outcome = schedule::run(&work, &mut ledger, command, jobs, stop, watch)?;
    ledger.close()?;
    Ok(Performed {
        outcome,
        open: work.open.len(),
        runs_done: ledger.count(Status::Done),
        runs_failed: ledger.count(Status::Failed),
    })
}

/// Executes the stages of a graph that are not finished with `jobs` workers, without a database.
///
/// # Errors
/// If the workspace cannot be read, or no worker can be started.
pub fn build(
    graph: &Graph,
    workspace: &Workspace,
    command: WorkerCommand,
    jobs: usize,
    stop: &Stop,
    watch: &mut dyn FnMut(News<'_>),
) -> Result<Outcome, SweepError> {
    let mut open = BTreeMap::new();
    for stage in graph.stages() {
        if workspace.finished(&stage.key)?.is_none() {
            open.insert(stage.key.clone(), stage.estimate);
        }
    }
    let work = Work {
        stages: graph.stages(),
        open,
        published: BTreeMap::new(),
    };
    schedule::run(&work, &mut Unrecorded, command, jobs, stop, watch)
}

/// A ledger for work whose files are all that is wanted.
struct Unrecorded;

impl Ledger for Unrecorded {
    fn started(&mut self, _: &Stage) -> Result<(), SweepError> {
        Ok(())
    }

    fn done(&mut self, _: &Stage, _: &Manifest) -> Result<(), SweepError> {
        Ok(())
    }

    fn failed(&mut self, _: &Stage, _: &str) -> Result<(), SweepError> {
        Ok(())
    }

    fn interrupted(&mut self, _: &Stage) -> Result<(), SweepError> {
        Ok(())
    }
}

/// Makes the database agree with the plan.
fn register(plan: &SweepPlan, store: &mut Store) -> Result<(), SweepError> {
    let experiment = &plan.experiment;
    let row = ExperimentRow {
        name: experiment.name.clone(),
        question: experiment.question.clone(),
        toml: experiment.text.clone(),
        report: experiment.report.clone(),
    };
    let runs: Vec<PlannedRun> = (0..)
        .zip(&plan.cells)
        .map(|(position, cell)| run_row(position, cell))
        .collect();
    let stages: Vec<PlannedStage> = plan
        .graph
        .stages()
        .iter()
        .map(|stage| PlannedStage {
            key: stage.key.clone(),
            kind: stage.kind.name().to_owned(),
            label: stage.label.clone(),
            inputs: stage.inputs.clone(),
        })
        .collect();
    store.metrics(&metrics(plan.graph.stages()))?;
    Ok(store.experiment(&row, &runs, &stages)?)
}

fn run_row(position: u32, cell: &PlannedCell) -> PlannedRun {
    let checkpoints =
        (0..)
            .zip(&cell.run.checkpoints)
            .map(|(position, (name, weights, evaluation))| CheckpointRow {
                run: cell.key.clone(),
                position,
                name: name.clone(),
                weights: weights.clone(),
                evaluation: evaluation.clone(),
            });
    PlannedRun {
        key: cell.key.clone(),
        label: cell.cell.label.clone(),
        position,
        seed: cell.cell.spec.seed,
        axes: cell.cell.axes.clone(),
        spec: serde_json::to_value(&cell.cell.spec).expect("settings are plain data"),
        stages: cell.run.stages.clone(),
        checkpoints: checkpoints.collect(),
    }
}

/// The experiment's stages whose results are in the database.
fn recorded(store: &Store, experiment: &str) -> Result<BTreeSet<Key>, SweepError> {
    let stages = store.stages(experiment)?;
    Ok(stages
        .into_iter()
        .filter(|stage| stage.status == Status::Done)
        .map(|stage| stage.key)
        .collect())
}
