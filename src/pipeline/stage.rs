//! What a stage is: a job, the stages it reads, and the key made of both.
//!
//! A job holds only what its work may read, so a stage cannot depend on something that is not in
//! its key. Paths, devices and worker counts are never part of a key.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::data::{GraderConfig, Prompt, Sizes, TaskConfig};
use crate::domain::{Key, Sampling, Seed, Split};
use crate::remote::{Endpoint, Sees};
use crate::rollout::{GloreConfig, Protocol};
use crate::spec::BaseSpec;
use crate::train::{Reinforce, Selection, TrainConfig, Weighting};

use super::Kind;
use super::linked::LinkJob;

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
    /// Take in a checkpoint that was trained elsewhere.
    Link(Box<LinkJob>),
    /// Unroll a policy on the training problems.
    Collect {
        /// The prepared problems.
        problems: Key,
        /// The task, for the graders that apply to it.
        task: TaskConfig,
        /// The grader behind rewards and scores.
        grader: GraderConfig,
        /// Who answers.
        policy: PolicyJob,
        /// Whether it is another model than the one that is trained.
        foreign: bool,
        /// Turns to unroll.
        turns: u32,
        /// Trajectories per problem.
        samples: u32,
        /// How turns follow each other. With [`Protocol::Retry`] a trajectory ends at its first
        /// right attempt, else where the policy ends it.
        protocol: Protocol,
        /// How often a degenerate attempt is drawn again.
        redraws: u32,
        /// The texts around attempts.
        prompt: Prompt,
        /// How tokens are drawn.
        sampling: Sampling,
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
    Reinforce {
        /// The prepared problems.
        problems: Key,
        /// Who judges attempts.
        grader: GraderConfig,
        /// The checkpoint to start from.
        start: Key,
        /// The checkpoint that it is held near.
        reference: Key,
        /// What is sampled, and what is made of it.
        settings: Reinforce,
        /// The texts around attempts.
        prompt: Prompt,
        /// How tokens are drawn.
        sampling: Sampling,
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
        protocol: Protocol,
        /// Whether a dialogue ends at its first right attempt.
        oracle: bool,
        /// The texts around attempts.
        prompt: Prompt,
        /// How tokens are drawn.
        sampling: Sampling,
        /// Root of the stage's random numbers.
        seed: Seed,
        /// Where tensors live.
        backend: String,
    },
    /// Try sequences on problems that parallel samples leave unsolved.
    Unsolved {
        /// Who is asked what.
        asked: Asked,
        /// Budgets in sequences, rising.
        budgets: Vec<u32>,
    },
    /// Score reference solutions, at once and after own attempts.
    Likelihood {
        /// Who is asked what.
        asked: Asked,
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
        prompt: Prompt,
        /// Where tensors live.
        backend: String,
    },
    /// Judge samples step by step.
    Steps {
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
        prompt: Prompt,
        /// How tokens are drawn.
        sampling: Sampling,
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
        outcome: Key,
        /// The checkpoint that judges attempts up to a step.
        stepwise: Key,
        /// The checkpoint that refines a draft.
        global: Key,
        /// The checkpoint that refines a draft from the step that it is told.
        local: Key,
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

/// How a checkpoint is put to the problems it is evaluated on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
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
    pub prompt: Prompt,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Root of the stage's random numbers.
    pub seed: Seed,
    /// Where tensors live.
    pub backend: String,
}

impl Job {
    /// The prepared problems, the task and the grader of a job whose attempts are graded.
    #[must_use]
    pub const fn grading(&self) -> Option<(&Key, &TaskConfig, &GraderConfig)> {
        match self {
            Self::Collect { problems, task, grader, .. }
            | Self::Sample { problems, task, grader, .. }
            | Self::Improve { problems, task, grader, .. }
            | Self::Evaluate { problems, task, grader, .. }
            | Self::Rank { problems, task, grader, .. }
            | Self::Steps { problems, task, grader, .. }
            | Self::Refine { problems, task, grader, .. } => Some((problems, task, grader)),
            Self::Unsolved { asked, .. } | Self::Likelihood { asked, .. } => {
                Some((&asked.problems, &asked.task, &asked.grader))
            }
            Self::Prepare { .. }
            | Self::Tokenize { .. }
            | Self::Base { .. }
            | Self::Link(_)
            | Self::Weigh { .. }
            | Self::Train { .. }
            | Self::Prefer { .. }
            | Self::Reinforce { .. } => None,
        }
    }
}

/// Whose own turns are unrolled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyJob {
    /// A checkpoint.
    Checkpoint(Key),
    /// A model behind an API.
    Remote(Box<Endpoint>),
}

impl PolicyJob {
    /// The checkpoint, if it is one.
    #[must_use]
    pub const fn checkpoint(&self) -> Option<&Key> {
        match self {
            Self::Checkpoint(key) => Some(key),
            Self::Remote(_) => None,
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
    /// A model behind an API.
    Remote {
        /// Where it is, and how it is asked.
        endpoint: Box<Endpoint>,
        /// What it is shown.
        sees: Sees,
        /// How it samples.
        sampling: Sampling,
    },
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
        /// Whether attempts that say nothing new are taken out first.
        deduplicate: bool,
        /// Whether episodes without a right attempt are left out.
        only_solved: bool,
        /// Which attempts become targets.
        selection: Selection,
        /// How much each target counts.
        weighting: Weighting,
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
        references: bool,
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
        references: bool,
        /// Root of the choice of partners.
        seed: Seed,
    },
    /// Self-verified dialogues that end right against those that end wrong.
    Trajectories {
        /// The stages that hold them.
        episodes: Vec<Key>,
    },
    /// Attempts and whether they are right, in words.
    Outcomes {
        /// The stages that hold them.
        episodes: Vec<Key>,
    },
    /// Beginnings of attempts and whether a right answer is within reach, in words.
    Stepwise {
        /// The stage that judged their steps.
        steps: Key,
    },
    /// Wrong attempts, each with its first bad step and a right attempt that keeps the others.
    Refinements {
        /// The stage that judged their steps.
        steps: Key,
        /// Whether reference solutions count as right attempts.
        references: bool,
    },
    /// Attempts with the verification that is due, and a right attempt after a wrong one.
    Verified {
        /// The stages that hold them.
        episodes: Vec<Key>,
        /// Whether reference solutions count as right attempts.
        references: bool,
        /// Root of the choice of partners.
        seed: Seed,
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
