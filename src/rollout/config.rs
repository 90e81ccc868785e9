//! How rollouts are made: turns, window, retry text, teacher.
//!
//! Responsible for the settings and their defaults, as an experiment file spells them. Must not
//! know what carries them out.

use serde::{Deserialize, Serialize};

use crate::api::Endpoint;
use crate::data::{AnswerForm, RetryMessage, SelfReview, TaskConfig};
use crate::domain::{SamplingConfig, Split};

/// How many own turns a collection has before the improved one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnTurns {
    /// Round k unrolls k own turns (paper, figure 2).
    Round,
    /// Every round unrolls this many.
    Fixed(u32),
}

impl OwnTurns {
    /// Own turns in round `round`, which counts from 1.
    #[must_use]
    pub const fn in_round(self, round: u32) -> u32 {
        match self {
            Self::Round => round,
            Self::Fixed(turns) => turns,
        }
    }
}

/// How many earlier attempts a policy is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryWindow {
    /// As many as the longest history that the model was trained on: its own turns per
    /// trajectory (paper, inference section); 1 for a model that saw no round.
    Trained,
    /// The last so many; at least 1.
    Last(u32),
    /// All of them.
    All,
}

impl HistoryWindow {
    /// The number of earlier attempts shown, given the longest history in training; none is all.
    #[must_use]
    pub const fn max_shown_attempts(self, trained: u32) -> Option<u32> {
        match self {
            Self::Trained => Some(if trained == 0 { 1 } else { trained }),
            Self::Last(attempts) => Some(attempts),
            Self::All => None,
        }
    }
}

/// Who supplies the improved last turn where the policy's own turns failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TeacherConfig {
    /// The task's reference solution.
    Reference,
    /// A stronger base model by name; answers the plain question at temperature 0.7.
    Model(String),
    /// A model behind an API.
    #[serde(rename = "openai")]
    OpenAi(Box<Endpoint>),
    /// The policy itself: the first best of so many samples (self-distillation).
    #[serde(rename = "self")]
    OwnPolicy {
        /// Samples drawn at the failed state.
        best_of: u32,
    },
}

/// Whose own turns are trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RolloutSource {
    /// The policy's own.
    Own,
    /// Those of another base model, by name (the paper's cross-model rollouts).
    Model(String),
    /// Those of a model behind an API.
    #[serde(rename = "openai")]
    OpenAi(Box<Endpoint>),
}

/// How training trajectories are collected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectConfig {
    /// Own turns before the improved one.
    pub own_turns: OwnTurns,
    /// Trajectories per problem; the paper has one.
    pub trajectories: u32,
    /// Whether a trajectory ends at its first right attempt; `false` keeps right→right pairs:
    /// an attempt that was right is given once more as the answer to the retry text.
    pub stop_on_success: bool,
    /// What is said after an attempt, right or wrong.
    pub retry: RetryMessage,
    /// Whether the retry text repeats the question, as the official code does.
    pub repeat_question: bool,
    /// What is said about the form of the answer; what the task's grader reads if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_form: Option<AnswerForm>,
    /// Whose own turns are trained on.
    pub rollouts: RolloutSource,
    /// Who supplies the improved turn.
    pub teacher: TeacherConfig,
    /// How often a degenerate attempt is drawn again before it is kept after all. The official code
    /// draws for ever.
    #[serde(rename = "redraws")]
    pub max_resamples: u32,
    /// How the policy samples.
    pub sampling: SamplingConfig,
}

