//! The coordinator's ledger in earnest: stages, results and run statuses in the run database.
//!
//! Responsible for keeping runs in step with their stages. Must not know how stages are scheduled.

use std::collections::BTreeSet;

use crate::domain::Key;
use crate::pipeline::{StageManifest, StageNode, Workspace, read_results};
use crate::store::{Status, Store, StoreError};

use super::SweepError;
use super::run_statuses::{RunStatusChange, RunStatuses};
use super::schedule::Recorder;

/// Writes down a sweep in the run database.
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
    /// Writes down where runs stand.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) fn record_run_changes(
        &mut self,
        changes: &[RunStatusChange],
    ) -> Result<(), SweepError> {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes
            .iter()
            .map(|change| (&change.run, change.status, change.error.as_deref()));
        Ok(self.store.set_run_statuses(self.experiment, changes)?)
    }

    /// Closes the ledger: runs that were begun and not finished are interrupted.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) fn finish(&mut self) -> Result<(), SweepError> {
        let changes = self.runs.interrupt_running();
        self.record_run_changes(&changes)
    }

    /// How many runs stand so.
    pub(super) fn count_runs(&self, status: Status) -> usize {
        self.runs.count(status)
    }

    fn store_results(
        &mut self,
        stage: &StageNode,
        manifest: &StageManifest,
    ) -> Result<(), SweepError> {
        let unusable = |reason: String| SweepError::BadResults {
            label: stage.label.clone(),
            reason,
        };
        let results = read_results(stage, self.workspace, manifest)
            .map_err(|error| unusable(error.to_string()))?;
        match self.store.record_stage_results(&stage.key, &results) {
            Err(error @ StoreError::BadResults { .. }) => Err(unusable(error.to_string())),
            other => Ok(other?),
        }
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
