//! Records a sweep: stages, results and run statuses in the run database, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Key;
use crate::pipeline::{StageManifest, StageNode, Workspace, read_results};
use crate::store::{Status, Store, StoreError};

use super::SweepError;

/// Records the events of stages; by default nothing.
///
/// Every method fails if the record cannot be written, which ends the sweep.
pub trait Recorder {
    /// A stage has started.
    ///
    /// # Errors
    /// If the record cannot be written.
    fn stage_started(&mut self, _stage: &StageNode) -> Result<(), SweepError> {
        Ok(())
    }

    /// A stage is finished and its files are published.
    ///
    /// # Errors
    /// With [`SweepError::BadResults`] if the stage's files are unusable, which fails only that
    /// stage; otherwise if the record cannot be written.
    fn stage_done(
        &mut self,
        _stage: &StageNode,
        _manifest: &StageManifest,
    ) -> Result<(), SweepError> {
        Ok(())
    }

    /// A stage has failed for good.
    ///
    /// # Errors
    /// If the record cannot be written.
    fn stage_failed(&mut self, _stage: &StageNode, _reason: &str) -> Result<(), SweepError> {
        Ok(())
    }

    /// A stage was left unfinished; its partial work is kept.
    ///
    /// # Errors
    /// If the record cannot be written.
    fn stage_interrupted(&mut self, _stage: &StageNode) -> Result<(), SweepError> {
        Ok(())
    }
}

/// Records nothing: for work that leaves only files.
pub struct NullRecorder;

impl Recorder for NullRecorder {}

/// Records a sweep in the run database.
#[derive(Debug)]
pub(super) struct StoreRecorder<'a> {
    pub(super) store: &'a mut Store,
    pub(super) workspace: &'a Workspace,
    /// The experiment's name.
    pub(super) experiment: &'a str,
    pub(super) runs: RunStatuses,
    /// Stages whose rows are complete and cannot change; they are executed again only because
    /// their files are gone.
    pub(super) recorded: BTreeSet<Key>,
}

impl StoreRecorder<'_> {
    /// Records new statuses of runs.
    ///
    /// # Errors
    /// If the database fails.
    fn record_run_changes(&mut self, changes: &[RunStatusChange]) -> Result<(), SweepError> {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes
            .iter()
            .map(|change| (&change.run, change.status, change.error.as_deref()));
        Ok(self.store.set_run_statuses(self.experiment, changes)?)
    }

    /// Records the status of every run.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) fn start(&mut self) -> Result<(), SweepError> {
        let changes = self.runs.current_statuses();
        self.record_run_changes(&changes)
    }

    /// Ends the record: runs that have started and not finished are interrupted.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) fn finish(&mut self) -> Result<(), SweepError> {
        let changes = self.runs.interrupt_running();
        self.record_run_changes(&changes)
    }

    /// The number of runs with this status.
    pub(super) fn count_runs(&self, status: Status) -> usize {
        self.runs.count(status)
    }

    fn store_results(
        &mut self,
        stage: &StageNode,
        manifest: &StageManifest,
    ) -> Result<(), SweepError> {
        let reason = match read_results(stage, self.workspace, manifest) {
            Ok(results) => match self.store.record_stage_results(&stage.key, &results) {
                Err(error @ StoreError::BadResults { .. }) => error.to_string(),
                other => return Ok(other?),
            },
            Err(error) => error.to_string(),
        };
        Err(SweepError::BadResults {
            label: stage.label.clone(),
            reason,
        })
    }
}

impl Recorder for StoreRecorder<'_> {
    fn stage_started(&mut self, stage: &StageNode) -> Result<(), SweepError> {
        if !self.recorded.contains(&stage.key) {
            self.store.record_stage_start(&stage.key)?;
        }
        let changes = self.runs.stage_started(&stage.key);
        self.record_run_changes(&changes)
    }

    fn stage_done(
        &mut self,
        stage: &StageNode,
        manifest: &StageManifest,
    ) -> Result<(), SweepError> {
        if !self.recorded.contains(&stage.key) {
            self.store_results(stage, manifest)?;
        }
        let changes = self.runs.stage_finished(&stage.key);
        self.record_run_changes(&changes)
    }

    fn stage_failed(&mut self, stage: &StageNode, reason: &str) -> Result<(), SweepError> {
        if !self.recorded.contains(&stage.key) {
            self.store.record_stage_failure(&stage.key, reason)?;
        }
        let changes = self.runs.stage_failed(
            &stage.key,
            &format!("stage `{}` failed: {reason}", stage.label),
        );
        self.record_run_changes(&changes)
    }

    fn stage_interrupted(&mut self, stage: &StageNode) -> Result<(), SweepError> {
        if !self.recorded.contains(&stage.key) {
            self.store.record_stage_interruption(&stage.key)?;
        }
        Ok(())
    }
}

/// A run's new status, and why it failed if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStatusChange {
    /// The run.
    pub run: Key,
    /// Its status now.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
}

/// The status of every run of a sweep; computes changes and writes nothing.
#[derive(Clone, Debug)]
pub struct RunStatuses {
    runs: Vec<RunState>,
    /// Indices of the runs that need a stage.
    runs_by_stage: BTreeMap<Key, Vec<usize>>,
}

#[derive(Clone, Debug)]
struct RunState {
    key: Key,
    status: Status,
    open_stages: BTreeSet<Key>,
}

impl RunState {
    const fn has_ended(&self) -> bool {
        matches!(self.status, Status::Done | Status::Failed)
    }
}

