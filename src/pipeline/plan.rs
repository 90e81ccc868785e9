//! The stages that methods are put together from, each with its key.
//!
//! A [`Plan`] holds what one run's stages have in common and turns one step of a method (collect,
//! improve, weigh, train, evaluate, ...) into a stage of the graph. Must not know the order in
//! which a method takes its steps. Executes nothing.

mod glore;
mod verifier;

pub(super) use glore::Bench;

use serde_json::{Value, json};

use crate::data::{GraderConfig, Inquiry, Prompt, TaskConfig};
use crate::domain::{Key, Seed, Split};
use crate::rollout::{EvaluateConfig, Protocol, Rollouts, Teacher};
use crate::spec::{PreferenceConfig, RunSpec, canonical};
use crate::train::{Reinforce, Selection, TrainConfig, Weighting};

use super::base_plan::{base_plan, prepare, texts};
use super::estimate::Estimate;
use super::stage::{Asked, ExampleSource, TeacherJob};
use super::{Graph, Job, Kind, Models, PlanError, PlannedRun, Stage};

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
            asked: Value::Null,
            train: Key::of_bytes(b""),
            test: Key::of_bytes(b""),
            estimate: Estimate::of(&base, run),
            done: PlannedRun::default(),
        };
        let (split, asked) = (run.evaluate.split, plan.asked());
        plan.asked = asked.fingerprint()?;
        plan.train = plan.add(prepare(&run.task, Split::Train, run.data.train, run.data.seed)?);
        plan.test = plan.add(prepare(asked, split, run.data.of(split), run.data.seed)?);
        Ok(plan)
    }

    /// The task that is evaluated on.
    fn asked(&self) -> &'a TaskConfig {
        self.run.evaluate.task.as_ref().unwrap_or(&self.run.task)
    }

    /// The grader behind the scores: the one that the run names, or that of the evaluated task.
    fn asked_grader(&self) -> GraderConfig {
        self.run.grader.unwrap_or_else(|| self.asked().grader())
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
        let problems = self.train.clone();
        let seed = self.seed("collect").at(u64::from(round));
        let unroll = Unrolled {
            name,
            problems,
            policy,
            foreign,
            turns,
            samples: self.run.collect.trajectories,
            protocol: Protocol::Retry,
            seed,
        };
        Ok(self.unroll(unroll))
    }

    /// Several trajectories per problem in which the policy verifies its own attempts.
    pub fn converse(&mut self, name: &str, policy: &Key, turns: u32) -> Key {
        let (problems, samples) = (self.train.clone(), self.run.candidates);
        let (policy, protocol, seed) = (policy.clone(), Protocol::SelfVerify, self.seed("converse"));
        self.unroll(Unrolled { name, problems, policy, foreign: false, turns, samples, protocol, seed })
    }

    /// A capable model's own turns on the first so many training problems.
    pub fn capable(&mut self, other: &str, problems: usize, turns: u32) -> Result<(Key, Key), PlanError> {
        let problems = self.add(prepare(&self.run.task, Split::Train, problems, self.run.data.seed)?);
        let policy = self.base(other)?;
        let unroll = Unrolled {
            name: "boost",
            problems: problems.clone(),
            policy,
            foreign: true,
            turns,
            samples: 1,
            protocol: Protocol::Retry,
            seed: self.seed("boost"),
        };
        Ok((problems, self.unroll(unroll)))
    }

    fn unroll(&mut self, asked: Unrolled<'_>) -> Key {
        let Unrolled { name, problems, policy, foreign, turns, samples, protocol, seed } = asked;
        let (prompt, sampling, redraws) =
            (self.prompt(), self.run.collect.sampling, self.run.collect.redraws);
        let mut content = json!({
            "task": self.task, "grader": self.run.grader().identity(), "foreign": foreign, "turns": turns, "prompt": texts(prompt),
            "sampling": canonical(&sampling), "redraws": redraws, "seed": seed,
        });
        if samples > 1 {
            content["samples"] = json!(samples);
        }
        if let Some(inquiry) = protocol.inquiry() {
            content["protocol"] = json!(protocol);
            content["inquiry"] = json!(prompt.inquiry_key(inquiry));
        }
        let inputs = vec![problems.clone(), policy.clone()];
        let job = Job::Collect {
            problems,
            task: self.run.task.clone(),
            grader: self.run.grader(),
            policy,
            foreign,
            turns,
            samples,
            protocol,
            redraws,
            prompt,
            sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        let attempts = self.run.data.train * (turns * samples) as usize;
        let estimate = self.estimate.sampling(attempts);
        self.add(Stage::new(Kind::Collect, self.label("collect", name), job, inputs, &content, estimate))
    }

    /// Several attempts at every training problem; `rationalise` adds one that is shown the answer
    /// where none is right.
    pub fn sample(&mut self, name: &str, round: u32, policy: &Key, rationalise: bool) -> Key {
        let (prompt, sampling, samples) = (self.prompt(), self.run.collect.sampling, self.run.candidates);
        let seed = self.seed("sample").at(u64::from(round));
        let mut content = json!({
            "task": self.task, "grader": self.run.grader().identity(), "samples": samples, "prompt": texts(prompt),
            "sampling": canonical(&sampling), "seed": seed,
        });
        if rationalise {
            content["hint"] = json!(Prompt::hint_key());
        }
        let job = Job::Sample {
            problems: self.train.clone(),
            task: self.run.task.clone(),
            grader: self.run.grader(),
            policy: policy.clone(),
            samples,
            rationalise,
            prompt,
            sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        let inputs = vec![self.train.clone(), policy.clone()];
        let estimate = self.estimate.sampling(self.run.data.train * samples as usize);
        self.add(Stage::new(Kind::Sample, self.label("sample", name), job, inputs, &content, estimate))
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
            "task": self.task, "grader": self.run.grader().identity(), "teacher": teacher_content(&teacher),
            "keep_right": keep_right, "prompt": texts(prompt), "sampling": canonical(&sampling), "seed": seed,
        });
        let job = Job::Improve {
            problems: self.train.clone(),
            task: self.run.task.clone(),
            grader: self.run.grader(),
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
        let run = self.run;
        let source = ExampleSource::Episodes {
            episodes: episodes.clone(),
            deduplicate: run.deduplicate,
            only_solved: run.only_solved,
            selection: run.selection,
            weighting: run.weighting,
        };
        let mut content = json!({ "selection": run.selection, "weighting": run.weighting });
        for (option, chosen) in [("deduplicate", run.deduplicate), ("only_solved", run.only_solved)] {
            if chosen {
                content[option] = json!(true);
            }
        }
        let problems = self.train.clone();
        self.examples(self.label("weigh", name), &problems, source, vec![episodes.clone()], content)
    }

    /// The right attempts of a capable model over several turns, each counting alike.
    pub fn imitate(&mut self, (problems, episodes): &(Key, Key)) -> Key {
        let (selection, weighting) = (Selection::Success, Weighting::Uniform);
        let source = ExampleSource::Episodes {
            episodes: episodes.clone(),
            deduplicate: false,
            only_solved: false,
            selection,
            weighting,
        };
        let content = json!({ "selection": selection, "weighting": weighting });
        self.examples(self.label("weigh", "boost"), problems, source, vec![episodes.clone()], content)
    }

    /// Attempts as answers to the plain question.
    pub fn answers(&mut self, name: &str, episodes: &[Key], right_only: bool) -> Key {
        let source = ExampleSource::Attempts { episodes: episodes.to_vec(), right_only };
        self.filtered(name, source, episodes, json!({ "attempts": if right_only { "right" } else { "all" } }))
    }

    /// Wrong attempts with a right one after each.
    pub fn pairs(&mut self, name: &str, episodes: &[Key]) -> Key {
        let (references, seed) = (self.has_references(), self.seed("pairs"));
        let keep_right = !self.run.collect.stop_on_success;
        let source = ExampleSource::Pairs { episodes: episodes.to_vec(), references, keep_right, seed };
        let content =
            json!({ "pairs": { "references": references, "keep_right": keep_right, "seed": seed } });
        self.filtered(name, source, episodes, content)
    }

    /// Attempts with the verification that is due.
    pub fn verified(&mut self, name: &str, episodes: &[Key]) -> Key {
        let (references, seed) = (self.has_references(), self.seed("verified"));
        let source = ExampleSource::Verified { episodes: episodes.to_vec(), references, seed };
        let texts = self.prompt().inquiry_key(Inquiry::Verify);
        let content = json!({ "verified": { "references": references, "inquiry": texts, "seed": seed } });
        self.filtered(name, source, episodes, content)
    }

    /// Whether reference solutions may be trained on: only where they are the teacher.
    pub fn has_references(&self) -> bool {
        self.run.collect.teacher == Teacher::Reference
    }

    fn filtered(&mut self, name: &str, source: ExampleSource, episodes: &[Key], content: Value) -> Key {
        let problems = self.train.clone();
        self.examples(self.label("weigh", name), &problems, source, episodes.to_vec(), content)
    }

    /// Reference solutions as examples of turn 1.
    pub fn solutions(&mut self, problems: Option<usize>) -> Key {
        let source = ExampleSource::Solutions { problems };
        let content = json!({ "solutions": problems });
        let problems = self.train.clone();
        self.examples(self.label("weigh", "solutions"), &problems, source, vec![], content)
    }

    fn examples(
        &mut self,
        label: String,
        problems: &Key,
        source: ExampleSource,
        mut inputs: Vec<Key>,
        mut content: Value,
    ) -> Key {
        let prompt = self.prompt();
        content["prompt"] = texts(prompt);
        inputs.insert(0, problems.clone());
        let job = Job::Weigh { problems: problems.clone(), source, prompt };
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
    pub fn prefer(&mut self, name: &str, start: &Key, pairs: &[Key]) -> Key {
        let PreferenceConfig { beta, epochs, learning_rate } = self.run.preference;
        let train = TrainConfig { epochs, learning_rate, ..self.run.train.clone() };
        let seed = self.seed("prefer");
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
            "task": self.task, "grader": self.run.grader().identity(), "settings": settings, "prompt": texts(prompt),
            "sampling": canonical(&sampling), "train": canonical(&train), "seed": seed,
        });
        let inputs = vec![self.train.clone(), start.clone(), reference.clone()];
        let job = Job::Reinforce {
            problems: self.train.clone(),
            grader: self.run.grader(),
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

    /// The sequential log and parallel first turns, by the protocol that is asked for.
    pub fn evaluate(&mut self, name: &str, policy: &Key, trained: u32) {
        self.evaluate_by(self.run.evaluate.protocol, name, policy, trained);
    }

    /// The same by another protocol.
    pub fn evaluate_by(&mut self, protocol: Protocol, name: &str, policy: &Key, trained: u32) {
        let samples = self.run.evaluate.samples;
        self.evaluated(protocol, samples, name, policy, trained);
    }

    /// The evaluation of a policy that knows single turns, with at least so many first attempts.
    pub fn evaluate_samples(&mut self, name: &str, policy: &Key, samples: u32) -> Key {
        let samples = samples.max(self.run.evaluate.samples);
        self.evaluated(self.run.evaluate.protocol, samples, name, policy, 1)
    }

    fn evaluated(&mut self, protocol: Protocol, samples: u32, name: &str, policy: &Key, trained: u32) -> Key {
        let config = EvaluateConfig { samples, ..self.run.evaluate.clone() };
        let window = config.window.resolve(trained.max(1));
        let seed = self.seed("evaluate");
        let prompt = Prompt { retry: config.retry.unwrap_or(self.run.collect.retry), ..self.prompt() };
        let mut content = json!({
            "task": self.asked, "grader": self.asked_grader().identity(), "turns": config.turns, "samples": config.samples,
            "window": window, "prompt": texts(prompt), "sampling": canonical(&config.sampling), "seed": seed,
        });
        if config.oracle {
            content["oracle"] = json!(true);
        }
        if let Some(inquiry) = protocol.inquiry() {
            content["protocol"] = json!(protocol);
            content["inquiry"] = json!(prompt.inquiry_key(inquiry));
        }
        let inputs = vec![self.test.clone(), policy.clone()];
        let problems = self.run.data.of(config.split);
        let estimate = self.estimate.sampling(problems * (config.turns + config.samples - 1) as usize);
        let job = Job::Evaluate {
            problems: self.test.clone(),
            task: self.asked().clone(),
            grader: self.asked_grader(),
            policy: policy.clone(),
            turns: config.turns,
            samples: config.samples,
            window,
            protocol,
            oracle: config.oracle,
            prompt,
            sampling: config.sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        let label = self.label("evaluate", name);
        let key = self.add(Stage::new(Kind::Evaluate, label, job, inputs, &content, estimate));
        self.done.checkpoints.push((name.to_owned(), policy.clone(), key.clone()));
        self.analyse(name, policy, window);
        key
    }

    /// The analyses of an evaluated checkpoint.
    fn analyse(&mut self, name: &str, policy: &Key, window: Option<u32>) {
        let config = self.run.analyses.clone();
        if let Some(most) = config.unsolved.last() {
            let asked = self.asked_of(policy, self.run.evaluate.turns, window, "unsolved");
            let content = self.asked_content(&asked, &json!({ "budgets": config.unsolved }));
            let attempts = self.run.data.of(self.run.evaluate.split) * (asked.turns * most * 2) as usize;
            let (estimate, label) = (self.estimate.sampling(attempts), self.label("unsolved", name));
            let job = Job::Unsolved { asked, budgets: config.unsolved };
            self.analysis(Kind::Unsolved, (name, label), policy, job, &content, estimate);
        }
        if config.likelihood_rollouts > 0 {
            let rollouts = config.likelihood_rollouts;
            let asked = self.asked_of(policy, config.likelihood_turns, window, "likelihood");
            let content = self.asked_content(&asked, &json!({ "rollouts": rollouts }));
            let attempts = self.run.data.of(self.run.evaluate.split) * (asked.turns * rollouts) as usize;
            let (estimate, label) = (self.estimate.sampling(attempts), self.label("likelihood", name));
            let job = Job::Likelihood { asked, rollouts };
            self.analysis(Kind::Likelihood, (name, label), policy, job, &content, estimate);
        }
    }

    fn analysis(
        &mut self,
        kind: Kind,
        (name, label): (&str, String),
        policy: &Key,
        job: Job,
        content: &Value,
        estimate: f64,
    ) {
        let inputs = vec![self.test.clone(), policy.clone()];
        let key = self.add(Stage::new(kind, label, job, inputs, content, estimate));
        self.done.checkpoints.push((name.to_owned(), policy.clone(), key));
    }

    fn asked_of(&self, policy: &Key, turns: u32, window: Option<u32>, stage: &str) -> Asked {
        let config = &self.run.evaluate;
        Asked {
            problems: self.test.clone(),
            task: self.asked().clone(),
            grader: self.asked_grader(),
            policy: policy.clone(),
            turns,
            window,
            prompt: Prompt { retry: config.retry.unwrap_or(self.run.collect.retry), ..self.prompt() },
            sampling: config.sampling,
            seed: self.seed(stage),
            backend: self.run.backend.clone(),
        }
    }

    fn asked_content(&self, asked: &Asked, analysis: &Value) -> Value {
        json!({
            "task": self.asked, "grader": asked.grader.identity(), "analysis": analysis, "turns": asked.turns,
            "window": asked.window, "prompt": texts(asked.prompt), "sampling": canonical(&asked.sampling),
            "seed": asked.seed,
        })
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

/// Trajectories that are to be unrolled.
struct Unrolled<'n> {
    name: &'n str,
    problems: Key,
    policy: Key,
    foreign: bool,
    turns: u32,
    samples: u32,
    protocol: Protocol,
    seed: Seed,
}

/// The teacher without checkpoints, which are inputs of the stage.
fn teacher_content(teacher: &TeacherJob) -> Value {
    match teacher {
        TeacherJob::Reference => json!("reference"),
        TeacherJob::Model(_) => json!("model"),
        TeacherJob::Oneself { best_of, .. } => json!({ "self": best_of }),
    }
}
