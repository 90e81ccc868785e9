//! The kinds of stages, and what every stage can do.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::{GraderConfig, TaskConfig};
use crate::domain::{EvalShape, Key};
use crate::eval::Metric;

use super::context::{StageContext, StageError, StageOutput};
use super::time_estimate::RunSizes;

/// The kinds of stages, in the order in which a run meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// Problems are generated or read, and assigned to their splits.
    Prepare,
    /// A tokenizer is trained on a base model's corpus.
    Tokenize,
    /// A base model is pre-trained, or a shipped or linked one is taken in.
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
    /// A checkpoint is trained on its own answers, online.
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

    /// Part of the key; a change of a stage's meaning, or of the order of its sums, raises it.
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

/// One stage: its inputs, its key, its estimate, its work and its metrics.
///
/// Its serialised fields make its key, by the rules of [`key_content`](super::stage_node).
pub(super) trait Stage {
    /// Its kind.
    fn kind(&self) -> StageKind;

    /// The stages whose files it reads, in the order in which its key names them.
    fn inputs(&self) -> Vec<Key>;

    /// Changes the serialised fields where the key names or nests them in another way.
    fn map_key(&self, _content: &mut Map<String, Value>) {}

    /// Expected seconds on one core of a laptop.
    fn estimated_seconds(&self, _sizes: &RunSizes) -> f64 {
        1.0
    }

    /// Reads the files of its inputs and writes its own into its working folder.
    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError>;

    /// The meaning of its scores.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// The grader of its attempts, if it grades any.
    fn grading(&self) -> Option<StageGrading<'_>> {
        None
    }

    /// The shape of its episodes, if another grader can score them.
    fn eval_shape(&self) -> Option<EvalShape> {
        None
    }
}

/// What a stage's attempts were graded by.
pub(super) struct StageGrading<'a> {
    /// The stage with the problems.
    pub problems: &'a Key,
    /// The task, for its further graders.
    pub task: &'a TaskConfig,
    /// The grader behind rewards and scores.
    pub grader: GraderConfig,
}
