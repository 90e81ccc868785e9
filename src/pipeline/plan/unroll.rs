//! The steps that sample on the training problems: own turns, several attempts, the improved turn.

use serde_json::{Value, json};

use crate::data::Prompt;
use crate::domain::{Key, Seed, Split};
use crate::pipeline::base_plan::{prepare, texts};
use crate::pipeline::stage::TeacherJob;
use crate::pipeline::{Job, Kind, PlanError, Stage};
use crate::rollout::{Protocol, Rollouts, Teacher};
use crate::spec::canonical;

use super::Plan;

impl Plan<'_> {
    /// The policy's own turns, or those of another model.
    pub fn collect(&mut self, name: &str, round: u32, policy: &Key, turns: u32) -> Result<Key, PlanError> {
        let (policy, foreign) = match &self.run.collect.rollouts {
            Rollouts::Own => (policy.clone(), false),
            Rollouts::Model(other) => (self.base(&other.as_str().into())?, true),
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
        let problems =
            self.add(prepare(&self.run.task, &self.task, Split::Train, problems, self.run.data.seed));
        let policy = self.base(&other.into())?;
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
            Teacher::Model(other) => (TeacherJob::Model(self.base(&other.as_str().into())?), 1),
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
