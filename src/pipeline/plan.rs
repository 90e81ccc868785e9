//! The stages that methods are put together from, each with its key.
//!
//! A [`RunPlanner`] holds what one run's stages have in common and turns one step of a method (collect,
//! improve, weigh, train, evaluate, ...) into a stage of the graph. Must not know the order in
//! which a method takes its steps. Executes nothing.

mod evaluation;
mod examples;
mod glore;
mod rollouts;
mod training;
mod verifier;

pub(super) use glore::GloreCheckpoints;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{BaseModelRef, RunSpec};
use crate::data::{GraderConfig, PromptConfig};
use crate::domain::{Key, Seed, Split};
use crate::rollout::TeacherConfig;

use super::base_plan::{plan_base_model, prepare_stage};
use super::time_estimate::TimeEstimator;
use super::{BaseModelRegistry, PlanError, RunStages, StageGraph, StageNode};
use evaluation::PendingEvaluation;

/// One run's stages in the making.
pub(super) struct RunPlanner<'a> {
    /// What was asked for.
    pub run: &'a RunSpec,
    models: &'a BaseModelRegistry,
    graph: &'a mut StageGraph,
    task_fingerprint: Value,
    /// The task whose problems are evaluated on.
    eval_task_fingerprint: Value,
    train_problems: Key,
    eval_problems: Key,
    estimator: TimeEstimator,
    /// About how many turns the examples of each stage have.
    turns_by_stage: BTreeMap<Key, usize>,
    /// The latest checkpoint's evaluation, where only the last one's is made.
    pending_evaluation: Option<PendingEvaluation>,
    /// What was planned so far.
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
        let task = models.fingerprint(&run.task)?;
        let asked = run.eval_task();
        let mut plan = Self {
            run,
            models,
            graph,
            task_fingerprint: task,
            eval_task_fingerprint: models.fingerprint(asked)?,
            train_problems: Key::from_bytes(b""),
            eval_problems: Key::from_bytes(b""),
            estimator: TimeEstimator::for_base_model(&base),
            turns_by_stage: BTreeMap::new(),
            pending_evaluation: None,
            run_stages: RunStages::default(),
        };
        let (split, problems) = (run.evaluate.split, run.data.train);
        plan.train_problems = plan.add_stage(prepare_stage(
            &run.task,
            &plan.task_fingerprint,
            Split::Train,
            problems,
            run.train_data_seed(),
        ));
        let problems = run.data.get(split);
        plan.eval_problems = plan.add_stage(prepare_stage(
            asked,
            &plan.eval_task_fingerprint,
            split,
            problems,
            run.eval_data_seed(),
        ));
        Ok(plan)
    }

    /// The grader behind the scores: the one that the run names, or that of the evaluated task.
    fn eval_grader(&self) -> GraderConfig {
        self.run
            .grader
            .unwrap_or_else(|| self.run.eval_task().grader())
    }

    fn add_stage(&mut self, stage: StageNode) -> Key {
        let key = self.graph.add(stage);
        self.require(&key);
        key
    }

    fn require(&mut self, key: &Key) {
        if !self.run_stages.stages.contains(key) {
            self.run_stages.stages.push(key.clone());
        }
    }

    /// The checkpoint of a base model.
    pub fn base_checkpoint(&mut self, base: &BaseModelRef) -> Result<Key, PlanError> {
        let base = self.models.for_task(base, &self.run.task)?;
        let plan = plan_base_model(&base, &self.run.backend, self.models, self.graph)?;
        plan.stages.iter().for_each(|key| self.require(key));
        Ok(plan.weights)
    }

    /// Whether reference solutions may be trained on: only where they are the teacher.
    pub fn can_train_on_references(&self) -> bool {
        self.run.collect.teacher == TeacherConfig::Reference
    }

    /// What a person reads of a stage, e.g. `train weak round 2`.
    fn stage_label(&self, work: &str, what: &str) -> String {
        format!("{work} {} {what}", self.run.base)
    }

    fn prompt(&self) -> PromptConfig {
        let (collect, answer_form) = (&self.run.collect, self.run.answer_form());
        PromptConfig {
            retry: collect.retry,
            repeat_question: collect.repeat_question,
            answer_form,
        }
    }

    /// The wording of evaluations.
    fn eval_prompt(&self) -> PromptConfig {
        let retry = self.run.evaluate.retry.unwrap_or(self.run.collect.retry);
        PromptConfig {
            retry,
            answer_form: self.run.eval_answer_form(),
            ..self.prompt()
        }
    }

    fn stage_seed(&self, stage: &str) -> Seed {
        Seed(self.run.seed).derive(stage)
    }
}