impl CollectConfig {
    /// The models behind an API that take part, by the path of their settings in a run.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'static str, &Endpoint)> {
        let teacher = match &self.teacher {
            TeacherConfig::OpenAi(endpoint) => Some(("collect.teacher.openai", &**endpoint)),
            TeacherConfig::Reference
            | TeacherConfig::Model(_)
            | TeacherConfig::OwnPolicy { .. } => None,
        };
        let rollouts = match &self.rollouts {
            RolloutSource::OpenAi(endpoint) => Some(("collect.rollouts.openai", &**endpoint)),
            RolloutSource::Own | RolloutSource::Model(_) => None,
        };
        teacher.into_iter().chain(rollouts)
    }

    /// The same settings without those that change no attempt.
    #[must_use]
    pub fn result_relevant(&self) -> Self {
        let mut essence = self.clone();
        if let TeacherConfig::OpenAi(endpoint) = &mut essence.teacher {
            **endpoint = endpoint.result_relevant();
        }
        if let RolloutSource::OpenAi(endpoint) = &mut essence.rollouts {
            **endpoint = endpoint.result_relevant();
        }
        essence
    }
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self {
            own_turns: OwnTurns::Round,
            trajectories: 1,
            stop_on_success: true,
            retry: RetryMessage::Incorrect,
            repeat_question: true,
            answer_form: None,
            rollouts: RolloutSource::Own,
            teacher: TeacherConfig::Reference,
            max_resamples: 3,
            sampling: SamplingConfig::default(),
        }
    }
}

/// How the turns of a dialogue follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TurnProtocol {
    /// Attempt, retry text, attempt (the paper's).
    #[default]
    Retry,
    /// Attempt, critique of it by the same model, attempt (Self-Refine, Madaan et al. 2023).
    SelfRefine,
    /// Attempt, `yes` or `no` by the same model, and a retry only after a `no` (self-rewarding
    /// correction, Xiong et al. 2025).
    SelfVerify,
}

impl TurnProtocol {
    /// What the policy is asked about each attempt, if anything.
    #[must_use]
    pub const fn self_review(self) -> Option<SelfReview> {
        match self {
            Self::Retry => None,
            Self::SelfRefine => Some(SelfReview::Critique),
            Self::SelfVerify => Some(SelfReview::Verify),
        }
    }
}

/// Which of a run's checkpoints are evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointSelection {
    /// The base, and what comes out of every round.
    #[default]
    All,
    /// The last one alone.
    Last,
}

impl CheckpointSelection {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn are_all(&self) -> bool {
        *self == Self::All
    }
}

/// How a model is evaluated: one sequential log without oracle, and parallel first turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Turns of the sequential log.
    pub turns: u32,
    /// Independent first-turn samples, the log's own first turn included. Twice the turns are
    /// enough to compare with parallel samples at equal tokens.
    pub samples: u32,
    /// How turns follow each other.
    pub protocol: TurnProtocol,
    /// Whether a dialogue ends at its first right attempt, as only an oracle can tell. Without it
    /// the policy hears the retry text after right attempts too.
    pub oracle: bool,
    /// What is said after an attempt; as in collection if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryMessage>,
    /// Another task whose problems are answered (out of distribution); the run's own if none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskConfig>,
    /// Picks other problems of a generated task than `data.seed`, and moves nothing that is trained on: a
    /// comparison is made once more, with the models at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_seed: Option<u64>,
    /// Which checkpoints are asked.
    #[serde(skip_serializing_if = "CheckpointSelection::are_all")]
    pub checkpoints: CheckpointSelection,
    /// How many earlier attempts the model is shown.
    pub window: HistoryWindow,
    /// How the model samples.
    pub sampling: SamplingConfig,
    /// Which problems: `test` for what is reported, `validation` for whatever is chosen by the
    /// result.
    pub split: Split,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            split: Split::Test,
            turns: 5,
            samples: 10,
            protocol: TurnProtocol::Retry,
            oracle: false,
            retry: None,
            task: None,
            data_seed: None,
            checkpoints: CheckpointSelection::All,
            window: HistoryWindow::Trained,
            sampling: SamplingConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trained_window_is_the_trained_history_and_at_least_one_attempt() {
        assert_eq!(HistoryWindow::Trained.max_shown_attempts(2), Some(2));
        assert_eq!(HistoryWindow::Trained.max_shown_attempts(0), Some(1));
        assert_eq!(HistoryWindow::Last(3).max_shown_attempts(1), Some(3));
        assert_eq!(HistoryWindow::All.max_shown_attempts(1), None);
    }

    #[test]
    fn rounds_grow_the_own_turns_unless_they_are_fixed() {
        assert_eq!(
            [1, 2, 3].map(|round| OwnTurns::Round.in_round(round)),
            [1, 2, 3]
        );
        assert_eq!(
            [1, 2, 3].map(|round| OwnTurns::Fixed(2).in_round(round)),
            [2, 2, 2]
        );
    }
}
