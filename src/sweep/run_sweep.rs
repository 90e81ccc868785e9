//! Runs a whole sweep: records the plan, executes the open stages, returns the outcome.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Key;
use crate::pipeline::{StageGraph, Workspace, stage_metrics};
use crate::store::{CheckpointRow, ExperimentRow, PlannedRunRow, PlannedStageRow, Status, Store};

use super::recorder::{NullRecorder, RunStatuses, StoreRecorder};
use super::schedule::{self, ScheduleInput, ScheduleOutcome};
use super::{StopSignal, SweepError, SweepEvent, SweepPlan, SweepRun, WorkerCommand};

/// The means of a sweep.
#[derive(Debug)]
pub struct SweepSession<'a> {
    /// The run database, opened for writing.
    pub store: &'a mut Store,
    /// The stages' folders.
    pub workspace: &'a Workspace,
    /// The program that serves as a worker.
    pub worker_command: WorkerCommand,
    /// Cores to use: one worker process each, or fewer with more threads each.
    pub jobs: usize,
    /// The signal that stops the sweep.
    pub stop_signal: &'a StopSignal,
}

/// The outcome of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepOutcome {
    /// The number of stages that were executed to their end.
    pub executed: usize,
    /// The number of stages to execute; the others were finished or not needed.
    pub open_stages: usize,
    /// The number of done runs, from this sweep or an earlier one.
    pub runs_done: usize,
    /// The number of failed runs.
    pub runs_failed: usize,
    /// Whether a stop left stages open.
    pub interrupted: bool,
}

/// Executes everything in `plan` that is not done; `watch` receives the events.
///
/// # Errors
/// If the database or the workspace cannot be read or written, or no worker can be started.
pub fn run_sweep(
    plan: &SweepPlan,
    session: SweepSession<'_>,
    watch: &mut dyn FnMut(SweepEvent<'_>),
) -> Result<SweepOutcome, SweepError> {
    let experiment = &plan.experiment.name;
    register_plan(plan, session.store)?;
    let recorded = recorded_stages(session.store, experiment)?;
    let input = schedule_input(plan, &recorded);
    let mut recorder = StoreRecorder {
        store: session.store,
        workspace: session.workspace,
        experiment,
        // A run is done when its results are recorded, even if its files are gone.
        runs: RunStatuses::new(
            plan.runs
                .iter()
                .map(|run| (&run.key, run.stages.stages.as_slice())),
            &recorded,
        ),
        recorded,
    };
    recorder.start()?;
    let outcome = schedule::run(
        &input,
        &mut recorder,
        session.worker_command,
        session.jobs,
        session.stop_signal,
        watch,
    )?;
    recorder.finish()?;
    Ok(SweepOutcome {
        executed: outcome.executed,
        open_stages: input.open_seconds.len(),
        runs_done: recorder.count_runs(Status::Done),
        runs_failed: recorder.count_runs(Status::Failed),
        interrupted: outcome.interrupted,
    })
}

/// The stages of a plan, given those with recorded results.
fn schedule_input<'a>(plan: &'a SweepPlan, recorded: &BTreeSet<Key>) -> ScheduleInput<'a> {
    let mut published = plan.finished.clone();
    published.retain(|key, _| !recorded.contains(key));
    ScheduleInput {
        stages: plan.graph.stages(),
        open_seconds: plan.open_stages(recorded),
        published,
    }
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
    let input = ScheduleInput {
        stages: graph.stages(),
        open_seconds: open,
        published: BTreeMap::new(),
    };
    schedule::run(&input, &mut NullRecorder, command, jobs, stop, watch)
}

/// Records the plan in the database.
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
        .map(|(position, run)| run_row(position, run))
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

fn run_row(position: u32, run: &SweepRun) -> PlannedRunRow {
    let checkpoints = (0..)
        .zip(&run.stages.checkpoints)
        .map(|(position, checkpoint)| CheckpointRow {
            run: run.key.clone(),
            position,
            name: checkpoint.name.clone(),
            weights: checkpoint.weights.clone(),
            evaluation: checkpoint.evaluation.clone(),
        });
    PlannedRunRow {
        key: run.key.clone(),
        label: run.cell.label.clone(),
        position,
        seed: run.cell.spec.seed,
        axes: run.cell.axes.clone(),
        spec: serde_json::to_value(&run.cell.spec).expect("settings are plain data"),
        stages: run.stages.stages.clone(),
        checkpoints: checkpoints.collect(),
    }
}

/// The experiment's stages with results in the database.
fn recorded_stages(store: &Store, experiment: &str) -> Result<BTreeSet<Key>, SweepError> {
    let stages = store.experiment_stages(experiment)?;
    Ok(stages
        .into_iter()
        .filter(|stage| stage.status == Status::Done)
        .map(|stage| stage.key)
        .collect())
}
