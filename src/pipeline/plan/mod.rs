//! The steps of methods, each of which adds a stage to the graph.
//!
//! A [`RunPlanner`] holds the common settings of one run's stages. It turns one step of a method
//! (collect, improve, build examples, train, evaluate, ...) into a stage of the graph. Must not know
//! the order in which a method takes its steps. Executes nothing.

mod base_models;
mod evaluation;
mod examples;
mod rollouts;
mod training;

pub(super) use rollouts::BoostRollouts;

use crate::config::RunSpec;
use crate::data::{GraderConfig, PromptConfig};
use crate::domain::{Key, Seed, Split};
use crate::rollout::TeacherConfig;

use super::base_models::{BaseModelRegistry, PlanError};
use super::stage_graph::{RunStages, StageGraph};
use super::stage_node::StageNode;
use super::stage_spec::StageSpec;
use super::stages::{FingerprintedTask, PrepareStage, SamplingTask};
use super::time_estimate::{RunSizes, TimeEstimator};
use evaluation::PendingEvaluation;

/// The plan of one run's stages.
pub(super) struct RunPlanner<'a> {
    /// The run's settings.
    pub run: &'a RunSpec,
    models: &'a BaseModelRegistry,
    graph: &'a mut StageGraph,
    /// The training problems, with the settings that collection uses.
    on_train: SamplingTask,
    /// The evaluated problems, with the settings of evaluations.
    on_eval: SamplingTask,
    sizes: RunSizes,
    /// The latest checkpoint's evaluation, if the run evaluates only the last one.
    pending_evaluation: Option<PendingEvaluation>,
    /// The stages so far.
    pub run_stages: RunStages,
}

impl<'a> RunPlanner<'a> {
    pub fn new(
        run: &'a RunSpec,
        models: &'a BaseModelRegistry,
        graph: &'a mut StageGraph,
    ) -> Result<Self, PlanError> {
        let base = models.for_task(&run.base, &run.task)?;
        models.check_data(run, &base)?;
        let on_train = SamplingTask {
            problems: Key::from_bytes(b""),
            task: models.fingerprinted(&run.task)?,
            grader: run.grader(),
            prompt: PromptConfig {
                retry: run.collect.retry,
                repeat_question: run.collect.repeat_question,
                answer_form: run.answer_form(),
            },
            sampling: run.collect.sampling,
            seed: Seed(run.seed),
            backend: run.backend.clone(),
        };
        let on_eval = SamplingTask {
            task: models.fingerprinted(run.eval_task())?,
            grader: eval_grader(run),
            prompt: PromptConfig {
                retry: run.evaluate.retry.unwrap_or(run.collect.retry),
                answer_form: run.eval_answer_form(),
                ..on_train.prompt
            },
            sampling: run.evaluate.sampling,
            ..on_train.clone()
        };
        let sizes = RunSizes {
            time: TimeEstimator::for_base_model(&base),
            train_problems: run.data.train,
            train_samples: run.data.train * run.samples_per_problem as usize,
            trajectories: run.collect.trajectories as usize,
            eval_problems: run.data.get(run.evaluate.split),
            turns_by_stage: std::collections::BTreeMap::new(),
        };
        let mut plan = Self {
            run,
            models,
            graph,
            on_train,
            on_eval,
            sizes,
            pending_evaluation: None,
            run_stages: RunStages::default(),
        };
        plan.on_train.problems = plan.train_problems(run.data.train);
        let task = plan.on_eval.task.clone();
        let (count, seed) = (plan.sizes.eval_problems, run.eval_data_seed());
        plan.on_eval.problems = plan.prepare(task, run.evaluate.split, count, seed);
        Ok(plan)
    }

    /// The first `count` training problems.
    fn train_problems(&mut self, count: usize) -> Key {
        let task = self.on_train.task.clone();
        self.prepare(task, Split::Train, count, self.run.train_data_seed())
    }

    /// The stage that loads one split of a task.
    fn prepare(&mut self, task: FingerprintedTask, split: Split, count: usize, seed: u64) -> Key {
        let label = format!("prepare {} {}", task.config.name(), split.name());
        let stage = PrepareStage {
            task,
            split,
            count,
            seed,
        };
        self.add_stage(label, stage)
    }

    /// The training problems under the seed of a step.
    fn on_train(&self, seed: Seed) -> SamplingTask {
        SamplingTask {
            seed,
            ..self.on_train.clone()
        }
    }

    /// The evaluated problems under the seed of a step.
    fn on_eval(&self, step: &str) -> SamplingTask {
        SamplingTask {
            seed: self.stage_seed(step),
            ..self.on_eval.clone()
        }
    }

    /// Adds a stage with the label of this run's kind, e.g. `train weak round 2`.
    fn add_named(&mut self, name: &str, stage: impl Into<StageSpec>) -> Key {
        let spec = stage.into();
        let label = format!("{} {} {name}", spec.stage().kind().name(), self.run.base);
        self.add_stage(label, spec)
    }

    fn add_stage(&mut self, label: String, stage: impl Into<StageSpec>) -> Key {
        let spec = stage.into();
        let seconds = spec.stage().estimated_seconds(&self.sizes);
        let key = self.graph.add(StageNode::new(label, spec, seconds));
        if !self.run_stages.stages.contains(&key) {
            self.run_stages.stages.push(key.clone());
        }
        key
    }

    /// Whether the run may train on reference solutions: only if they are its teacher.
    pub fn can_train_on_references(&self) -> bool {
        self.run.collect.teacher == TeacherConfig::Reference
    }

    fn stage_seed(&self, stage: &str) -> Seed {
        Seed(self.run.seed).derive(stage)
    }
}

/// The grader behind the scores: the run's, or that of the evaluated task.
fn eval_grader(run: &RunSpec) -> GraderConfig {
    run.grader.unwrap_or_else(|| run.eval_task().grader())
}
