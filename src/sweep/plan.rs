//! The plan of a sweep: its runs, the stages that they share, and the finished ones in the workspace.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::ExperimentSpec;
use crate::domain::Key;
use crate::pipeline::{
    BaseModelRegistry, ResourceEstimate, RunStages, StageGraph, StageKind, StageManifest,
    Workspace, plan_run,
};

use super::{SweepCell, SweepError, expand_experiment, forecast_seconds};

/// An experiment with its runs and their stages.
#[derive(Clone, Debug)]
pub struct SweepPlan {
    /// The experiment.
    pub experiment: ExperimentSpec,
    /// Its runs in order.
    pub runs: Vec<SweepRun>,
    /// Every stage once, inputs first.
    pub graph: StageGraph,
    /// The finished stages.
    pub finished: BTreeMap<Key, StageManifest>,
}

/// One run with its stages.
#[derive(Clone, Debug)]
pub struct SweepRun {
    /// Its identity.
    pub key: Key,
    /// Its label, axes and settings.
    pub cell: SweepCell,
    /// Its stages.
    pub stages: RunStages,
    /// Its memory and disk needs.
    pub resources: ResourceEstimate,
}

impl SweepPlan {
    /// Expands an experiment, plans every run, and looks for finished stages in `workspace`.
    ///
    /// # Errors
    /// If the experiment does not expand, a base model or a data file is missing or unusable, or
    /// the workspace cannot be read.
    pub fn from_experiment(
        experiment: ExperimentSpec,
        models: &BaseModelRegistry,
        workspace: &Workspace,
    ) -> Result<Self, SweepError> {
        let mut graph = StageGraph::default();
        let mut runs = Vec::new();
        for cell in expand_experiment(&experiment)? {
            let stages = plan_run(&cell.spec, models, &mut graph);
            let planned = stages
                .and_then(|stages| Ok((stages, ResourceEstimate::for_run(&cell.spec, models)?)));
            let (stages, resources) = planned.map_err(|source| SweepError::Plan {
                label: cell.label.clone(),
                source: Box::new(source),
            })?;
            runs.push(SweepRun {
                key: cell.spec.key(),
                cell,
                stages,
                resources,
            });
        }
        let mut plan = Self {
            experiment,
            runs,
            graph,
            finished: BTreeMap::new(),
        };
        plan.refresh_finished(workspace)?;
        Ok(plan)
    }

    /// Looks again for finished stages.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn refresh_finished(&mut self, workspace: &Workspace) -> Result<(), SweepError> {
        self.finished.clear();
        for stage in self.graph.stages() {
            if let Some(manifest) = workspace.find_manifest(&stage.key)? {
                self.finished.insert(stage.key.clone(), manifest);
            }
        }
        Ok(())
    }

    /// The number of stages that the runs need; a shared one counts once per run.
    #[must_use]
    pub fn requested_stages(&self) -> usize {
        self.runs
            .iter()
            .map(|run| run.stages.stages.iter().collect::<BTreeSet<_>>().len())
            .sum()
    }

    /// Expected seconds of the stages to execute, given those with `recorded` results.
    ///
    /// A recorded stage is executed again only if its files are gone and another stage to execute
    /// reads them.
    #[must_use]
    pub fn open_stages(&self, recorded: &BTreeSet<Key>) -> BTreeMap<Key, f64> {
        let mut open = BTreeMap::new();
        let mut read = BTreeSet::new();
        for stage in self.graph.stages().iter().rev() {
            let wanted = !recorded.contains(&stage.key) || read.contains(&stage.key);
            if wanted && !self.finished.contains_key(&stage.key) {
                open.insert(stage.key.clone(), stage.estimated_seconds);
                read.extend(stage.inputs.iter().cloned());
            }
        }
        open
    }

    /// Disk bytes of the checkpoints to train.
    #[must_use]
    pub fn new_checkpoint_bytes(&self) -> u64 {
        let mut checkpoints: BTreeMap<&Key, u64> = BTreeMap::new();
        for run in &self.runs {
            let stages = run.stages.stages.iter();
            for key in stages.filter(|key| self.will_write_checkpoint(key)) {
                checkpoints.insert(key, run.resources.checkpoint_bytes);
            }
        }
        checkpoints.values().sum()
    }

    fn will_write_checkpoint(&self, key: &Key) -> bool {
        let trains = self.graph.get(key).is_some_and(|stage| {
            matches!(
                stage.kind,
                StageKind::Train | StageKind::Prefer | StageKind::TrainOnline
            )
        });
        trains && !self.finished.contains_key(key)
    }

    /// The run that needs the most memory on its device.
    #[must_use]
    pub fn largest_run(&self) -> Option<&SweepRun> {
        self.runs
            .iter()
            .max_by_key(|run| run.resources.peak_memory().0)
    }

    /// Expected seconds of everything that is not finished, with `jobs` workers.
    #[must_use]
    pub fn estimated_seconds(&self, jobs: usize) -> f64 {
        forecast_seconds(
            self.graph.stages(),
            &self.open_stages(&BTreeSet::new()),
            jobs,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_experiment;
    use crate::sweep::fixtures::{graph, key_for, manifest, stages, sweep_run};

    /// Two runs over `prepare -> base -> train a, train b`, with some stages finished.
    fn plan(finished: &[&str]) -> SweepPlan {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        let text =
            "name = \"x\"\nseeds = [0, 1]\n[run]\nbase = \"weak\"\ntask = { word-problems = {} }\n";
        std::fs::write(&file, text).unwrap();
        let experiment = read_experiment(&file, &[]).unwrap();
        let stages = stages(&[
            ("prepare", "", 1.0),
            ("base", "prepare", 8.0),
            ("a", "base", 2.0),
            ("b", "base", 4.0),
        ]);
        let runs = expand_experiment(&experiment)
            .unwrap()
            .into_iter()
            .zip(["a", "b"])
            .map(|(cell, own)| {
                let stages = ["prepare", "base", "base", own].map(key_for).to_vec();
                sweep_run(cell, stages)
            });
        let finished = finished
            .iter()
            .map(|label| (key_for(label), manifest(&key_for(label), 1.0)))
            .collect();
        SweepPlan {
            runs: runs.collect(),
            experiment,
            graph: graph(&stages),
            finished,
        }
    }

    fn open(plan: &SweepPlan, recorded: &[&str]) -> String {
        let open = plan.open_stages(&recorded.iter().map(|label| key_for(label)).collect());
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
        assert_eq!((plan.requested_stages(), plan.graph.stages().len()), (6, 4));
        assert!((plan.estimated_seconds(1) - 15.0).abs() < 1e-9);
        assert!((plan.estimated_seconds(2) - 13.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_finished_is_not_executed_again() {
        let plan = plan(&["prepare", "base", "a"]);
        assert_eq!(open(&plan, &[]), "b");
        assert!((plan.estimated_seconds(2) - 4.0).abs() < 1e-9);
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
