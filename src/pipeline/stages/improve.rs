//! The improve stage: the teacher adds the improved turn to the episodes that failed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::ChunkProgress;
use crate::api::{Endpoint, TeacherView};
use crate::config::canonical_json;
use crate::domain::{Episode, Key, Policy, Problem, SamplingConfig};
use crate::pipeline::context::{CHUNK_PROBLEMS, StageContext, StageError, StageOutput};
use crate::pipeline::stage::{Stage, StageGrading, StageKind};
use crate::pipeline::stage_files::{EPISODES, JsonlAppender};
use crate::pipeline::time_estimate::{RunSizes, TimeEstimator};
use crate::rollout::{ImproveConfig, ImproveStats, TeacherPolicy, improve_episodes};

use super::policy_handle::PolicyHandle;
use super::sampling_task::SamplingTask;

/// Let the teacher add the improved turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImproveStage {
    /// The problems, and the way in which the teacher answers them.
    #[serde(flatten)]
    pub on: SamplingTask,
    /// The stage with the collected episodes.
    pub episodes: Key,
    /// The teacher.
    pub teacher: TeacherRef,
    /// Whether the teacher also repeats right attempts, as the answer to a retry.
    pub keep_right: bool,
}

/// The source of improved turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherRef {
    /// The reference solution.
    Reference,
    /// Another checkpoint.
    Model(Key),
    /// An API model.
    Api {
        /// Its address and request settings.
        endpoint: Box<Endpoint>,
        /// The part of the dialogue that it sees.
        view: TeacherView,
        /// Its sampling.
        sampling: SamplingConfig,
    },
    /// The policy itself.
    OwnPolicy {
        /// Its checkpoint.
        policy: Key,
        /// Samples, of which the best is taken.
        best_of: u32,
    },
}

impl TeacherRef {
    /// Without checkpoints, which are inputs of the stage.
    fn key_content(&self) -> Value {
        match self {
            Self::Reference => json!("reference"),
            Self::Model(_) => json!("model"),
            Self::Api {
                endpoint,
                view,
                sampling,
            } => json!({
                "openai": endpoint.identity(), "sees": view, "sampling": canonical_json(sampling),
            }),
            Self::OwnPolicy { best_of, .. } => json!({ "self": best_of }),
        }
    }

    /// The teacher with the policy that answers for it.
    fn with_policy<'a>(&self, policy: &'a mut dyn Policy) -> TeacherPolicy<'a> {
        match self {
            Self::Reference => TeacherPolicy::Reference,
            Self::Model(_) => TeacherPolicy::StrongerModel(policy),
            Self::Api { view, sampling, .. } => TeacherPolicy::CustomModel {
                policy,
                view: *view,
                sampling: *sampling,
            },
            Self::OwnPolicy { best_of, .. } => TeacherPolicy::OwnPolicy {
                policy,
                best_of: *best_of,
            },
        }
    }
}

impl Stage for ImproveStage {
    fn kind(&self) -> StageKind {
        StageKind::Improve
    }

    fn inputs(&self) -> Vec<Key> {
        let mut inputs = vec![self.on.problems.clone(), self.episodes.clone()];
        if let TeacherRef::Model(policy) | TeacherRef::OwnPolicy { policy, .. } = &self.teacher {
            inputs.push(policy.clone());
        }
        inputs
    }

