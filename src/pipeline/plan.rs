//! The stages that methods are put together from, each with its key.
//!
//! A [`Plan`] holds what one run's stages have in common and turns one step of a method (collect,
//! improve, weigh, train, evaluate, ...) into a stage of the graph. Must not know the order in
//! which a method takes its steps. Executes nothing.

use serde_json::{Value, json};

use crate::data::{GRADER, Prompt};
use crate::domain::{Key, Seed, Split};
use crate::rollout::{Rollouts, Teacher};
use crate::spec::{RunSpec, canonical};
use crate::train::{Reinforce, TrainConfig};

use super::base_plan::{base_plan, prepare, texts};
use super::estimate::Estimate;
use super::stage::{ExampleSource, TeacherJob};
use super::{Graph, Job, Kind, Models, PlanError, PlannedRun, Stage};

/// One run's stages in the making.
pub(super) struct Plan<'a> {
    /// What was asked for.
    pub run: &'a RunSpec,
    models: &'a Models,
    graph: &'a mut Graph,
    task: Value,
    train: Key,
    test: Key,
    estimate: Estimate,
    /// What was planned so far.
    pub done: PlannedRun,
}

impl<'a> Plan<'a> {
    pub fn new(run: &'a RunSpec, models: &'a Models, graph: &'a mut Graph) -> Result<Self, PlanError> {
        let base = models.for_task(&run.base, &run.task)?;
        models.check_data(run, &base)?;
        let mut plan = Self {
            run,
            models,
            graph,
            task: run.task.fingerprint()?,
            train: Key::of_bytes(b""),
            test: Key::of_bytes(b""),
            estimate: Estimate::of(&base, run),
            done: PlannedRun::default(),
        };
        let split = run.evaluate.split;
        plan.train = plan.add(prepare(&run.task, Split::Train, run.data.train, run.data.seed)?);
        plan.test = plan.add(prepare(&run.task, split, run.data.of(split), run.data.seed)?);
        Ok(plan)
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
    pub fn base(&mut self, name: &str) -> Result<Key, PlanError> {
        let plan = base_plan(&self.models.for_task(name, &self.run.task)?, &self.run.backend, self.graph)?;
        for key in [&plan.problems, &plan.tokenizer, &plan.weights] {
            self.ask(key);
        }
        Ok(plan.weights)
    }

    /// The policy's own turns, or those of another model.
    pub fn collect(&mut self, name: &str, round: u32, policy: &Key, turns: u32) -> Result<Key, PlanError> {
        let (policy, foreign) = match &self.run.collect.rollouts {
            Rollouts::Own => (policy.clone(), false),
            Rollouts::Model(other) => (self.base(other)?, true),
        };
        let (prompt, sampling) = (self.prompt(), self.run.collect.sampling);
        let seed = self.seed("collect").at(u64::from(round));
        let content = json!({
            "task": self.task, "grader": GRADER, "foreign": foreign, "turns": turns, "prompt": texts(prompt),
            "sampling": canonical(&sampling), "seed": seed,
        });
        let inputs = vec![self.train.clone(), policy.clone()];
        let job = Job::Collect {
            problems: self.train.clone(),
            task: self.run.task.clone(),
            policy,
            foreign,
            turns,
            prompt,
            sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        let estimate = self.estimate.sampling(self.run.data.train * turns as usize);
        Ok(self.add(Stage::new(Kind::Collect, self.label("collect", name), job, inputs, &content, estimate)))
    }

    /// The teacher's improved turn where every own turn failed.
    pub fn improve(
        &mut self,
        name: &str,
        round: u32,
        episodes: &Key,
        policy: &Key,
    ) -> Result<Key, PlanError> {
        let mut inputs = vec![self.train.clone(), episodes.clone()];
        let (teacher, samples) = match &self.run.collect.teacher {
            Teacher::Reference => (TeacherJob::Reference, 0),
            Teacher::Model(other) => (TeacherJob::Model(self.base(other)?), 1),
            Teacher::Oneself { best_of } => {
                (TeacherJob::Oneself { policy: policy.clone(), best_of: *best_of }, *best_of as usize)
            }
        };
        match &teacher {
            TeacherJob::Model(policy) | TeacherJob::Oneself { policy, .. } => inputs.push(policy.clone()),
            TeacherJob::Reference => {}
        }
        let (prompt, sampling) = (self.prompt(), self.run.collect.sampling);
        let (keep_right, seed) =
            (!self.run.collect.stop_on_success, self.seed("improve").at(u64::from(round)));
        let content = json!({
            "task": self.task, "grader": GRADER, "teacher": teacher_content(&teacher),
            "keep_right": keep_right, "prompt": texts(prompt), "sampling": canonical(&sampling), "seed": seed,
        });
        let job = Job::Improve {
            problems: self.train.clone(),
            task: self.run.task.clone(),
            episodes: episodes.clone(),
            teacher,
            keep_right,
            prompt,
            sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        let estimate = self.estimate.sampling(self.run.data.train * samples / 2);
        Ok(self.add(Stage::new(Kind::Improve, self.label("improve", name), job, inputs, &content, estimate)))
    }

    /// Which attempts become targets, and how much each counts.
    pub fn weigh(&mut self, name: &str, episodes: &Key) -> Key {
        let (selection, weighting) = (self.run.selection, self.run.weighting);
        let source = ExampleSource::Episodes { episodes: episodes.clone(), selection, weighting };
        let content = json!({ "selection": selection, "weighting": weighting });
        self.examples(self.label("weigh", name), source, vec![episodes.clone()], content)
    }

    /// Reference solutions as examples of turn 1.
    pub fn solutions(&mut self, problems: Option<usize>) -> Key {
        let source = ExampleSource::Solutions { problems };
        let content = json!({ "solutions": problems });
        self.examples(self.label("weigh", "solutions"), source, vec![], content)
    }

    fn examples(
        &mut self,
        label: String,
        source: ExampleSource,
        mut inputs: Vec<Key>,
        mut content: Value,
    ) -> Key {
        let prompt = self.prompt();
        content["prompt"] = texts(prompt);
        inputs.insert(0, self.train.clone());
        let job = Job::Weigh { problems: self.train.clone(), source, prompt };
        self.add(Stage::new(Kind::Weigh, label, job, inputs, &content, 0.5))
    }

    /// New weights.
    pub fn train(&mut self, name: &str, start: &Key, examples: &[Key]) -> Key {
        let (train, seed) = (self.run.train.clone(), self.seed("train"));
        let content = json!({ "train": canonical(&train), "seed": seed });
        let inputs: Vec<Key> = std::iter::once(start).chain(examples).cloned().collect();
        let estimate = self.estimate.training(examples.len(), &train);
        let job = Job::Train {
            start: start.clone(),
            examples: examples.to_vec(),
            train,
            seed,
            backend: self.run.backend.clone(),
        };
        self.add(Stage::new(Kind::Train, self.label("train", name), job, inputs, &content, estimate))
    }

    /// New weights by direct preference optimisation against the checkpoint that it starts from.
    #[expect(dead_code, reason = "the methods that make pairs are to come")]
    pub fn prefer(&mut self, name: &str, start: &Key, pairs: &[Key], beta: f64) -> Key {
        let (train, seed) = (self.run.train.clone(), self.seed("prefer"));
        let content = json!({ "train": canonical(&train), "beta": beta, "seed": seed });
        let inputs: Vec<Key> = std::iter::once(start).chain(pairs).cloned().collect();
        // Two dialogues a pair, and a pass without gradients before the one with them.
        let estimate = 3.0 * self.estimate.training(pairs.len(), &train);
        let (start, pairs, backend) = (start.clone(), pairs.to_vec(), self.run.backend.clone());
        let job = Job::Prefer { start, pairs, beta, train, seed, backend };
        self.add(Stage::new(Kind::Prefer, self.label("prefer", name), job, inputs, &content, estimate))
    }

    /// New weights by online reinforcement learning, held near `reference`.
    pub fn reinforce(
        &mut self,
        name: &str,
        start: &Key,
        reference: &Key,
        settings: Reinforce,
        learning_rate: f64,
    ) -> Key {
        let defaults = TrainConfig::default();
        let (epochs, batch) = (defaults.epochs, defaults.batch);
        let train = TrainConfig { epochs, batch, learning_rate, ..self.run.train.clone() };
        let (prompt, sampling) = (self.prompt(), self.run.collect.sampling);
        let seed = self.seed("reinforce").named(name);
        let content = json!({
            "task": self.task, "grader": GRADER, "settings": settings, "prompt": texts(prompt),
            "sampling": canonical(&sampling), "train": canonical(&train), "seed": seed,
        });
        let inputs = vec![self.train.clone(), start.clone(), reference.clone()];
        let job = Job::Reinforce {
            problems: self.train.clone(),
            task: self.run.task.clone(),
            start: start.clone(),
            reference: reference.clone(),
            settings,
            prompt,
            sampling,
            train,
            seed,
            backend: self.run.backend.clone(),
        };
        let estimate = self.estimate.practice(&settings);
        let label = self.label("reinforce", name);
        self.add(Stage::new(Kind::Reinforce, label, job, inputs, &content, estimate))
    }

    /// The sequential log without oracle, and parallel first turns.
    pub fn evaluate(&mut self, name: &str, policy: &Key, trained: u32) {
        let config = self.run.evaluate.clone();
        let window = config.window.resolve(trained.max(1));
        let (prompt, seed) = (self.prompt(), self.seed("evaluate"));
        let content = json!({
            "task": self.task, "grader": GRADER, "turns": config.turns, "samples": config.samples,
            "window": window, "prompt": texts(prompt), "sampling": canonical(&config.sampling), "seed": seed,
        });
        let inputs = vec![self.test.clone(), policy.clone()];
        let problems = self.run.data.of(config.split);
        let estimate = self.estimate.sampling(problems * (config.turns + config.samples - 1) as usize);
        let job = Job::Evaluate {
            problems: self.test.clone(),
            task: self.run.task.clone(),
            policy: policy.clone(),
            turns: config.turns,
            samples: config.samples,
            window,
            prompt,
            sampling: config.sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        let label = self.label("evaluate", name);
        let key = self.add(Stage::new(Kind::Evaluate, label, job, inputs, &content, estimate));
        self.done.checkpoints.push((name.to_owned(), policy.clone(), key));
    }

    /// What a person reads of a stage, e.g. `train weak round 2`.
    fn label(&self, work: &str, what: &str) -> String {
        format!("{work} {} {what}", self.run.base)
    }

    fn prompt(&self) -> Prompt {
        Prompt { retry: self.run.collect.retry, repeat_question: self.run.collect.repeat_question }
    }

    fn seed(&self, stage: &str) -> Seed {
        Seed(self.run.seed).named(stage)
    }
}

/// The teacher without checkpoints, which are inputs of the stage.
fn teacher_content(teacher: &TeacherJob) -> Value {
    match teacher {
        TeacherJob::Reference => json!("reference"),
        TeacherJob::Model(_) => json!("model"),
        TeacherJob::Oneself { best_of, .. } => json!({ "self": best_of }),
    }
}
