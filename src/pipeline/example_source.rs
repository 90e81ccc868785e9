//! What the examples of a training are made of: which stages' texts, and which of them become targets.
//!
//! Must not know how examples are built (`stages::weigh`) or trained on.

use serde::{Deserialize, Serialize};

use crate::domain::{Key, Seed};
use crate::train::{RewardWeighting, TurnSelection};

/// What examples are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleSource {
    /// The reference solutions of the first so many training problems.
    Solutions {
        /// How many problems; all of them if none is given.
        problems: Option<usize>,
    },
    /// Improved episodes.
    Episodes {
        /// The stage that holds them.
        episodes: Key,
        /// Whether attempts that say nothing new are taken out first.
        deduplicate: bool,
        /// Whether episodes without a right attempt are left out.
        only_solved: bool,
        /// Which attempts become targets.
        selection: TurnSelection,
        /// How much each target counts.
        weighting: RewardWeighting,
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
    /// Attempts and whether they are right, in words.
    #[serde(rename = "outcomes")]
    OutcomeLabels {
        /// The stages that hold them.
        episodes: Vec<Key>,
    },
    /// Beginnings of attempts and whether a right answer is within reach, in words.
    #[serde(rename = "stepwise")]
    StepLabels {
        /// The stage that judged their steps.
        steps: Key,
    },
    /// Wrong attempts, each with its first bad step and a right attempt that keeps the others.
    Refinements {
        /// The stage that judged their steps.
        steps: Key,
        /// Whether reference solutions count as right attempts.
        #[serde(rename = "references")]
        include_references: bool,
    },
    /// Attempts with the verification that is due, and a right attempt after a wrong one.
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