impl RunStatuses {
    /// Runs with the stages that each needs, of which those in `done` are finished.
    #[must_use]
    pub fn new<'a>(
        runs: impl IntoIterator<Item = (&'a Key, &'a [Key])>,
        done: &BTreeSet<Key>,
    ) -> Self {
        let mut users: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        let mut all = Vec::new();
        for (index, (key, stages)) in runs.into_iter().enumerate() {
            let open: BTreeSet<Key> = stages
                .iter()
                .filter(|stage| !done.contains(stage))
                .cloned()
                .collect();
            for stage in stages.iter().collect::<BTreeSet<_>>() {
                users.entry(stage.clone()).or_default().push(index);
            }
            let status = if open.is_empty() {
                Status::Done
            } else {
                Status::Queued
            };
            all.push(RunState {
                key: key.clone(),
                status,
                open_stages: open,
            });
        }
        Self {
            runs: all,
            runs_by_stage: users,
        }
    }

    /// The status of every run.
    #[must_use]
    pub fn current_statuses(&self) -> Vec<RunStatusChange> {
        self.runs
            .iter()
            .map(|run| RunStatusChange {
                run: run.key.clone(),
                status: run.status,
                error: None,
            })
            .collect()
    }

    /// A stage has started: queued runs that need it are running.
    pub fn stage_started(&mut self, stage: &Key) -> Vec<RunStatusChange> {
        self.update_runs(stage, |run| {
            (run.status == Status::Queued).then_some((Status::Running, None))
        })
    }

    /// A stage is finished: runs that need nothing else are done.
    pub fn stage_finished(&mut self, stage: &Key) -> Vec<RunStatusChange> {
        self.update_runs(stage, |run| {
            run.open_stages.remove(stage);
            (run.open_stages.is_empty() && !run.has_ended()).then_some((Status::Done, None))
        })
    }

    /// A stage has failed, and so have the runs that need it.
    pub fn stage_failed(&mut self, stage: &Key, reason: &str) -> Vec<RunStatusChange> {
        self.update_runs(stage, |run| {
            (!run.has_ended()).then(|| (Status::Failed, Some(reason.to_owned())))
        })
    }

    /// The sweep ends: running runs are interrupted.
    pub fn interrupt_running(&mut self) -> Vec<RunStatusChange> {
        let mut changes = Vec::new();
        for run in self
            .runs
            .iter_mut()
            .filter(|run| run.status == Status::Running)
        {
            run.status = Status::Interrupted;
            changes.push(RunStatusChange {
                run: run.key.clone(),
                status: run.status,
                error: None,
            });
        }
        changes
    }

    /// The number of runs with this status.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.runs.iter().filter(|run| run.status == status).count()
    }

    fn update_runs(
        &mut self,
        stage: &Key,
        decide: impl Fn(&mut RunState) -> Option<(Status, Option<String>)>,
    ) -> Vec<RunStatusChange> {
        let mut changes = Vec::new();
        for &index in self.runs_by_stage.get(stage).into_iter().flatten() {
            let run = &mut self.runs[index];
            if let Some((status, error)) = decide(run) {
                run.status = status;
                changes.push(RunStatusChange {
                    run: run.key.clone(),
                    status,
                    error,
                });
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::fixtures::key_for;

    fn runs(done: &[&str]) -> RunStatuses {
        let done = done.iter().map(|label| key_for(label)).collect();
        let (first, second) = (
            [key_for("base"), key_for("a")],
            [key_for("base"), key_for("b"), key_for("b")],
        );
        RunStatuses::new(
            [
                (&key_for("run 1"), &first[..]),
                (&key_for("run 2"), &second[..]),
            ],
            &done,
        )
    }

    fn shown(changes: &[RunStatusChange]) -> String {
        let lines = changes.iter().map(|change| {
            let run = if change.run == key_for("run 1") {
                "run 1"
            } else {
                "run 2"
            };
            let error = change
                .error
                .as_deref()
                .map(|error| format!(" ({error})"))
                .unwrap_or_default();
            format!("{run} {:?}{error}", change.status)
        });
        lines.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_shared_stage_moves_every_run_that_needs_it() {
        let mut runs = runs(&[]);
        assert_eq!(
            shown(&runs.current_statuses()),
            "run 1 Queued, run 2 Queued"
        );
        assert_eq!(
            shown(&runs.stage_started(&key_for("base"))),
            "run 1 Running, run 2 Running"
        );
        assert_eq!(shown(&runs.stage_finished(&key_for("base"))), "");
        assert_eq!(shown(&runs.stage_finished(&key_for("b"))), "run 2 Done");
        assert_eq!(shown(&runs.interrupt_running()), "run 1 Interrupted");
        assert_eq!(runs.count(Status::Done), 1);
    }

    #[test]
    fn a_run_whose_stages_are_all_there_is_done_at_once() {
        assert_eq!(
            shown(&runs(&["base", "b"]).current_statuses()),
            "run 1 Queued, run 2 Done"
        );
    }

    #[test]
    fn a_finished_stage_that_must_be_made_again_and_cannot_fails_those_who_wait_for_it() {
        let mut runs = runs(&["base", "b"]);
        assert_eq!(
            shown(&runs.stage_failed(&key_for("base"), "gone")),
            "run 1 Failed (gone)"
        );
        assert_eq!(runs.count(Status::Done), 1);
    }

    #[test]
    fn a_failed_run_stays_failed_with_its_first_reason() {
        let mut runs = runs(&[]);
        assert_eq!(
            shown(&runs.stage_failed(&key_for("b"), "no room")),
            "run 2 Failed (no room)"
        );
        assert_eq!(
            shown(&runs.stage_failed(&key_for("base"), "later")),
            "run 1 Failed (later)"
        );
        assert_eq!(shown(&runs.stage_finished(&key_for("b"))), "");
        assert_eq!(shown(&runs.interrupt_running()), "");
    }
}
