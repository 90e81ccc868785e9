//! The steps that put a checkpoint to problems: evaluations and analyses.

use serde_json::{Value, json};

use crate::domain::Key;
use crate::pipeline::base_plan::texts;
use crate::pipeline::job::Asked;
use crate::pipeline::{Job, Kind, Stage};
use crate::rollout::{Checkpoints, EvaluateConfig, Protocol};
use crate::spec::canonical;

use super::Plan;

/// A checkpoint that is put to problems.
pub struct Evaluation {
    name: String,
    policy: Key,
    protocol: Protocol,
    samples: u32,
    /// Own turns before the improved one that it was trained on.
    trained: u32,
}

impl Plan<'_> {
    /// The sequential log and parallel first turns, by the protocol that is asked for.
    pub fn evaluate(&mut self, name: &str, policy: &Key, trained: u32) {
        self.evaluate_by(self.run.evaluate.protocol, name, policy, trained);
    }

    /// The same by another protocol.
    pub fn evaluate_by(&mut self, protocol: Protocol, name: &str, policy: &Key, trained: u32) {
        let samples = self.run.evaluate.samples;
        let evaluation = Evaluation {
            name: name.to_owned(),
            policy: policy.clone(),
            protocol,
            samples,
            trained,
        };
        match self.run.evaluate.checkpoints {
            Checkpoints::All => drop(self.evaluated(evaluation)),
            Checkpoints::Last => self.last = Some(evaluation),
        }
    }

    /// The evaluation of a policy that knows single turns, with at least so many first attempts.
    pub fn evaluate_samples(&mut self, name: &str, policy: &Key, samples: u32) -> Key {
        let run = &self.run.evaluate;
        let (protocol, samples) = (run.protocol, samples.max(run.samples));
        self.evaluated(Evaluation {
            name: name.to_owned(),
            policy: policy.clone(),
            protocol,
            samples,
            trained: 1,
        })
    }

    /// The evaluation of the last checkpoint, if nothing else was to be evaluated after it.
    pub fn evaluate_last(&mut self) {
        if let Some(evaluation) = self.last.take() {
            self.evaluated(evaluation);
        }
    }

    /// A checkpoint and the stage that its scores come from; what was the last one before it no longer is.
    pub(super) fn scored(&mut self, name: &str, policy: &Key, key: Key) {
        self.last = None;
        self.done
            .checkpoints
            .push((name.to_owned(), policy.clone(), key));
    }

    fn evaluated(&mut self, evaluation: Evaluation) -> Key {
        let Evaluation {
            name,
            policy,
            protocol,
            samples,
            trained,
        } = evaluation;
        let config = EvaluateConfig {
            samples,
            ..self.run.evaluate.clone()
        };
        let window = config.window.resolve(trained.max(1));
        let seed = self.seed("evaluate");
        let prompt = self.asked_prompt();
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
        let estimate = self
            .estimate
            .evaluating(problems, config.turns, config.samples);
        let job = Job::Evaluate {
            problems: self.test.clone(),
            task: self.run.evaluated_task().clone(),
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
        let label = self.label("evaluate", &name);
        let key = self.add(Stage::new(
            Kind::Evaluate,
            label,
            job,
            inputs,
            &content,
            estimate,
        ));
        self.scored(&name, &policy, key.clone());
        self.analyse(&name, &policy, window);
        key
    }

    /// The analyses of an evaluated checkpoint.
    fn analyse(&mut self, name: &str, policy: &Key, window: Option<u32>) {
        let config = self.run.analyses.clone();
        if let Some(most) = config.unsolved.last() {
            let asked = self.asked_of(policy, self.run.evaluate.turns, window, "unsolved");
            let content = self.asked_content(&asked, &json!({ "budgets": config.unsolved }));
            let attempts =
                self.run.data.of(self.run.evaluate.split) * (asked.turns * most * 2) as usize;
            let (estimate, label) = (
                self.estimate.sampling(attempts),
                self.label("unsolved", name),
            );
            let job = Job::Unsolved {
                asked,
                budgets: config.unsolved,
            };
            self.analysis(
                Kind::Unsolved,
                (name, label),
                policy,
                job,
                &content,
                estimate,
            );
        }
        if config.likelihood_rollouts > 0 {
            let rollouts = config.likelihood_rollouts;
            let asked = self.asked_of(policy, config.likelihood_turns, window, "likelihood");
            let content = self.asked_content(&asked, &json!({ "rollouts": rollouts }));
            let attempts =
                self.run.data.of(self.run.evaluate.split) * (asked.turns * rollouts) as usize;
            let (estimate, label) = (
                self.estimate.sampling(attempts),
                self.label("likelihood", name),
            );
            let job = Job::Likelihood { asked, rollouts };
            self.analysis(
                Kind::Likelihood,
                (name, label),
                policy,
                job,
                &content,
                estimate,
            );
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
        self.scored(name, policy, key);
    }

    fn asked_of(&self, policy: &Key, turns: u32, window: Option<u32>, stage: &str) -> Asked {
        let config = &self.run.evaluate;
        Asked {
            problems: self.test.clone(),
            task: self.run.evaluated_task().clone(),
            grader: self.asked_grader(),
            policy: policy.clone(),
            turns,
            window,
            prompt: self.asked_prompt(),
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
}
