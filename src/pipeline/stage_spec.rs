//! What a stage does: one kind of job for every kind of work.
//!
//! A job holds only what its work may read, so a stage cannot depend on something that is not in
//! its key. Must not know how the work is done, nor about paths, devices and worker counts.

use serde::{Deserialize, Serialize};

use crate::api::{Endpoint, TeacherView};
use crate::config::BaseModelSpec;
use crate::data::{GraderConfig, PromptConfig, SplitSizes, TaskConfig};
use crate::domain::{Key, SamplingConfig, Seed, Split};
use crate::rollout::{GloreConfig, TurnProtocol};
use crate::train::{OnlineConfig, TrainConfig};

use super::example_source::ExampleSource;
use super::external_checkpoint::LinkCheckpoint;

/// What a stage does, and the keys of the stages whose files it reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageSpec {
    /// Load one split of a task.
    Prepare {
        /// Where problems come from.
        task: TaskConfig,
        /// Which split.
        split: Split,
        /// How many problems; only this split's size is above 0.
        sizes: SplitSizes,
    },
    /// Train a tokenizer on a prepared corpus.
    Tokenize {
        /// The prepared problems.
        problems: Key,
        /// The base model's recipe.
        base: Box<BaseModelSpec>,
    },
    /// Pre-train a base model.
    Base {
        /// The prepared problems.
        problems: Key,
        /// The tokenizer.
        tokenizer: Key,
        /// The base model's recipe, and its shipped checkpoint if it has one.
        base: Box<BaseModelSpec>,
        /// Where tensors live.
        backend: String,
    },
    /// Take in a checkpoint that was trained elsewhere.
    Link(Box<LinkCheckpoint>),
    /// Unroll a policy on the training problems.
    Collect {
        /// The prepared problems.
        problems: Key,
        /// The task, for the graders that apply to it.
        task: TaskConfig,
        /// The grader behind rewards and scores.
        grader: GraderConfig,
        /// Who answers.
        policy: PolicyRef,
        /// Whether it is another model than the one that is trained.
        #[serde(rename = "foreign")]
        from_other_model: bool,
        /// Turns to unroll.
        turns: u32,
        /// Trajectories per problem.
        samples: u32,
        /// How turns follow each other. With [`TurnProtocol::RetryMessage`] a trajectory ends at its first
        /// right attempt, else where the policy ends it.
        protocol: TurnProtocol,
        /// How often a degenerate attempt is drawn again.
        #[serde(rename = "redraws")]
        max_resamples: u32,
        /// The texts around attempts.
        prompt: PromptConfig,
        /// How tokens are drawn.
        sampling: SamplingConfig,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
    /// Draw several attempts at every training problem.
    Sample {
        /// The prepared problems.
        problems: Key,
        /// The task, for its further graders.
        task: TaskConfig,
        /// Who judges attempts.
        grader: GraderConfig,
        /// The checkpoint that answers.
        policy: Key,
        /// Attempts per problem.
        samples: u32,
        /// Whether a problem without a right attempt gets one more that is shown the answer.
        rationalise: bool,
        /// The texts around attempts.
        prompt: PromptConfig,
        /// How tokens are drawn.
        sampling: SamplingConfig,
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
        teacher: TeacherRef,
        /// Whether right attempts are given once more as the answer to a retry.
        keep_right: bool,
        /// The texts around attempts.
        prompt: PromptConfig,
        /// How tokens are drawn.
        sampling: SamplingConfig,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
    /// Turn episodes, or reference solutions, into weighted examples.
    #[serde(rename = "weigh")]
    BuildExamples {
        /// The prepared problems.
        problems: Key,
        /// What examples are made of.
        source: ExampleSource,
        /// The texts around attempts.
        prompt: PromptConfig,
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
    /// Train a checkpoint by direct preference optimisation.
    Prefer {
        /// The checkpoint to start from, which is also the reference.
        start: Key,
        /// Stages with pairs, in the order in which they are united.
        pairs: Vec<Key>,
        /// How much a difference in log-probability counts as reward.
        beta: f64,
        /// Optimizer and schedule; the batch is counted in pairs.
        train: TrainConfig,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
    /// Train a checkpoint on episodes that it is sampled for meanwhile.
    #[serde(rename = "reinforce")]
    TrainOnline {
        /// The prepared problems.
        problems: Key,
        /// Who judges attempts.
        grader: GraderConfig,
        /// The checkpoint to start from.
        start: Key,
        /// The checkpoint that it is held near.
        reference: Key,
        /// What is sampled, and what is made of it.
        settings: OnlineConfig,
        /// The texts around attempts.
        prompt: PromptConfig,
        /// How tokens are drawn.
        sampling: SamplingConfig,
        /// Optimizer and schedule; epochs and batch are not read.
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
        /// How turns follow each other.
        protocol: TurnProtocol,
        /// Whether a dialogue ends at its first right attempt.
        oracle: bool,
        /// The texts around attempts.
        prompt: PromptConfig,
        /// How tokens are drawn.
        sampling: SamplingConfig,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
    /// Try sequences on problems that parallel samples leave unsolved.
    Unsolved {
        /// Who is asked what.
        #[serde(rename = "asked")]
        target: EvalTarget,
        /// Budgets in sequences, rising.
        budgets: Vec<u32>,
    },
    /// Score reference solutions, at once and after own attempts.
    Likelihood {
        /// Who is asked what.
        #[serde(rename = "asked")]
        target: EvalTarget,
        /// Rollouts per problem.
        rollouts: u32,
    },
    /// Let a verifier rank the first attempts of an evaluation.
    Rank {
        /// The prepared problems.
        problems: Key,
        /// The task, for its further graders.
        task: TaskConfig,
        /// Who judged the attempts.
        grader: GraderConfig,
        /// The evaluation that holds the attempts.
        episodes: Key,
        /// The checkpoint whose log-likelihood they are ranked by.
        verifier: Key,
        /// The checkpoint whose log-likelihood is taken from it, if any.
        reference: Option<Key>,
        /// First attempts per problem.
        samples: u32,
        /// The texts around attempts.
        prompt: PromptConfig,
        /// Where tensors live.
        backend: String,
    },
    /// Judge samples step by step.
    #[serde(rename = "steps")]
    LabelSteps {
        /// The prepared problems.
        problems: Key,
        /// The task, for its further graders.
        task: TaskConfig,
        /// Who judges attempts.
        grader: GraderConfig,
        /// The samples.
        episodes: Key,
        /// The checkpoint that goes on from each step.
        policy: Key,
        /// How many attempts, and how often.
        glore: GloreConfig,
        /// The texts around attempts.
        prompt: PromptConfig,
        /// How tokens are drawn.
        sampling: SamplingConfig,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
    /// Draft, refine and choose on the test problems.
    Refine {
        /// The prepared problems.
        problems: Key,
        /// The task, for its further graders.
        task: TaskConfig,
        /// Who judges attempts.
        grader: GraderConfig,
        /// The checkpoint that drafts.
        generator: Key,
        /// The checkpoint that judges whole attempts.
        #[serde(rename = "outcome")]
        outcome_verifier: Key,
        /// The checkpoint that judges attempts up to a step.
        #[serde(rename = "stepwise")]
        step_verifier: Key,
        /// The checkpoint that refines a draft.
        #[serde(rename = "global")]
        global_refiner: Key,
        /// The checkpoint that refines a draft from the step that it is told.
        #[serde(rename = "local")]
        local_refiner: Key,
        /// The texts around attempts.
        prompt: PromptConfig,
        /// How tokens are drawn.
        sampling: SamplingConfig,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
}

/// How a checkpoint is put to the problems it is evaluated on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalTarget {
    /// The prepared problems.
    pub problems: Key,
    /// The task, for its further graders.
    pub task: TaskConfig,
    /// Who judges attempts.
    pub grader: GraderConfig,
    /// The checkpoint.
    pub policy: Key,
    /// The most turns of a sequence.
    pub turns: u32,
    /// Earlier attempts shown; all of them if none is given.
    pub window: Option<u32>,
    /// The texts around attempts.
    pub prompt: PromptConfig,
    /// How tokens are drawn.
    pub sampling: SamplingConfig,
    /// Root of the stage's random numbers.
    pub seed: Seed,
    /// Where tensors live.
    pub backend: String,
}

impl StageSpec {
    /// The prepared problems, the task and the grader of a job whose attempts are graded.
    #[must_use]
    pub const fn grading(&self) -> Option<(&Key, &TaskConfig, &GraderConfig)> {
        match self {
            Self::Collect {
                problems,
                task,
                grader,
                ..
            }
            | Self::Sample {
                problems,
                task,
                grader,
                ..
            }
            | Self::Improve {
                problems,
                task,
                grader,
                ..
            }
            | Self::Evaluate {
                problems,
                task,
                grader,
                ..
            }
            | Self::Rank {
                problems,
                task,
                grader,
                ..
            }
            | Self::LabelSteps {
                problems,
                task,
                grader,
                ..
            }
            | Self::Refine {
                problems,
                task,
                grader,
                ..
            } => Some((problems, task, grader)),
            Self::Unsolved { target: asked, .. } | Self::Likelihood { target: asked, .. } => {
                Some((&asked.problems, &asked.task, &asked.grader))
            }
            Self::Prepare { .. }
            | Self::Tokenize { .. }
            | Self::Base { .. }
            | Self::Link(_)
            | Self::BuildExamples { .. }
            | Self::Train { .. }
            | Self::Prefer { .. }
            | Self::TrainOnline { .. } => None,
        }
    }
}

/// Whose own turns are unrolled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyRef {
    /// A checkpoint.
    Checkpoint(Key),
    /// A model behind an API.
    #[serde(rename = "remote")]
    Api(Box<Endpoint>),
}

impl PolicyRef {
    /// The checkpoint, if it is one.
    #[must_use]
    pub const fn checkpoint(&self) -> Option<&Key> {
        match self {
            Self::Checkpoint(key) => Some(key),
            Self::Api(_) => None,
        }
    }
}

/// Who supplies the improved turn, by checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherRef {
    /// The reference solution.
    Reference,
    /// Another checkpoint.
    Model(Key),
    /// A model behind an API.
    #[serde(rename = "remote")]
    Api {
        /// Where it is, and how it is asked.
        endpoint: Box<Endpoint>,
        /// What it is shown.
        #[serde(rename = "sees")]
        view: TeacherView,
        /// How it samples.
        sampling: SamplingConfig,
    },
    /// The policy itself.
    #[serde(rename = "oneself")]
    OwnPolicy {
        /// Its checkpoint.
        policy: Key,
        /// Samples drawn.
        best_of: u32,
    },
}
