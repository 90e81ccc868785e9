//! What an experiment comes to: its runs, the stages they share, and what of it is done.
//!
//! Reads the workspace and changes nothing; what the database knows is not looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Key;
use crate::pipeline::{Graph, Manifest, Models, PlannedRun, Workspace, rise};
use crate::spec::ExperimentSpec;

use super::{Cell, SweepError, expand, forecast};

/// An experiment with its runs and their stages.
#[derive(Clone, Debug)]
pub struct SweepPlan {
    /// The experiment.
    pub experiment: ExperimentSpec,
    /// Its runs in order.
    pub cells: Vec<PlannedCell>,
    /// Every stage once, inputs first.
    pub graph: Graph,
    /// The stages that are finished already.
    pub finished: BTreeMap<Key, Manifest>,
}

/// One run and the stages it stands for.
#[derive(Clone, Debug)]
pub struct PlannedCell {
    /// Its identity.
    pub key: Key,
    /// Its settings.
    pub cell: Cell,
    /// Its stages.
    pub run: PlannedRun,
}

impl SweepPlan {
    /// Expands an experiment, plans every run, and looks for what is finished in `workspace`.
    ///
    /// # Errors
    /// If the experiment does not expand, a base model or a data file is not there or not usable,
    /// or the workspace cannot be read.
    pub fn of(
        experiment: ExperimentSpec,
        models: &Models,
        workspace: &Workspace,
    ) -> Result<Self, SweepError> {
        let mut graph = Graph::default();
        let mut cells = Vec::new();
        for cell in expand(&experiment)? {
            let run = rise(&cell.spec, models, &mut graph)
                .map_err(|source| SweepError::Plan { label: cell.label.clone(), source })?;
            cells.push(PlannedCell { key: cell.spec.key(), cell, run });
        }
        let mut plan = Self { experiment, cells, graph, finished: BTreeMap::new() };
        plan.look(workspace)?;
        Ok(plan)
    }

    /// Looks again for what is finished.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn look(&mut self, workspace: &Workspace) -> Result<(), SweepError> {
        self.finished.clear();
        for stage in self.graph.stages() {
            if let Some(manifest) = workspace.finished(&stage.key)? {
                self.finished.insert(stage.key.clone(), manifest);
            }
        }
        Ok(())
    }

    /// Stages that the runs ask for, shared ones counted once per run.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.cells.iter().map(|cell| distinct(&cell.run.stages)).sum()
    }

    /// Runs of which every stage is finished.
    #[must_use]
    pub fn runs_done(&self) -> usize {
        let done = |cell: &&PlannedCell| cell.run.stages.iter().all(|stage| self.finished.contains_key(stage));
        self.cells.iter().filter(done).count()
    }

    /// Expected seconds of the stages that must be executed, given those whose results are
    /// `recorded`: a recorded stage is executed again only if its files are gone and another
    /// stage that must be executed reads them.
    #[must_use]
    pub fn open(&self, recorded: &BTreeSet<Key>) -> BTreeMap<Key, f64> {
        let mut open = BTreeMap::new();
        let mut read = BTreeSet::new();
        for stage in self.graph.stages().iter().rev() {
            let wanted = !recorded.contains(&stage.key) || read.contains(&stage.key);
            if wanted && !self.finished.contains_key(&stage.key) {
                open.insert(stage.key.clone(), stage.estimate);
                read.extend(stage.inputs.iter().cloned());
            }
        }
        open
    }

    /// Expected seconds for everything that is not finished, with so many workers.
    #[must_use]
    pub fn seconds(&self, jobs: usize) -> f64 {
        forecast(self.graph.stages(), &self.open(&BTreeSet::new()), jobs)
    }
}

fn distinct(stages: &[Key]) -> usize {
    stages.iter().collect::<BTreeSet<_>>().len()
}