    fn map_key(&self, content: &mut Map<String, Value>) {
        content.insert("teacher".to_owned(), self.teacher.key_content());
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        let samples = match &self.teacher {
            TeacherRef::Reference => 0,
            TeacherRef::Model(_) | TeacherRef::Api { .. } => 1,
            TeacherRef::OwnPolicy { best_of, .. } => *best_of as usize,
        };
        // About half of the episodes fail.
        let failed = sizes.train_problems * samples / 2;
        match &self.teacher {
            TeacherRef::Api { endpoint, .. } => TimeEstimator::api_seconds(endpoint, failed),
            _ => sizes.time.sampling_seconds(failed),
        }
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let problems = self.on.read_problems(context)?;
        let collected: Vec<Episode> = context.read_rows(&self.episodes, EPISODES)?;
        let mut policy = self.open_policy(context)?;
        let (mut file, mut done) = JsonlAppender::open::<Episode>(&context.folder.join(EPISODES))?;
        // Episodes that earlier processes improved count as well.
        let mut stats = ImproveStats::default();
        for (before, after) in collected.iter().zip(&done) {
            stats.add(&ImproveStats::from_episodes(before, after));
        }
        context.sampled_tokens = stats.tokens;
        while done.len() < collected.len() {
            context.report_progress(done.len(), collected.len())?;
            let end = collected.len().min(done.len() + CHUNK_PROBLEMS);
            let chunk = collected[done.len()..end].to_vec();
            let counts = ChunkProgress {
                done: done.len(),
                total: collected.len(),
                chunk: chunk.len(),
            };
            let (new, new_stats) =
                self.improve_chunk(context, policy.as_mut(), counts, chunk, &problems)?;
            file.append(&new)?;
            context.sampled_tokens += new_stats.tokens;
            stats.add(&new_stats);
            done.extend(new);
        }
        context.report_progress(done.len(), done.len())?;
        let mut counts = json!({
            "episodes": done.len(),
            "right": done.iter().filter(|episode| episode.ends_right()).count(),
            "teacher_calls": stats.problems_asked,
            "teacher_answers": stats.answers,
        });
        let Some(policy) = policy else {
            return Ok(StageOutput::new_without_backend(&[EPISODES], counts));
        };
        policy.record_usage(&added_turns(&collected, &done), &mut counts);
        let output = StageOutput::new_without_backend(&[EPISODES], counts);
        Ok(policy.stamp(output, &self.on.backend))
    }

    fn grading(&self) -> Option<StageGrading<'_>> {
        Some(self.on.grading())
    }
}

impl ImproveStage {
    /// The policy behind the teacher; none for reference solutions.
    fn open_policy(&self, context: &StageContext<'_>) -> Result<Option<PolicyHandle>, StageError> {
        Ok(match &self.teacher {
            TeacherRef::Reference => None,
            TeacherRef::Model(policy) | TeacherRef::OwnPolicy { policy, .. } => Some(
                PolicyHandle::load_checkpoint(context, policy, &self.on.backend)?,
            ),
            TeacherRef::Api { endpoint, .. } => Some(PolicyHandle::open_api(context, endpoint)?),
        })
    }

    fn improve_chunk(
        &self,
        context: &mut StageContext<'_>,
        policy: Option<&mut PolicyHandle>,
        counts: ChunkProgress,
        episodes: Vec<Episode>,
        problems: &[Problem],
    ) -> Result<(Vec<Episode>, ImproveStats), StageError> {
        let config = ImproveConfig {
            prompt: self.on.prompt,
            sampling: self.on.sampling,
            stop_on_success: !self.keep_right,
        };
        let (seed, max_answers) = (self.on.seed, episodes.len());
        let grade = |problem: &Problem, text: &str| self.on.grade(problem, text);
        let improve = |teacher: TeacherPolicy<'_>| {
            improve_episodes(teacher, episodes, problems, &config, seed, &grade)
        };
        Ok(match policy {
            None => improve(TeacherPolicy::Reference),
            Some(handle) => handle.with_policy(context, counts, max_answers, |policy| {
                improve(self.teacher.with_policy(policy))
            }),
        }?)
    }
}

/// The episodes with only the turns of this stage: the others were collected before.
fn added_turns(before: &[Episode], after: &[Episode]) -> Vec<Episode> {
    before
        .iter()
        .zip(after)
        .map(|(before, after)| Episode {
            turns: after.turns[before.turns.len()..].to_vec(),
            ..after.clone()
        })
        .collect()
}
