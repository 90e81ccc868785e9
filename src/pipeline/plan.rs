//! The stages that methods are put together from, each with its key.
//!
//! A [`Plan`] holds what one run's stages have in common and turns one step of a method (collect,
//! improve, weigh, train, evaluate, ...) into a stage of the graph. Must not know the order in
//! which a method takes its steps. Executes nothing.

mod evaluation;
mod examples;
mod glore;
mod training;
mod unroll;
mod verifier;

pub(super) use glore::Bench;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::data::{GraderConfig, Prompt};
use crate::domain::{Key, Seed, Split};
use crate::rollout::Teacher;
use crate::spec::{BaseName, RunSpec};

use super::base_plan::{base_plan, prepare};
use super::estimate::Estimate;
use super::{Graph, Models, PlanError, PlannedRun, Stage};
use evaluation::Evaluation;

/// One run's stages in the making.
pub(super) struct Plan<'a> {
    /// What was asked for.
    pub run: &'a RunSpec,
    models: &'a Models,
    graph: &'a mut Graph,
    task: Value,
    /// The task whose problems are evaluated on.
    asked: Value,
    train: Key,
    test: Key,
    estimate: Estimate,
    /// About how many turns the examples of each stage have.
    turns: BTreeMap<Key, usize>,
    /// The latest checkpoint's evaluation, where only the last one's is made.
    last: Option<Evaluation>,
    /// What was planned so far.
    pub done: PlannedRun,
}

impl<'a> Plan<'a> {
    pub fn new(
        run: &'a RunSpec,
        models: &'a Models,
        graph: &'a mut Graph,
    ) -> Result<Self, PlanError> {
        let base = models.for_task(&run.base, &run.task)?;
        models.check_data(run, &base)?;
        let task = models.fingerprint(&run.task)?;
        let asked = run.evaluated_task();
        let mut plan = Self {
            run,
            models,
            graph,
            task,
            asked: models.fingerprint(asked)?,
            train: Key::of_bytes(b""),
            test: Key::of_bytes(b""),
            estimate: Estimate::of(&base),
            turns: BTreeMap::new(),
            last: None,
            done: PlannedRun::default(),
        };
        let (split, problems) = (run.evaluate.split, run.data.train);
        plan.train = plan.add(prepare(
            &run.task,
            &plan.task,
            Split::Train,
            problems,
            run.train_seed(),
        ));
        let problems = run.data.of(split);
        plan.test = plan.add(prepare(
            asked,
            &plan.asked,
            split,
            problems,
            run.evaluated_seed(),
        ));
        Ok(plan)
    }

    /// The grader behind the scores: the one that the run names, or that of the evaluated task.
    fn asked_grader(&self) -> GraderConfig {
        self.run
            .grader
            .unwrap_or_else(|| self.run.evaluated_task().grader())
    }

    fn add(&mut self, stage: Stage) -> Key {
        let key = self.graph.add(stage);
        self.ask(&key);
        key
    }

    fn ask(&mut self, key: &Key) {
        if !self.done.stages.contains(key) {
            self.done.stages.push(key.clone());
        }
    }

    /// The checkpoint of a base model.
    pub fn base(&mut self, base: &BaseName) -> Result<Key, PlanError> {
        let base = self.models.for_task(base, &self.run.task)?;
        let plan = base_plan(&base, &self.run.backend, self.models, self.graph)?;
        plan.stages.iter().for_each(|key| self.ask(key));
        Ok(plan.weights)
    }

    /// Whether reference solutions may be trained on: only where they are the teacher.
    pub fn has_references(&self) -> bool {
        self.run.collect.teacher == Teacher::Reference
    }

    /// What a person reads of a stage, e.g. `train weak round 2`.
    fn label(&self, work: &str, what: &str) -> String {
        format!("{work} {} {what}", self.run.base)
    }

    fn prompt(&self) -> Prompt {
        let (collect, answer_form) = (&self.run.collect, self.run.answer_form());
        Prompt {
            retry: collect.retry,
            repeat_question: collect.repeat_question,
            answer_form,
        }
    }

    /// The wording of evaluations.
    fn asked_prompt(&self) -> Prompt {
        let retry = self.run.evaluate.retry.unwrap_or(self.run.collect.retry);
        Prompt {
            retry,
            answer_form: self.run.evaluated_form(),
            ..self.prompt()
        }
    }

    fn seed(&self, stage: &str) -> Seed {
        Seed(self.run.seed).named(stage)
    }
}
