//! A whole sweep: write down what was asked for, execute what is open, say what came of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Key;
use crate::pipeline::{StageGraph, StageManifest, StageNode, Workspace, stage_metrics};
use crate::store::{CheckpointRow, ExperimentRow, PlannedRunRow, PlannedStageRow, Status, Store};

use super::recorder::StoreRecorder;
use super::run_statuses::RunStatuses;
use super::schedule::{self, Recorder, ScheduleInput, ScheduleOutcome};
use super::{StopSignal, SweepError, SweepEvent, SweepPlan, SweepRun, WorkerCommand};

/// With what, and how, a sweep is performed.
#[derive(Debug)]
pub struct SweepSession<'a> {
    /// The run database, opened for writing.
    pub store: &'a mut Store,
    /// The stages' folders.
    pub workspace: &'a Workspace,
    /// The program that serves as a worker.
    pub worker_command: WorkerCommand,
    /// Cores to work on: so many worker processes at a time, or fewer with more threads each.
    pub jobs: usize,
    /// How the sweep is told to stop.
    pub stop_signal: &'a StopSignal,
}

/// What a sweep came to.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepOutcome {
    /// What was executed.
    pub schedule: ScheduleOutcome,
    /// Stages that were to be executed; the others were finished or not needed.
    pub open_stages: usize,
    /// Runs that are done, from this sweep or an earlier one.
    pub runs_done: usize,
    /// Runs that failed.
    pub runs_failed: usize,
}

/// Executes everything in `plan` that is not done; `watch` is told what happens.
///
/// # Errors
/// If the database or the workspace cannot be read or written, or no worker can be started.
pub fn run_sweep(
    plan: &SweepPlan,
    session: SweepSession<'_>,
    watch: &mut dyn FnMut(SweepEvent<'_>),
) -> Result<SweepOutcome, SweepError> {
    let SweepSession {
        store,
        workspace,
        worker_command: command,
        jobs,
        stop_signal: stop,
    } = session;
    let experiment = &plan.experiment.name;
    register_plan(plan, store)?;
    let recorded = recorded_stages(store, experiment)?;
    let published: BTreeMap<_, _> = plan
        .finished
        .iter()
        .filter(|(key, _)| !recorded.contains(key))
        .map(|(key, manifest)| (key.clone(), manifest.clone()))
        .collect();
    let work = ScheduleInput {
        stages: plan.graph.stages(),
        open_seconds: plan.open_stages(&recorded),
        published,
    };
    // A run is done when its results are recorded, whether or not the files are still there.
    let runs = RunStatuses::new(
        plan.runs
            .iter()
            .map(|cell| (&cell.key, cell.stages.stages.as_slice())),
        &recorded,
    );
    let standing = runs.current_statuses();
    let mut ledger = StoreRecorder {
        store,
        workspace,
        experiment,
        runs,
        recorded,
    };
    ledger.record_run_changes(&standing)?;
    let outcome = schedule::run(&work, &mut ledger, command, jobs, stop, watch)?;
    ledger.finish()?;
    Ok(SweepOutcome {
        schedule: outcome,
        open_stages: work.open_seconds.len(),
        runs_done: ledger.count_runs(Status::Done),
        runs_failed: ledger.count_runs(Status::Failed),
    })
}

/// Executes the stages of a graph that are not finished with `jobs` workers, without a database.
///
/// # Errors
/// If the workspace cannot be read, or no worker can be started.
pub fn execute_graph(
    graph: &StageGraph,
    workspace: &Workspace,
    command: WorkerCommand,
    jobs: usize,
    stop: &StopSignal,
    watch: &mut dyn FnMut(SweepEvent<'_>),
) -> Result<ScheduleOutcome, SweepError> {
    let mut open = BTreeMap::new();
    for stage in graph.stages() {
        if workspace.find_manifest(&stage.key)?.is_none() {
            open.insert(stage.key.clone(), stage.estimated_seconds);
        }
    }
    let work = ScheduleInput {
        stages: graph.stages(),
        open_seconds: open,
        published: BTreeMap::new(),
    };
    schedule::run(&work, &mut NullRecorder, command, jobs, stop, watch)
}

/// A ledger for work whose files are all that is wanted.
struct NullRecorder;

impl Recorder for NullRecorder {
    fn stage_started(&mut self, _: &StageNode) -> Result<(), SweepError> {
        Ok(())
    }

    fn stage_done(&mut self, _: &StageNode, _: &StageManifest) -> Result<(), SweepError> {
        Ok(())
    }

    fn stage_failed(&mut self, _: &StageNode, _: &str) -> Result<(), SweepError> {
        Ok(())
    }

    fn stage_interrupted(&mut self, _: &StageNode) -> Result<(), SweepError> {
        Ok(())
    }
}

/// Makes the database agree with the plan.
fn register_plan(plan: &SweepPlan, store: &mut Store) -> Result<(), SweepError> {
    let experiment = &plan.experiment;
    let row = ExperimentRow {
        name: experiment.name.clone(),
        question: experiment.question.clone(),
        toml: experiment.text.clone(),
        report: experiment.report_json.clone(),
    };
    let runs: Vec<PlannedRunRow> = (0..)
        .zip(&plan.runs)
        .map(|(position, cell)| run_row(position, cell))
        .collect();
    let stages: Vec<PlannedStageRow> = plan
        .graph
        .stages()
        .iter()
        .map(|stage| PlannedStageRow {
            key: stage.key.clone(),
            kind: stage.kind.name().to_owned(),
            label: stage.label.clone(),
            inputs: stage.inputs.clone(),
        })
        .collect();
    store.record_metrics(&stage_metrics(plan.graph.stages()))?;
    Ok(store.record_experiment(&row, &runs, &stages)?)
}

fn run_row(position: u32, cell: &SweepRun) -> PlannedRunRow {
    let checkpoints = (0..)
        .zip(&cell.stages.checkpoints)
        .map(|(position, checkpoint)| CheckpointRow {
            run: cell.key.clone(),
            position,
            name: checkpoint.name.clone(),
            weights: checkpoint.weights.clone(),
            evaluation: checkpoint.evaluation.clone(),
        });
    PlannedRunRow {
        key: cell.key.clone(),
        label: cell.cell.label.clone(),
        position,
        seed: cell.cell.spec.seed,
        axes: cell.cell.axes.clone(),
        spec: serde_json::to_value(&cell.cell.spec).expect("settings are plain data"),
        stages: cell.stages.stages.clone(),
        checkpoints: checkpoints.collect(),
    }
}

/// The experiment's stages whose results are in the database.
fn recorded_stages(store: &Store, experiment: &str) -> Result<BTreeSet<Key>, SweepError> {
    let stages = store.experiment_stages(experiment)?;
    Ok(stages
        .into_iter()
        .filter(|stage| stage.status == Status::Done)
        .map(|stage| stage.key)
        .collect())
}
