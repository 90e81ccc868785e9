//! The collect stage: the policy's own turns on the training problems.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::ChunkProgress;
use crate::api::Endpoint;
use crate::domain::{CandidateAuthor, Episode, Key, Policy, PolicyError, Problem};
use crate::pipeline::context::{
    CHUNK_PROBLEMS, StageContext, StageError, StageOutput, WORKING_FILE,
};
use crate::pipeline::stage::{Stage, StageGrading, StageKind};
use crate::pipeline::stage_files::EPISODES;
use crate::pipeline::time_estimate::{RunSizes, TimeEstimator};
use crate::rollout::{RolloutConfig, TurnProtocol, sequential_rollouts};

use super::cost::sampled_tokens;
use super::policy_handle::PolicyHandle;
use super::sampling_task::{SamplingTask, is_default};

/// Roll a policy out on the training problems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectStage {
    /// The problems, and the way in which the policy answers them.
    #[serde(flatten)]
    pub on: SamplingTask,
    /// The policy.
    pub policy: PolicyRef,
    /// Whether the policy is another model than the trained one.
    #[serde(rename = "foreign")]
    pub from_other_model: bool,
    /// Turns of a trajectory.
    pub turns: u32,
    /// Trajectories per problem.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub samples: u32,
    /// The order of turns. With [`TurnProtocol::Retry`] a trajectory ends at its first right
    /// attempt, else where the policy ends it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: TurnProtocol,
    /// The most resamples of a degenerate attempt.
    #[serde(rename = "redraws")]
    pub max_resamples: u32,
}

/// The policy behind rollouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyRef {
    /// A checkpoint.
    Checkpoint(Key),
    /// An API model.
    Api(Box<Endpoint>),
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_one(count: &u32) -> bool {
    *count == 1
}

impl Stage for CollectStage {
    fn kind(&self) -> StageKind {
        StageKind::Collect
    }

    fn inputs(&self) -> Vec<Key> {
        let mut inputs = vec![self.on.problems.clone()];
        if let PolicyRef::Checkpoint(key) = &self.policy {
            inputs.push(key.clone());
        }
        inputs
    }

    /// An API model by its identity, and the texts of a review.
    fn map_key(&self, content: &mut Map<String, Value>) {
        content.remove("policy");
        if let PolicyRef::Api(endpoint) = &self.policy {
            content.insert("openai".to_owned(), endpoint.identity());
        }
        if let Some(review) = self.protocol.self_review() {
            let texts = self.on.prompt.self_review_key(review);
            content.insert("inquiry".to_owned(), json!(texts));
        }
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        let attempts = sizes.train_problems * (self.turns * self.samples) as usize;
        match &self.policy {
            PolicyRef::Checkpoint(_) => sizes.time.sampling_seconds(attempts),
            PolicyRef::Api(endpoint) => TimeEstimator::api_seconds(endpoint, attempts),
        }
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let problems = self.on.read_problems(context)?;
        let mut policy = match &self.policy {
            PolicyRef::Checkpoint(key) => {
                PolicyHandle::load_checkpoint(context, key, &self.on.backend)?
            }
            PolicyRef::Api(endpoint) => PolicyHandle::open_api(context, endpoint)?,
        };
        let done = context.process_in_observed_chunks(
            (WORKING_FILE, CHUNK_PROBLEMS),
            &problems,
            |episodes: &Vec<Episode>| sampled_tokens(episodes),
            |context, done, chunk| {
                let max_answers = chunk.len() * (self.turns * self.samples) as usize;
                let counts = ChunkProgress {
                    done,
                    total: problems.len(),
                    chunk: chunk.len(),
                };
                Ok(policy.with_policy(context, counts, max_answers, |policy| {
                    self.roll_out(policy, chunk)
                })?)
            },
        )?;
        let episodes = done.concat();
        context.write_rows(EPISODES, &episodes)?;
        let mut counts = json!({
            "episodes": episodes.len(),
            "attempts": episodes.iter().map(|episode| episode.turns.len()).sum::<usize>(),
            "right": episodes.iter().filter(|episode| episode.ends_right()).count(),
        });
        policy.record_usage(&episodes, &mut counts);
        let output = StageOutput::new_without_backend(&[EPISODES], counts);
        Ok(policy.stamp(output, &self.on.backend))
    }

    fn grading(&self) -> Option<StageGrading<'_>> {
        Some(self.on.grading())
    }
}

impl CollectStage {
    /// The trajectories of each problem.
    fn roll_out(
        &self,
        policy: &mut dyn Policy,
        problems: &[Problem],
    ) -> Result<Vec<Vec<Episode>>, PolicyError> {
        let config = RolloutConfig {
            stop_on_success: self.protocol == TurnProtocol::Retry,
            max_resamples: self.max_resamples,
            protocol: self.protocol,
            author: if self.from_other_model {
                CandidateAuthor::Other
            } else {
                CandidateAuthor::Policy
            },
            ..self.on.rollout_config(self.turns)
        };
        let mut episodes: Vec<Vec<Episode>> = problems.iter().map(|_| Vec::new()).collect();
        for sample in 0..self.samples {
            // The first trajectory uses the stage's own seed.
            let seed = if sample == 0 {
                self.on.seed
            } else {
                let samples = self.on.seed.derive("sample");
                samples.derive_indexed(u64::from(sample))
            };
            let grade = |problem: &Problem, text: &str| self.on.grade(problem, text);
            let sampled = sequential_rollouts(policy, problems, &config, seed, &grade)?;
            for (episodes, episode) in episodes.iter_mut().zip(sampled) {
                episodes.push(Episode { sample, ..episode });
            }
        }
        Ok(episodes)
    }
}
