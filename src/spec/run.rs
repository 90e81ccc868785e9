//! One cell of a sweep: everything that can change a number, composed from the configs that live
//! beside the code they configure. Holds no behaviour beyond checking that settings fit together.

use serde::{Deserialize, Serialize};

use crate::data::{GraderConfig, Sizes, TaskConfig};
use crate::rollout::{CollectConfig, EvaluateConfig};
use crate::train::{Data, Selection, Start, TrainConfig, Weighting};

/// What is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Recursive introspection, the paper's Algorithm 1.
    #[default]
    Rise,
    /// Supervised fine-tuning on the reference solutions at turn 1.
    Sft,
}

/// A preliminary supervised round on reference solutions (the paper's Boost).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoostConfig {
    /// Training problems whose reference solution is trained on; 0 leaves the boost out.
    pub problems: usize,
}

/// How rounds follow each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoundsConfig {
    /// Rounds of collect, improve, weigh and train.
    pub count: u32,
    /// Which weights each round starts from.
    pub start: Start,
    /// Which data each round trains on.
    pub data: Data,
}

impl Default for RoundsConfig {
    fn default() -> Self {
        Self { count: 2, start: Start::Base, data: Data::Union }
    }
}

/// Everything that decides the numbers of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The base model, by the name of a file in the folder of base models.
    pub base: String,
    /// Where problems come from.
    pub task: TaskConfig,
    /// How many problems each split has.
    #[serde(default)]
    pub data: Sizes,
    /// What is trained.
    #[serde(default)]
    pub method: Method,
    /// The preliminary supervised round.
    #[serde(default)]
    pub boost: BoostConfig,
    /// How rounds follow each other.
    #[serde(default)]
    pub rounds: RoundsConfig,
    /// How trajectories are collected and improved.
    #[serde(default)]
    pub collect: CollectConfig,
    /// Which attempts become training targets.
    #[serde(default)]
    pub selection: Selection,
    /// How much each target counts.
    #[serde(default)]
    pub weighting: Weighting,
    /// Optimizer and schedule.
    #[serde(default)]
    pub train: TrainConfig,
    /// How checkpoints are evaluated.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
    /// The grader behind rewards and scores; the task's own if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grader: Option<GraderConfig>,
    /// Where tensors live: `flex`, or another backend that is compiled in.
    #[serde(default = "flex")]
    pub backend: String,
    /// Root of all random numbers of the run; set by the experiment's `seeds`.
    #[serde(default)]
    pub seed: u64,
}

impl RunSpec {
    /// The grader behind rewards and scores.
    #[must_use]
    pub fn grader(&self) -> GraderConfig {
        self.grader.unwrap_or_else(|| self.task.grader())
    }
}

fn flex() -> String {
    "flex".to_owned()
}
