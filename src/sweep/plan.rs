//! What an experiment comes to: its runs, the stages they share, and what of it is done.
//!
//! Reads the workspace and changes nothing; what the database knows is not looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Key;
use crate::pipeline::{Graph, Kind, Manifest, Models, Needs, PlannedRun, Workspace, plan};
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
    /// What it needs of a machine.
    pub needs: Needs,
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
            let failed = |source| SweepError::Plan {
                label: cell.label.clone(),
                source: Box::new(source),
            };
            let run = plan(&cell.spec, models, &mut graph).map_err(failed)?;
            let needs = Needs::of(&cell.spec, models).map_err(failed)?;
            cells.push(PlannedCell {
                key: cell.spec.key(),
                cell,
                run,
                needs,
            });
        }
        let mut plan = Self {
            experiment,
            cells,
            graph,
            finished: BTreeMap::new(),
        };
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
        self.cells
            .iter()
            .map(|cell| distinct(&cell.run.stages))
            .sum()
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

    /// Bytes on disk of the checkpoints that are not there yet.
    #[must_use]
    pub fn disk(&self) -> u64 {
        let mut checkpoints: BTreeMap<&Key, u64> = BTreeMap::new();
        for cell in &self.cells {
            for key in cell
                .run
                .stages
                .iter()
                .filter(|key| self.leaves_a_checkpoint(key))
            {
                checkpoints.insert(key, cell.needs.checkpoint);
            }
        }
        checkpoints.values().sum()
    }

    fn leaves_a_checkpoint(&self, key: &Key) -> bool {
        let trains = |kind| matches!(kind, Kind::Train | Kind::Prefer | Kind::Reinforce);
        self.graph.get(key).is_some_and(|stage| trains(stage.kind))
            && !self.finished.contains_key(key)
    }

    /// The run that needs the most memory on its device.
    #[must_use]
    pub fn neediest(&self) -> Option<&PlannedCell> {
        self.cells.iter().max_by_key(|cell| cell.needs.peak().0)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::read;
    use crate::sweep::samples::{graph, key, stages};

    /// Two runs over `prepare -> base -> train a, train b`, with some stages finished.
    fn plan(finished: &[&str]) -> SweepPlan {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        let text =
            "name = \"x\"\nseeds = [0, 1]\n[run]\nbase = \"weak\"\ntask = { word-problems = {} }\n";
        std::fs::write(&file, text).unwrap();
        let experiment = read(&file, &[]).unwrap();
        let stages = stages(&[
            ("prepare", "", 1.0),
            ("base", "prepare", 8.0),
            ("a", "base", 2.0),
            ("b", "base", 4.0),
        ]);
        let cells = expand(&experiment)
            .unwrap()
            .into_iter()
            .zip(["a", "b"])
            .map(|(cell, own)| {
                let stages = ["prepare", "base", "base", own].map(key).to_vec();
                let run = PlannedRun {
                    stages,
                    checkpoints: vec![],
                };
                PlannedCell {
                    key: key(&cell.label),
                    cell,
                    run,
                    needs: crate::sweep::samples::needs(),
                }
            });
        let manifest = |label: &&str| Manifest {
            key: key(label),
            artifacts: vec![],
            seconds: 1.0,
            peak_bytes: None,
            counts: json!({}),
            origin: json!({}),
        };
        let finished = finished
            .iter()
            .map(|label| (key(label), manifest(label)))
            .collect();
        SweepPlan {
            cells: cells.collect(),
            experiment,
            graph: graph(&stages),
            finished,
        }
    }

    fn open(plan: &SweepPlan, recorded: &[&str]) -> String {
        let open = plan.open(&recorded.iter().map(|label| key(label)).collect());
        let stages = plan
            .graph
            .stages()
            .iter()
            .filter(|stage| open.contains_key(&stage.key));
        stages
            .map(|stage| stage.label.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn shared_stages_are_asked_for_by_every_run_and_executed_once() {
        let plan = plan(&[]);
        assert_eq!((plan.asked(), plan.graph.stages().len()), (6, 4));
        assert!((plan.seconds(1) - 15.0).abs() < 1e-9);
        assert!((plan.seconds(2) - 13.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_finished_is_not_executed_again() {
        let plan = plan(&["prepare", "base", "a"]);
        assert_eq!(open(&plan, &[]), "b");
        assert!((plan.seconds(2) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn files_that_are_gone_are_made_again_only_if_something_reads_them() {
        let all = ["prepare", "base", "a", "b"];
        assert_eq!(open(&plan(&[]), &all), "");
        assert_eq!(
            open(&plan(&["prepare"]), &["prepare", "base", "a"]),
            "base b"
        );
        assert_eq!(open(&plan(&["base"]), &["prepare", "base", "a"]), "b");
    }
}
