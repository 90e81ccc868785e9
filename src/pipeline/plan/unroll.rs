//! The steps that sample on the training problems: own turns, several attempts, the improved turn.

use serde_json::{Value, json};

use crate::data::Prompt;
use crate::domain::{Key, Sampling, Seed, Split};
use crate::pipeline::base_plan::{prepare, texts};
use crate::pipeline::estimate::Estimate;
use crate::pipeline::{Job, Kind, PlanError, PolicyJob, Stage, TeacherJob};
use crate::remote::Endpoint;
use crate::rollout::{MODEL_TEMPERATURE, Protocol, Rollouts, Teacher};
use crate::spec::canonical;

use super::Plan;

impl Plan<'_> {
    /// The policy's own turns, or those of another model.
    pub fn collect(
        &mut self,
        name: &str,
        round: u32,
        policy: &Key,
        turns: u32,
    ) -> Result<Key, PlanError> {
        let (policy, foreign) = match &self.run.collect.rollouts {
            Rollouts::Own => (PolicyJob::Checkpoint(policy.clone()), false),
            Rollouts::Model(other) => (
                PolicyJob::Checkpoint(self.base(&other.as_str().into())?),
                true,
            ),
            Rollouts::OpenAi(endpoint) => (PolicyJob::Remote(endpoint.clone()), true),
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
        let policy = PolicyJob::Checkpoint(policy.clone());
        let (protocol, seed) = (Protocol::SelfVerify, self.seed("converse"));
        self.unroll(Unrolled {
            name,
            problems,
            policy,
            foreign: false,
            turns,
            samples,
            protocol,
            seed,
        })
    }

    /// A capable model's own turns on the first so many training problems.
    pub fn capable(&mut self, policy: PolicyJob, problems: usize, turns: u32) -> (Key, Key) {
        let problems = self.add(prepare(
            &self.run.task,
            &self.task,
            Split::Train,
            problems,
            self.run.train_seed(),
        ));
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
        (problems, self.unroll(unroll))
    }

    fn unroll(&mut self, asked: Unrolled<'_>) -> Key {
        let Unrolled {
            name,
            problems,
            policy,
            foreign,
            turns,
            samples,
            protocol,
            seed,
        } = asked;
        let (prompt, redraws) = (self.prompt(), self.run.collect.redraws);
        let own = self.run.collect.sampling;
        let sampling = match &policy {
            PolicyJob::Checkpoint(_) => own,
            PolicyJob::Remote(endpoint) => endpoint.sampling(&own, own.temperature),
        };
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
        if let PolicyJob::Remote(endpoint) = &policy {
            content["openai"] = endpoint.identity();
        }
        let inputs = [Some(&problems), policy.checkpoint()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let attempts = self.run.data.train * (turns * samples) as usize;
        let estimate = match &policy {
            PolicyJob::Checkpoint(_) => self.estimate.sampling(attempts),
            PolicyJob::Remote(endpoint) => Estimate::asking(endpoint, attempts),
        };
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
        self.add(Stage::new(
            Kind::Collect,
            self.label("collect", name),
            job,
            inputs,
            &content,
            estimate,
        ))
    }

    /// Several attempts at every training problem; `rationalise` adds one that is shown the answer
    /// where none is right.
    pub fn sample(&mut self, name: &str, round: u32, policy: &Key, rationalise: bool) -> Key {
        let (prompt, sampling, samples) = (
            self.prompt(),
            self.run.collect.sampling,
            self.run.candidates,
        );
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
        let estimate = self
            .estimate
            .sampling(self.run.data.train * samples as usize);
        self.add(Stage::new(
            Kind::Sample,
            self.label("sample", name),
            job,
            inputs,
            &content,
            estimate,
        ))
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
        let (prompt, sampling) = (self.prompt(), self.run.collect.sampling);
        let (teacher, samples) = match &self.run.collect.teacher {
            Teacher::Reference => (TeacherJob::Reference, 0),
            Teacher::Model(other) => (TeacherJob::Model(self.base(&other.as_str().into())?), 1),
            Teacher::OpenAi(endpoint) => (remote_teacher(endpoint, &sampling), 1),
            Teacher::Oneself { best_of } => (
                TeacherJob::Oneself {
                    policy: policy.clone(),
                    best_of: *best_of,
                },
                *best_of as usize,
            ),
        };
        match &teacher {
            TeacherJob::Model(policy) | TeacherJob::Oneself { policy, .. } => {
                inputs.push(policy.clone())
            }
            TeacherJob::Reference | TeacherJob::Remote { .. } => {}
        }
        let (keep_right, seed) = (
            !self.run.collect.stop_on_success,
            self.seed("improve").at(u64::from(round)),
        );
        let content = json!({
            "task": self.task, "grader": self.run.grader().identity(), "teacher": teacher_content(&teacher),
            "keep_right": keep_right, "prompt": texts(prompt), "sampling": canonical(&sampling), "seed": seed,
        });
        // About half of the episodes fail.
        let failed = self.run.data.train * samples / 2;
        let estimate = match &teacher {
            TeacherJob::Remote { endpoint, .. } => Estimate::asking(endpoint, failed),
            _ => self.estimate.sampling(failed),
        };
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
        Ok(self.add(Stage::new(
            Kind::Improve,
            self.label("improve", name),
            job,
            inputs,
            &content,
            estimate,
        )))
    }
}

/// Trajectories that are to be unrolled.
struct Unrolled<'n> {
    name: &'n str,
    problems: Key,
    policy: PolicyJob,
    foreign: bool,
    turns: u32,
    samples: u32,
    protocol: Protocol,
    seed: Seed,
}

/// A model behind an API as a teacher: at the official code's temperature where none is given.
fn remote_teacher(endpoint: &Endpoint, own: &Sampling) -> TeacherJob {
    TeacherJob::Remote {
        endpoint: Box::new(endpoint.clone()),
        sees: endpoint.sees.unwrap_or_default(),
        sampling: endpoint.sampling(own, MODEL_TEMPERATURE),
    }
}

/// The teacher without checkpoints, which are inputs of the stage.
fn teacher_content(teacher: &TeacherJob) -> Value {
    match teacher {
        TeacherJob::Reference => json!("reference"),
        TeacherJob::Model(_) => json!("model"),
        TeacherJob::Remote {
            endpoint,
            sees,
            sampling,
        } => {
            json!({ "openai": endpoint.identity(), "sees": sees, "sampling": canonical(sampling) })
        }
        TeacherJob::Oneself { best_of, .. } => json!({ "self": best_of }),
    }
}
