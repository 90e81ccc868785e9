//! The coordinator's ledger in earnest: stages, results and run statuses in the run database.
//!
//! Responsible for keeping runs in step with their stages. Must not know how stages are scheduled.

use std::collections::BTreeSet;

use crate::domain::Key;
use crate::pipeline::{Manifest, Stage, Workspace, results};
use crate::store::{Status, Store, StoreError};

use super::SweepError;
use super::runs::{Change, Runs};
use super::schedule::Ledger;

/// Writes down a sweep in the run database.
#[derive(Debug)]
pub(super) struct StoreLedger<'a> {
    pub(super) store: &'a mut Store,
    pub(super) workspace: &'a Workspace,
    /// The experiment's name.
    pub(super) experiment: &'a str,
    pub(super) runs: Runs,
    /// Stages whose rows are complete and cannot change; they are executed again only because
    /// their files are gone.
    pub(super) recorded: BTreeSet<Key>,
}

impl StoreLedger<'_> {
    /// Writes down where runs stand.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) fn note(&mut self, changes: &[Change]) -> Result<(), SweepError> {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes
            .iter()
            .map(|change| (&change.run, change.status, change.error.as_deref()));
        Ok(self.store.run_statuses(self.experiment, changes)?)
    }

    /// Closes the ledger: runs that were begun and not finished are interrupted.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) fn close(&mut self) -> Result<(), SweepError> {
        let changes = self.runs.leave();
        self.note(&changes)
    }

    /// How many runs stand so.
    pub(super) fn count(&self, status: Status) -> usize {
        self.runs.count(status)
    }

    fn store_results(&mut self, stage: &Stage, manifest: &Manifest) -> Result<(), SweepError> {
        let unusable = |reason: String| SweepError::Results {
            label: stage.label.clone(),
            reason,
        };
        let results = results(stage, self.workspace, manifest)
            .map_err(|error| unusable(error.to_string()))?;
        match self.store.stage_done(&stage.key, &results) {
            Err(error @ StoreError::BadResults { .. }) => Err(unusable(error.to_string())),
            other => Ok(other?),
        }
    }
}

impl Ledger for StoreLedger<'_> {
    fn started(&mut self, stage: &Stage) -> Result<(), SweepError> {
        if !self.recorded.contains(&stage.key) {
            self.store.stage_started(&stage.key)?;
        }
        let changes = self.runs.begin(&stage.key);
        self.note(&changes)
    }

    fn done(&mut self, stage: &Stage, manifest: &Manifest) -> Result<(), SweepError> {
        if !self.recorded.contains(&stage.key) {
            self.store_results(stage, manifest)?;
        }
        let changes = self.runs.finish(&stage.key);
        self.note(&changes)
    }

    fn failed(&mut self, stage: &Stage, reason: &str) -> Result<(), SweepError> {
        if !self.recorded.contains(&stage.key) {
            self.store.stage_failed(&stage.key, reason)?;
        }
        let changes = self.runs.fail(
            &stage.key,
            &format!("stage `{}` failed: {reason}", stage.label),
        );
        self.note(&changes)
    }

    fn interrupted(&mut self, stage: &Stage) -> Result<(), SweepError> {
        if !self.recorded.contains(&stage.key) {
            self.store.stage_interrupted(&stage.key)?;
        }
        Ok(())
    }
}
