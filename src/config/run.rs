//! One cell of a sweep: everything that can change a number, composed from the configs that live
//! beside the code they configure.

use serde::{Deserialize, Serialize};

use crate::api::Endpoint;
use crate::data::{AnswerForm, GraderConfig, SplitSizes, TaskConfig, TrainDraw};
use crate::eval::{AnalysesConfig, VerifierConfig};
use crate::rollout::{CollectConfig, EvaluateConfig, GloreConfig};
use crate::train::{
    GrpoConfig, RewardWeighting, RoundData, RoundStart, ScoreConfig, TrainConfig, TurnSelection,
};

use super::BaseModelRef;

/// The method of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Recursive introspection, the paper's Algorithm 1.
    #[default]
    Rise,
    /// Supervised fine-tuning on the reference solutions at turn 1.
    Sft,
    /// Supervised fine-tuning at turn 1 on the right attempts among RISE's own data.
    SftRight,
    /// Supervised fine-tuning at turn 1 on all attempts among RISE's own data, right and wrong alike.
    SftRightAndWrong,
    /// Rejection fine-tuning: right samples at turn 1; with several rounds it is `ReST-EM`.
    Rft,
    /// Rejection fine-tuning in which a failed problem gets one more sample that is shown the answer.
    Star,
    /// Wrong samples paired with right ones as two turns.
    PairSft,
    /// No training: the model criticises its own answer and then refines it.
    SelfRefine,
    /// Solutions with a verification by the model itself; fine-tuning, then preferences.
    SelfRewarding,
    /// A generator as in STaR, and a verifier trained on its right and wrong samples that ranks answers.
    VStar,
    /// GLoRe: verifiers of whole and begun attempts, and refinements of drafts from the start or from a step.
    Glore,
    /// Group-relative policy optimisation over turns.
    Grpo,
    /// `SCoRe`: two stages of online training on two turns.
    Score,
}

impl Method {
    /// Whether it unrolls trajectories that a teacher improves.
    #[must_use]
    pub const fn collects_trajectories(self) -> bool {
        matches!(self, Self::Rise | Self::SftRight | Self::SftRightAndWrong)
    }

    /// The settings of a run that this method reads and most others do not. Its value in an experiment
    /// file holds them, and directly those of the table with the method's own name.
    #[must_use]
    pub const fn own_settings(self) -> &'static [&'static str] {
        match self {
            Self::Rise | Self::Sft | Self::SftRight | Self::SftRightAndWrong | Self::SelfRefine => {
                &[]
            }
            Self::Rft | Self::Star | Self::PairSft => &["candidates"],
            Self::SelfRewarding => &["candidates", "preference"],
            Self::VStar => &["candidates", "preference", "verifier"],
            Self::Glore => &["candidates", "glore"],
            Self::Grpo => &["grpo"],
            Self::Score => &["score"],
        }
    }

    /// Whether it consists of rounds.
    #[must_use]
    pub const fn is_iterative(self) -> bool {
        match self {
            Self::Rise
            | Self::SftRight
            | Self::SftRightAndWrong
            | Self::Rft
            | Self::Star
            | Self::VStar => true,
            Self::Sft
            | Self::PairSft
            | Self::SelfRefine
            | Self::SelfRewarding
            | Self::Glore
            | Self::Grpo
            | Self::Score => false,
        }
    }
}

/// A preliminary supervised round (the paper's Boost).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoostConfig {
    /// Training problems that it covers, the first ones; 0 leaves the boost out.
    pub problems: usize,
    /// A capable base model, by name, whose right attempts over several turns are trained on;
    /// without it the reference solutions are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A capable model behind an API, in the place of `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openai: Option<Box<Endpoint>>,
    /// Turns of that model's rollouts; 0 is one.
    pub turns: u32,
}

/// How preferences between attempts are trained on (direct preference optimisation).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreferenceConfig {
    /// How strongly the policy is held to its start: β of the loss.
    pub beta: f64,
    /// Passes over the pairs.
    pub epochs: u32,
    /// Peak learning rate; the schedule is otherwise that of `train`.
    pub learning_rate: f64,
}

impl Default for PreferenceConfig {
    fn default() -> Self {
        Self {
            beta: 0.1,
            epochs: 1,
            learning_rate: 1e-4,
        }
    }
}

/// How rounds follow each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoundsConfig {
    /// Rounds of collect, improve, weigh and train.
    pub count: u32,
    /// Which weights each round starts from.
    pub start: RoundStart,
    /// Which data each round trains on.
    pub data: RoundData,
}

impl Default for RoundsConfig {
    fn default() -> Self {
        Self {
            count: 2,
            start: RoundStart::Base,
            data: RoundData::Union,
        }
    }
}

