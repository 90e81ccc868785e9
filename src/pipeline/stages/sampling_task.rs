//! The settings that all sampling stages share.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{GraderConfig, PromptConfig, TaskConfig};
use crate::domain::{Grade, Key, Problem, SamplingConfig, Seed};
use crate::pipeline::context::{StageContext, StageError};
use crate::pipeline::stage::StageGrading;
use crate::pipeline::stage_files::PROBLEMS;
use crate::rollout::RolloutConfig;

/// A task and the fingerprint of its data, which stands for the task in keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FingerprintedTask {
    /// The source of the problems.
    pub config: TaskConfig,
    /// The content of its files and its settings.
    pub fingerprint: Value,
}

/// Problems, and the way in which a model answers them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplingTask {
    /// The stage with the problems.
    pub problems: Key,
    /// The task, for the graders that apply to it.
    pub task: FingerprintedTask,
    /// The grader behind rewards and scores.
    pub grader: GraderConfig,
    /// The texts around attempts.
    pub prompt: PromptConfig,
    /// The sampling of tokens.
    pub sampling: SamplingConfig,
    /// Root of the stage's random numbers.
    pub seed: Seed,
    /// The backend that holds the tensors.
    pub backend: String,
}

impl SamplingTask {
    /// The problems of the finished stage.
    pub(in crate::pipeline) fn read_problems(
        &self,
        context: &StageContext<'_>,
    ) -> Result<Vec<Problem>, StageError> {
        context.read_rows(&self.problems, PROBLEMS)
    }

    /// The grade of an attempt.
    pub fn grade(&self, problem: &Problem, text: &str) -> Grade {
        self.grader.grade(problem, text)
    }

    /// Rollouts of some turns with these texts and this sampling.
    pub fn rollout_config(&self, turns: u32) -> RolloutConfig {
        RolloutConfig::new(turns, self.prompt, self.sampling)
    }

    /// The grading of the attempts, for the store.
    pub(in crate::pipeline) fn grading(&self) -> StageGrading<'_> {
        StageGrading {
            problems: &self.problems,
            task: &self.task.config,
            grader: self.grader,
        }
    }
}

/// Whether a field has its default, which keys leave out.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
