//! What a stage is: a job, the stages it reads, and the key made of both.
//!
//! A job holds only what its work may read, so a stage cannot depend on something that is not in
//! its key. Paths, devices and worker counts are never part of a key.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::data::{GraderConfig, Prompt, Sizes, TaskConfig};
use crate::domain::{Key, Sampling, Seed, Split};
use crate::spec::BaseSpec;
use crate::train::{Selection, TrainConfig, Weighting};

/// The kinds of stages, in the order in which a run meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Problems are generated or read and dealt to their splits.
    Prepare,
    /// A tokenizer is trained on a base model's corpus.
    Tokenize,
    /// A base model is pre-trained, or a shipped one is taken in.
    Base,
    /// The policy's own turns are sampled.
    Collect,
    /// The teacher adds the improved turn.
    Improve,
    /// Attempts are selected and weighted.
    Weigh,
    /// A checkpoint is trained.
    Train,
    /// A checkpoint answers the test problems.
    Evaluate,
}

impl Kind {
    /// The name as written in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Tokenize => "tokenize",
            Self::Base => "base",
            Self::Collect => "collect",
            Self::Improve => "improve",
            Self::Weigh => "weigh",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
        }
    }

    /// Raised when the meaning of a stage changes, or the order in which its model's sums are
    /// taken, so that older results are not taken for it.
    #[must_use]
    pub const fn version(self) -> u32 {
        match self {
            Self::Base | Self::Collect | Self::Improve | Self::Train | Self::Evaluate => 2,
            Self::Prepare | Self::Tokenize | Self::Weigh => 1,
        }
    }
}

/// What a stage does, and the keys of the stages whose files it reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// Load one split of a task.
    Prepare {
        /// Where problems come from.
        task: TaskConfig,
        /// Which split.
        split: Split,
        /// How many problems; only this split's size is above 0.
        sizes: Sizes,
    },
    /// Train a tokenizer on a prepared corpus.
    Tokenize {
        /// The prepared problems.
        problems: Key,
        /// The base model's recipe.
        base: Box<BaseSpec>,
    },
    /// Pre-train a base model.
    Base {
        /// The prepared problems.
        problems: Key,
        /// The tokenizer.
        tokenizer: Key,
        /// The base model's recipe, and its shipped checkpoint if it has one.
        base: Box<BaseSpec>,
        /// Where tensors live.
        backend: String,
    },
    /// Unroll a policy on the training problems.
    Collect {
        /// The prepared problems.
        problems: Key,
        /// The task, for the graders that apply to it.
        task: TaskConfig,
        /// The grader behind rewards and scores.
        grader: GraderConfig,
        /// The checkpoint that answers.
        policy: Key,
        /// Whether it is another base model than the one that is trained.
        foreign: bool,
        /// Turns to unroll; a trajectory ends at its first right attempt.
        turns: u32,
        /// The texts around attempts.
        prompt: Prompt,
        /// How tokens are drawn.
        sampling: Sampling,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
    /// Let the teacher add the improved turn.
    Improve {
        /// The prepared problems.
        problems: Key,
        /// The task, for the graders that apply to it.
        task: TaskConfig,
        /// The grader behind rewards and scores.
        grader: GraderConfig,
        /// The collected episodes.
        episodes: Key,
        /// Who teaches.
        teacher: TeacherJob,
        /// Whether right attempts are given once more as the answer to a retry.
        keep_right: bool,
        /// The texts around attempts.
        prompt: Prompt,
        /// How tokens are drawn.
        sampling: Sampling,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
    /// Turn episodes, or reference solutions, into weighted examples.
    Weigh {
        /// The prepared problems.
        problems: Key,
        /// What examples are made of.
        source: ExampleSource,
        /// The texts around attempts.
        prompt: Prompt,
    },
    /// Train a checkpoint on examples.
    Train {
        /// The checkpoint to start from.
        start: Key,
        /// The examples, in the order in which they are united.
        examples: Vec<Key>,
        /// Optimizer and schedule.
        train: TrainConfig,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
    /// Let a checkpoint answer the test problems.
    Evaluate {
        /// The prepared problems.
        problems: Key,
        /// The task, for the graders that apply to it.
        task: TaskConfig,
        /// The grader behind rewards and scores.
        grader: GraderConfig,
        /// The checkpoint.
        policy: Key,
        /// Turns of the sequential log.
        turns: u32,
        /// First-turn samples.
        samples: u32,
        /// Earlier attempts shown; all of them if none is given.
        window: Option<u32>,
        /// The texts around attempts.
        prompt: Prompt,
        /// How tokens are drawn.
        sampling: Sampling,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
}

impl Job {
    /// The prepared problems, the task and the grader of a job whose attempts are graded.
    #[must_use]
    pub const fn grading(&self) -> Option<(&Key, &TaskConfig, &GraderConfig)> {
        match self {
            Self::Collect { problems, task, grader, .. }
            | Self::Improve { problems, task, grader, .. }
            | Self::Evaluate { problems, task, grader, .. } => Some((problems, task, grader)),
            Self::Prepare { .. }
            | Self::Tokenize { .. }
            | Self::Base { .. }
            | Self::Weigh { .. }
            | Self::Train { .. } => None,
        }
    }
}

/// Who supplies the improved turn, by checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherJob {
    /// The reference solution.
    Reference,
    /// Another checkpoint.
    Model(Key),
    /// The policy itself.
    Oneself {
        /// Its checkpoint.
        policy: Key,
        /// Samples drawn.
        best_of: u32,
    },
}

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
        /// Which attempts become targets.
        selection: Selection,
        /// How much each target counts.
        weighting: Weighting,
    },
}

/// One node of the graph of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its identity.
    pub key: Key,
    /// What kind of work it is.
    pub kind: Kind,
    /// Readable name, e.g. `train weak round 2`.
    pub label: String,
    /// What to do.
    pub job: Job,
    /// The stages whose files it reads.
    pub inputs: Vec<Key>,
    /// Expected seconds on one core of a laptop; only for plans and progress.
    pub estimate: f64,
}

impl Stage {
    /// A stage with the key of its job; `content` replaces what must not enter the key as it
    /// stands (a path by the hash of what lies there).
    #[must_use]
    pub fn new(
        kind: Kind,
        label: String,
        job: Job,
        inputs: Vec<Key>,
        content: &Value,
        estimate: f64,
    ) -> Self {
        let key = Key::of(&json!({
            "kind": kind,
            "version": kind.version(),
            "content": content,
            "inputs": inputs,
        }));
        Self { key, kind, label, job, inputs, estimate }
    }
}
