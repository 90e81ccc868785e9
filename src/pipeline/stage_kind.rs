//! The kinds of stages, their names and their versions.
//!
//! Must not know what a stage of a kind reads or does.

use serde::{Deserialize, Serialize};

/// The kinds of stages, in the order in which a run meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// Problems are generated or read and dealt to their splits.
    Prepare,
    /// A tokenizer is trained on a base model's corpus.
    Tokenize,
    /// A base model is pre-trained, or a shipped one is taken in.
    Base,
    /// The policy's own turns are sampled.
    Collect,
    /// Several attempts at every training problem are sampled.
    Sample,
    /// The teacher adds the improved turn.
    Improve,
    /// Attempts are selected and weighted.
    #[serde(rename = "weigh")]
    BuildExamples,
    /// A checkpoint is trained.
    Train,
    /// A checkpoint is trained on pairs of which one is better.
    Prefer,
    /// A checkpoint is trained on what it answers meanwhile.
    #[serde(rename = "reinforce")]
    TrainOnline,
    /// A checkpoint answers the test problems.
    Evaluate,
    /// Sequences are tried on problems that parallel samples leave unsolved.
    Unsolved,
    /// Reference solutions are scored, at once and after own attempts.
    Likelihood,
    /// A verifier ranks the answers of an evaluation.
    Rank,
    /// Samples are judged step by step.
    #[serde(rename = "steps")]
    LabelSteps,
    /// Drafts on the test problems are refined, and a verifier chooses.
    Refine,
}

impl StageKind {
    /// The name as written in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Tokenize => "tokenize",
            Self::Base => "base",
            Self::Collect => "collect",
            Self::Sample => "sample",
            Self::Improve => "improve",
            Self::BuildExamples => "weigh",
            Self::Train => "train",
            Self::Prefer => "prefer",
            Self::TrainOnline => "reinforce",
            Self::Evaluate => "evaluate",
            Self::Unsolved => "unsolved",
            Self::Likelihood => "likelihood",
            Self::Rank => "rank",
            Self::LabelSteps => "steps",
            Self::Refine => "refine",
        }
    }

    /// Raised when the meaning of a stage changes, or the order in which its model's sums are
    /// taken, so that older results are not taken for it.
    #[must_use]
    pub const fn version(self) -> u32 {
        match self {
            Self::Collect | Self::Evaluate => 3,
            Self::Base | Self::Improve | Self::Train => 2,
            Self::Prepare
            | Self::Tokenize
            | Self::Sample
            | Self::BuildExamples
            | Self::Prefer
            | Self::TrainOnline
            | Self::Unsolved
            | Self::Likelihood
            | Self::Rank
            | Self::LabelSteps
            | Self::Refine => 1,
        }
    }
}
