//! The steps that sample on the training problems.

use crate::api::Endpoint;
use crate::domain::{Key, SamplingConfig};
use crate::pipeline::base_models::PlanError;
use crate::pipeline::stages::{
    CollectStage, ImproveStage, LabelStepsStage, PolicyRef, SampleStage, SamplingTask, TeacherRef,
};
use crate::rollout::{RolloutSource, TEACHER_TEMPERATURE, TeacherConfig, TurnProtocol};

use super::RunPlanner;

/// A capable model's rollouts on some training problems.
pub struct BoostRollouts {
    /// The stage with the problems.
    pub problems: Key,
    /// The stage with the rollouts.
    pub episodes: Key,
}

impl RunPlanner<'_> {
    /// The policy's own turns, or those of another model.
    pub fn collect_rollouts(
        &mut self,
        name: &str,
        round: u32,
        policy: &Key,
        turns: u32,
    ) -> Result<Key, PlanError> {
        let (policy, from_other_model) = match &self.run.collect.rollouts {
            RolloutSource::Own => (PolicyRef::Checkpoint(policy.clone()), false),
            RolloutSource::Model(other) => {
                let other = self.base_checkpoint(&other.as_str().into())?;
                (PolicyRef::Checkpoint(other), true)
            }
            RolloutSource::OpenAi(endpoint) => (PolicyRef::Api(endpoint.clone()), true),
        };
        let seed = self.stage_seed("collect").derive_indexed(u64::from(round));
        let stage = CollectStage {
            from_other_model,
            samples: self.run.collect.trajectories,
            ..self.collect_stage(self.on_train(seed), policy, turns)
        };
        Ok(self.add_named(name, stage))
    }

    /// Several trajectories per problem in which the policy verifies its own attempts.
    pub fn self_verify_rollouts(&mut self, name: &str, policy: &Key, turns: u32) -> Key {
        let on = self.on_train(self.stage_seed("converse"));
        let stage = CollectStage {
            samples: self.run.samples_per_problem,
            protocol: TurnProtocol::SelfVerify,
            ..self.collect_stage(on, PolicyRef::Checkpoint(policy.clone()), turns)
        };
        self.add_named(name, stage)
    }

    /// A capable model's own turns on the first `problems` training problems.
    pub fn boost_rollouts(
        &mut self,
        policy: PolicyRef,
        problems: usize,
        turns: u32,
    ) -> BoostRollouts {
        let problems = self.train_problems(problems);
        let on = SamplingTask {
            problems: problems.clone(),
            ..self.on_train(self.stage_seed("boost"))
        };
        let stage = CollectStage {
            from_other_model: true,
            ..self.collect_stage(on, policy, turns)
        };
        let episodes = self.add_named("boost", stage);
        BoostRollouts { problems, episodes }
    }

    /// One trajectory per problem by a policy of the run.
    fn collect_stage(&self, on: SamplingTask, policy: PolicyRef, turns: u32) -> CollectStage {
        let own = on.sampling;
        let sampling = match &policy {
            PolicyRef::Checkpoint(_) => own,
            PolicyRef::Api(endpoint) => endpoint.sampling_with_overrides(&own, own.temperature),
        };
        CollectStage {
            on: SamplingTask { sampling, ..on },
            policy,
            from_other_model: false,
            turns,
            samples: 1,
            protocol: TurnProtocol::Retry,
            max_resamples: self.run.collect.max_resamples,
        }
    }

    /// Several attempts at every training problem; with `rationalise`, unsolved problems get one
    /// more with the answer as a hint.
    pub fn sample_attempts(
        &mut self,
        name: &str,
        round: u32,
        policy: &Key,
        rationalise: bool,
    ) -> Key {
        let seed = self.stage_seed("sample").derive_indexed(u64::from(round));
        let stage = SampleStage {
            on: self.on_train(seed),
            policy: policy.clone(),
            samples: self.run.samples_per_problem,
            rationalise,
        };
        self.add_named(name, stage)
    }

    /// The teacher's improved turn where every own turn failed.
    pub fn improve_episodes(
        &mut self,
        name: &str,
        round: u32,
        episodes: &Key,
        policy: &Key,
    ) -> Result<Key, PlanError> {
        let teacher = match &self.run.collect.teacher {
            TeacherConfig::Reference => TeacherRef::Reference,
            TeacherConfig::Model(other) => {
                TeacherRef::Model(self.base_checkpoint(&other.as_str().into())?)
            }
            TeacherConfig::OpenAi(endpoint) => api_teacher(endpoint, &self.on_train.sampling),
            TeacherConfig::OwnPolicy { best_of } => TeacherRef::OwnPolicy {
                policy: policy.clone(),
                best_of: *best_of,
            },
        };
        let seed = self.stage_seed("improve").derive_indexed(u64::from(round));
        let stage = ImproveStage {
            on: self.on_train(seed),
            episodes: episodes.clone(),
            teacher,
            keep_right: !self.run.collect.stop_on_success,
        };
        Ok(self.add_named(name, stage))
    }

    /// Samples judged step by step, by continuations from each step.
    pub fn label_steps(&mut self, name: &str, episodes: &Key, policy: &Key) -> Key {
        let stage = LabelStepsStage {
            on: self.on_train(self.stage_seed("steps")),
            episodes: episodes.clone(),
            policy: policy.clone(),
            glore: self.run.glore,
        };
        self.add_named(name, stage)
    }
}

/// An API model as a teacher, by default at the temperature of the official code.
fn api_teacher(endpoint: &Endpoint, own: &SamplingConfig) -> TeacherRef {
    TeacherRef::Api {
        endpoint: Box::new(endpoint.clone()),
        view: endpoint.view.unwrap_or_default(),
        sampling: endpoint.sampling_with_overrides(own, TEACHER_TEMPERATURE),
    }
}
