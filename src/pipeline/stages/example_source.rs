//! The sources of training examples: the stages with the texts, and the choice of targets.

use serde::{Deserialize, Serialize};

use crate::domain::{Key, Seed};
use crate::train::{RewardWeighting, TurnSelection};

use super::sampling_task::is_default;
use crate::pipeline::time_estimate::RunSizes;

/// The source of examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleSource {
    /// The reference solutions of this number of training problems; of all without a number.
    Solutions(Option<usize>),
    /// Improved episodes.
    Episodes {
        /// The stage that holds them.
        episodes: Key,
        /// Whether repeated attempts are left out.
        #[serde(default, skip_serializing_if = "is_default")]
        deduplicate: bool,
        /// Whether episodes without a right attempt are left out.
        #[serde(default, skip_serializing_if = "is_default")]
        only_solved: bool,
        /// The attempts that become targets.
        selection: TurnSelection,
        /// The weight of each target.
        weighting: RewardWeighting,
        /// Whether the trajectories continue after a right attempt; only for the key.
        continues_after_success: bool,
        /// Whether a problem has several trajectories; only for the key.
        several_trajectories: bool,
    },
    /// Attempts as answers to the plain question, each text once per problem, with weight 1.
    Attempts {
        /// The stages that hold them.
        episodes: Vec<Key>,
        /// Whether wrong ones are left out.
        right_only: bool,
    },
    /// Wrong attempts, each followed by a right one to the same problem.
    Pairs {
        /// The stages that hold them.
        episodes: Vec<Key>,
        /// Whether reference solutions count as right attempts.
        #[serde(rename = "references")]
        include_references: bool,
        /// Whether right attempts are also followed by right ones.
        keep_right: bool,
        /// Root of the choice of partners.
        seed: Seed,
    },
    /// Right attempts against wrong ones to the same problem.
    Preferences {
        /// The stages that hold them.
        episodes: Vec<Key>,
        /// Whether reference solutions count as right attempts.
        #[serde(rename = "references")]
        include_references: bool,
        /// Root of the choice of partners.
        seed: Seed,
    },
    /// Self-verified dialogues that end right against those that end wrong.
    Trajectories {
        /// The stages that hold them.
        episodes: Vec<Key>,
    },
    /// Attempts with their verdicts in words.
    #[serde(rename = "outcomes")]
    OutcomeLabels {
        /// The stages that hold them.
        episodes: Vec<Key>,
    },
    /// Beginnings of attempts, with a verdict in words: is a right answer within reach?
    #[serde(rename = "stepwise")]
    StepLabels {
        /// The stage that labeled their steps.
        steps: Key,
    },
    /// Wrong attempts, each with its first bad step and a right attempt that keeps the others.
    Refinements {
        /// The stage that labeled their steps.
        steps: Key,
        /// Whether reference solutions count as right attempts.
        #[serde(rename = "references")]
        include_references: bool,
    },
    /// Attempts with their right verification, and a right attempt after a wrong one.
    #[serde(rename = "verified")]
    VerifiedAttempts {
        /// The stages that hold them.
        episodes: Vec<Key>,
        /// Whether reference solutions count as right attempts.
        #[serde(rename = "references")]
        include_references: bool,
        /// Root of the choice of partners.
        seed: Seed,
    },
}

impl ExampleSource {
    /// The stages with the texts.
    pub(in crate::pipeline) fn stages(&self) -> &[Key] {
        match self {
            Self::Solutions(_) => &[],
            Self::Episodes { episodes, .. } => std::slice::from_ref(episodes),
            Self::StepLabels { steps } | Self::Refinements { steps, .. } => {
                std::slice::from_ref(steps)
            }
            Self::Attempts { episodes, .. }
            | Self::Pairs { episodes, .. }
            | Self::Preferences { episodes, .. }
            | Self::Trajectories { episodes }
            | Self::OutcomeLabels { episodes }
            | Self::VerifiedAttempts { episodes, .. } => episodes,
        }
    }

    /// Whether reference solutions count as right attempts.
    pub(super) const fn include_references(&self) -> bool {
        match self {
            Self::Pairs {
                include_references, ..
            }
            | Self::Preferences {
                include_references, ..
            }
            | Self::Refinements {
                include_references, ..
            }
            | Self::VerifiedAttempts {
                include_references, ..
            } => *include_references,
            _ => false,
        }
    }

    /// About how many turns an epoch over these examples trains on. About half of all samples are
    /// wrong, and about a third are repeats.
    pub(in crate::pipeline) fn expected_turns(&self, sizes: &RunSizes) -> usize {
        let (problems, samples) = (sizes.train_problems, sizes.train_samples);
        match self {
            Self::Solutions(count) => count.unwrap_or(problems),
            // Most trajectories are right at the second turn.
            Self::Episodes { .. } => 2 * problems * sizes.trajectories,
            Self::Attempts { right_only, .. } => problems * if *right_only { 1 } else { 2 },
            Self::Pairs { .. } | Self::VerifiedAttempts { .. } => samples,
            Self::OutcomeLabels { .. } | Self::Refinements { .. } => samples * 2 / 3,
            // Two dialogues each; two beginnings of each.
            Self::Preferences { .. } | Self::Trajectories { .. } | Self::StepLabels { .. } => {
                2 * samples
            }
        }
    }
}