/// Everything that decides the numbers of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The base model: the name of a file in the folder of base models, or `{ hf = "FOLDER" }`.
    pub base: BaseModelRef,
    /// Where problems come from.
    pub task: TaskConfig,
    /// How many problems each split has.
    #[serde(default)]
    pub data: SplitSizes,
    /// The method of training.
    #[serde(default)]
    pub method: Method,
    /// The preliminary supervised round.
    #[serde(default)]
    pub boost: BoostConfig,
    /// How rounds follow each other.
    #[serde(default)]
    pub rounds: RoundsConfig,
    /// First-turn samples per training problem, for the methods that filter them.
    #[serde(default = "candidates")]
    #[serde(rename = "candidates")]
    pub samples_per_problem: u32,
    /// How preferences are trained on, for the methods that have any.
    #[serde(default)]
    pub preference: PreferenceConfig,
    /// How answers are ranked by a verifier, for the methods that train one.
    #[serde(default)]
    pub verifier: VerifierConfig,
    /// How attempts are judged step by step.
    #[serde(default)]
    pub glore: GloreConfig,
    /// How trajectories are collected and improved.
    #[serde(default)]
    pub collect: CollectConfig,
    /// Whether attempts that are empty or repeat an earlier one of their trajectory are taken out.
    #[serde(default)]
    pub deduplicate: bool,
    /// Whether trajectories without a right attempt are left out as a whole.
    #[serde(default)]
    pub only_solved: bool,
    /// Which attempts become training targets.
    #[serde(default)]
    pub selection: TurnSelection,
    /// How much each target counts.
    #[serde(default)]
    pub weighting: RewardWeighting,
    /// Optimizer and schedule.
    #[serde(default)]
    pub train: TrainConfig,
    /// Multi-turn GRPO.
    #[serde(default)]
    pub grpo: GrpoConfig,
    /// `SCoRe`.
    #[serde(default)]
    pub score: ScoreConfig,
    /// How checkpoints are evaluated.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
    /// Further analyses of every evaluated checkpoint.
    #[serde(default)]
    pub analyses: AnalysesConfig,
    /// The grader behind rewards and scores; the task's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grader: Option<GraderConfig>,
    /// Where tensors live: `flex`, or another backend that is compiled in.
    #[serde(default = "flex")]
    pub backend: String,
    /// Root of all random numbers of the run; set by the experiment's `seeds`.
    #[serde(default)]
    pub seed: u64,
}

const fn candidates() -> u32 {
    8
}

impl BoostConfig {
    /// The same settings without those that change no attempt.
    #[must_use]
    pub fn result_relevant(&self) -> Self {
        let openai = self
            .openai
            .as_ref()
            .map(|endpoint| Box::new(endpoint.result_relevant()));
        Self {
            openai,
            ..self.clone()
        }
    }
}

impl RunSpec {
    /// The models behind an API that take part, by the path of their settings.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'static str, &Endpoint)> {
        let unrolled = self
            .method
            .collects_trajectories()
            .then(|| self.collect.endpoints());
        let boost = self
            .boost
            .openai
            .as_deref()
            .map(|endpoint| ("boost.openai", endpoint));
        unrolled.into_iter().flatten().chain(boost)
    }

    /// The grader behind rewards and scores.
    #[must_use]
    pub fn grader(&self) -> GraderConfig {
        self.grader.unwrap_or_else(|| self.task.grader())
    }

    /// The task whose problems are evaluated on.
    #[must_use]
    pub fn eval_task(&self) -> &TaskConfig {
        self.evaluate.task.as_ref().unwrap_or(&self.task)
    }

    /// The seed that picks the problems that are trained on.
    #[must_use]
    pub fn train_data_seed(&self) -> u64 {
        match self.data.train_draw {
            TrainDraw::Shared => self.data.seed,
            TrainDraw::PerSeed => self.data.seed.wrapping_add(self.seed),
        }
    }

    /// The seed that picks the problems that are evaluated on.
    #[must_use]
    pub fn eval_data_seed(&self) -> u64 {
        self.evaluate.data_seed.unwrap_or(self.data.seed)
    }

    /// The sentence about the form of answers to the run's own task.
    #[must_use]
    pub fn answer_form(&self) -> Option<AnswerForm> {
        self.collect
            .answer_form
            .or_else(|| self.task.answer_form(self.grader()))
    }

    /// The same where checkpoints are evaluated. A model that learnt one form meets it again on
    /// another task, if the grader there reads it.
    #[must_use]
    pub fn eval_answer_form(&self) -> Option<AnswerForm> {
        let own = self.answer_form();
        let Some(asked) = &self.evaluate.task else {
            return own;
        };
        let grader = self.grader.unwrap_or_else(|| asked.grader());
        own.filter(|form: &AnswerForm| *form == AnswerForm::Unsaid || *form == grader.answer_form())
            .or_else(|| asked.answer_form(grader))
    }
}

fn flex() -> String {
    "flex".to_owned()
}
