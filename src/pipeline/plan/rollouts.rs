//! The steps that sample on the training problems: own turns, several attempts, the improved turn.

use serde_json::{Value, json};

use crate::api::Endpoint;
use crate::config::canonical_json;
use crate::data::PromptConfig;
use crate::domain::{Key, SamplingConfig, Seed, Split};
use crate::pipeline::base_plan::{prepare_stage, prompt_key_content};
use crate::pipeline::time_estimate::TimeEstimator;
use crate::pipeline::{PlanError, PolicyRef, StageKind, StageNode, StageSpec, TeacherRef};
use crate::rollout::{RolloutSource, TEACHER_TEMPERATURE, TeacherConfig, TurnProtocol};

use super::RunPlanner;

impl RunPlanner<'_> {
    /// The policy's own turns, or those of another model.
    pub fn collect_rollouts(
        &mut self,
        name: &str,
        round: u32,
        policy: &Key,
        turns: u32,
    ) -> Result<Key, PlanError> {
        let (policy, foreign) = match &self.run.collect.rollouts {
            RolloutSource::Own => (PolicyRef::Checkpoint(policy.clone()), false),
            RolloutSource::Model(other) => (
                PolicyRef::Checkpoint(self.base_checkpoint(&other.as_str().into())?),
                true,
            ),
            RolloutSource::OpenAi(endpoint) => (PolicyRef::Api(endpoint.clone()), true),
        };
        let problems = self.train_problems.clone();
        let seed = self.stage_seed("collect").derive_indexed(u64::from(round));
        let unroll = RolloutRequest {
            name,
            problems,
            policy,
            from_other_model: foreign,
            turns,
            samples: self.run.collect.trajectories,
            protocol: TurnProtocol::Retry,
            seed,
        };
        Ok(self.add_rollouts(unroll))
    }

    /// Several trajectories per problem in which the policy verifies its own attempts.
    pub fn self_verify_rollouts(&mut self, name: &str, policy: &Key, turns: u32) -> Key {
        let (problems, samples) = (self.train_problems.clone(), self.run.samples_per_problem);
        let policy = PolicyRef::Checkpoint(policy.clone());
        let (protocol, seed) = (TurnProtocol::SelfVerify, self.stage_seed("converse"));
        self.add_rollouts(RolloutRequest {
            name,
            problems,
            policy,
            from_other_model: false,
            turns,
            samples,
            protocol,
            seed,
        })
    }

    /// A capable model's own turns on the first so many training problems.
    pub fn boost_rollouts(&mut self, policy: PolicyRef, problems: usize, turns: u32) -> (Key, Key) {
        let problems = self.add_stage(prepare_stage(
            &self.run.task,
            &self.task_fingerprint,
            Split::Train,
            problems,
            self.run.train_data_seed(),
        ));
        let unroll = RolloutRequest {
            name: "boost",
            problems: problems.clone(),
            policy,
            from_other_model: true,
            turns,
            samples: 1,
            protocol: TurnProtocol::Retry,
            seed: self.stage_seed("boost"),
        };
        (problems, self.add_rollouts(unroll))
    }

    fn add_rollouts(&mut self, asked: RolloutRequest<'_>) -> Key {
        let RolloutRequest {
            name,
            problems,
            policy,
            from_other_model: foreign,
            turns,
            samples,
            protocol,
            seed,
        } = asked;
        let (prompt, redraws) = (self.prompt(), self.run.collect.max_resamples);
        let own = self.run.collect.sampling;
        let sampling = match &policy {
            PolicyRef::Checkpoint(_) => own,
            PolicyRef::Api(endpoint) => endpoint.sampling_with_overrides(&own, own.temperature),
        };
        let mut content = json!({
            "task": self.task_fingerprint, "grader": self.run.grader().identity(), "foreign": foreign, "turns": turns, "prompt": prompt_key_content(prompt),
            "sampling": canonical_json(&sampling), "redraws": redraws, "seed": seed,
        });
        if samples > 1 {
            content["samples"] = json!(samples);
        }
        if let Some(inquiry) = protocol.self_review() {
            content["protocol"] = json!(protocol);
            content["inquiry"] = json!(prompt.self_review_key(inquiry));
        }
        if let PolicyRef::Api(endpoint) = &policy {
            content["openai"] = endpoint.identity();
        }
        let inputs = [Some(&problems), policy.checkpoint()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let attempts = self.run.data.train * (turns * samples) as usize;
        let estimate = match &policy {
            PolicyRef::Checkpoint(_) => self.estimator.sampling_seconds(attempts),
            PolicyRef::Api(endpoint) => TimeEstimator::api_seconds(endpoint, attempts),
        };
        let job = StageSpec::Collect {
            problems,
            task: self.run.task.clone(),
            grader: self.run.grader(),
            policy,
            from_other_model: foreign,
            turns,
            samples,
            protocol,
            max_resamples: redraws,
            prompt,
            sampling,
            seed,
            backend: self.run.backend.clone(),
        };
        self.add_stage(StageNode::new(
            StageKind::Collect,
            self.stage_label("collect", name),
            job,
            inputs,
            &content,
            estimate,
        ))
    }

    /// Several attempts at every training problem; `rationalise` adds one that is shown the answer
    /// where none is right.
    pub fn sample_attempts(
        &mut self,
        name: &str,
        round: u32,
        policy: &Key,
        rationalise: bool,
    ) -> Key {
        let (prompt, sampling, samples) = (
            self.prompt(),
            self.run.collect.sampling,
            self.run.samples_per_problem,
        );
        let seed = self.stage_seed("sample").derive_indexed(u64::from(round));
        let mut content = json!({
            "task": self.task_fingerprint, "grader": self.run.grader().identity(), "samples": samples, "prompt": prompt_key_content(prompt),
            "sampling": canonical_json(&sampling), "seed": seed,
        });
        if rationalise {
            content["hint"] = json!(PromptConfig::hint_key());
        }
        let job = StageSpec::Sample {
            problems: self.train_problems.clone(),
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
        let inputs = vec![self.train_problems.clone(), policy.clone()];
        let estimate = self
            .estimator
            .sampling_seconds(self.run.data.train * samples as usize);
        self.add_stage(StageNode::new(
            StageKind::Sample,
            self.stage_label("sample", name),
            job,
            inputs,
            &content,
            estimate,
        ))
    }

    /// The teacher's improved turn where every own turn failed.
    pub fn improve_episodes(
        &mut self,
        name: &str,
        round: u32,
        episodes: &Key,
        policy: &Key,
    ) -> Result<Key, PlanError> {
        let mut inputs = vec![self.train_problems.clone(), episodes.clone()];
        let (prompt, sampling) = (self.prompt(), self.run.collect.sampling);
        let (teacher, samples) = match &self.run.collect.teacher {
            TeacherConfig::Reference => (TeacherRef::Reference, 0),
            TeacherConfig::Model(other) => (
                TeacherRef::Model(self.base_checkpoint(&other.as_str().into())?),
                1,
            ),
            TeacherConfig::OpenAi(endpoint) => (api_teacher(endpoint, &sampling), 1),
            TeacherConfig::OwnPolicy { best_of } => (
                TeacherRef::OwnPolicy {
                    policy: policy.clone(),
                    best_of: *best_of,
                },
                *best_of as usize,
            ),
        };
        match &teacher {
            TeacherRef::Model(policy) | TeacherRef::OwnPolicy { policy, .. } => {
                inputs.push(policy.clone())
            }
            TeacherRef::Reference | TeacherRef::Api { .. } => {}
        }
        let (keep_right, seed) = (
            !self.run.collect.stop_on_success,
            self.stage_seed("improve").derive_indexed(u64::from(round)),
        );
        let content = json!({
            "task": self.task_fingerprint, "grader": self.run.grader().identity(), "teacher": teacher_content(&teacher),
            "keep_right": keep_right, "prompt": prompt_key_content(prompt), "sampling": canonical_json(&sampling), "seed": seed,
        });
        // About half of the episodes fail.
        let failed = self.run.data.train * samples / 2;
        let estimate = match &teacher {
            TeacherRef::Api { endpoint, .. } => TimeEstimator::api_seconds(endpoint, failed),
            _ => self.estimator.sampling_seconds(failed),
        };
        let job = StageSpec::Improve {
            problems: self.train_problems.clone(),
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
        Ok(self.add_stage(StageNode::new(
            StageKind::Improve,
            self.stage_label("improve", name),
            job,
            inputs,
            &content,
            estimate,
        )))
    }
}

/// Trajectories that are to be unrolled.
struct RolloutRequest<'n> {
    name: &'n str,
    problems: Key,
    policy: PolicyRef,
    from_other_model: bool,
    turns: u32,
    samples: u32,
    protocol: TurnProtocol,
    seed: Seed,
}

/// A model behind an API as a teacher: at the official code's temperature where none is given.
fn api_teacher(endpoint: &Endpoint, own: &SamplingConfig) -> TeacherRef {
    TeacherRef::Api {
        endpoint: Box::new(endpoint.clone()),
        view: endpoint.view.unwrap_or_default(),
        sampling: endpoint.sampling_with_overrides(own, TEACHER_TEMPERATURE),
    }
}

/// The teacher without checkpoints, which are inputs of the stage.
fn teacher_content(teacher: &TeacherRef) -> Value {
    match teacher {
        TeacherRef::Reference => json!("reference"),
        TeacherRef::Model(_) => json!("model"),
        TeacherRef::Api {
            endpoint,
            view: sees,
            sampling,
        } => {
            json!({ "openai": endpoint.identity(), "sees": sees, "sampling": canonical_json(sampling) })
        }
        TeacherRef::OwnPolicy { best_of, .. } => json!({ "self": best_of }),
    }
}
