//! What the database hands out: plain rows, without SQL and without behaviour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{Grade, Key};

/// Where a run or a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Known, not begun.
    Queued,
    /// Being worked on by a live process.
    Running,
    /// Finished; its rows cannot change any more.
    Done,
    /// Ended with an error.
    Failed,
    /// Left unfinished by a stop or a dead process; the same command goes on.
    Interrupted,
}

impl Status {
    /// Every status, in the order of a run's life.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Interrupted,
    ];

    /// The name as written in the database and shown to people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// An experiment file as it was when it last ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExperimentRow {
    /// Its name.
    pub name: String,
    /// The question it asks.
    pub question: String,
    /// The TOML text.
    pub toml: String,
    /// Report wishes as JSON (baseline, families, tables).
    pub report: Value,
}

/// One cell of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    /// The experiment it belongs to.
    pub experiment: String,
    /// Its identity within any experiment.
    pub key: Key,
    /// Position in the expansion, from 0.
    pub position: u32,
    /// Readable name made from the axes, e.g. `base=weak weighting=exp(0.4) seed=0`.
    pub label: String,
    /// The run's seed.
    pub seed: u64,
    /// (axis path, value label) in the order of the experiment file; without the seed.
    pub axes: Vec<(String, String)>,
    /// The whole run specification.
    pub spec: Value,
    /// Where it stands.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
}

/// A run as it stands in a list: without its settings, which are most of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunListRow {
    /// The experiment it belongs to.
    pub experiment: String,
    /// Its identity within any experiment.
    pub key: Key,
    /// Readable name made from the axes.
    pub label: String,
    /// The run's seed.
    pub seed: u64,
    /// (axis path, value label) in the order of the experiment file; without the seed.
    pub axes: Vec<(String, String)>,
    /// Where it stands.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
}

/// How far an experiment is.
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentProgress {
    /// Its name.
    pub experiment: String,
    /// How many of its runs stand so.
    pub runs: Vec<(Status, u64)>,
    /// How many of its different stages stand so.
    pub stages: Vec<(Status, u64)>,
    /// Stages that are running or failed, in the order in which its runs first need them.
    pub active_or_failed: Vec<StageRow>,
}

/// One evaluated checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointRow {
    /// The run.
    pub run: Key,
    /// Order within the run, from 0.
    pub position: u32,
    /// `base`, `boost`, `sft`, `round 1`, `round 2`, ...
    pub name: String,
    /// The stage that made the weights.
    pub weights: Key,
    /// The stage that evaluated them.
    pub evaluation: Key,
}

/// One stage, possibly shared between runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageRow {
    /// Its identity: what it does and what it reads.
    pub key: Key,
    /// `prepare`, `tokenize`, `base`, `collect`, `improve`, `weigh`, `train`, `prefer`, `reinforce`, `evaluate`.
    pub kind: String,
    /// Readable name.
    pub label: String,
    /// Where it stands.
    pub status: Status,
    /// Wall-clock seconds of the successful execution.
    pub seconds: Option<f64>,
    /// What was counted on the way (tokens sampled, tokens trained, teacher calls, ...).
    pub counts: Value,
    /// Where it was made: backend, instruction set, program version, `shipped` or not.
    pub origin: Value,
    /// Why it failed.
    pub error: Option<String>,
    /// How often it was begun.
    pub attempts: u32,
    /// Largest resident set of the process while it executed the stage, in bytes; none where it
    /// was not measured.
    pub peak_bytes: Option<u64>,
}

/// One problem's score under one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// Name of the metric, e.g. `m1@t5`.
    pub metric: String,
    /// The problem's id.
    pub problem: String,
    /// The score, in [0, 1] for accuracies.
    pub value: f64,
}

/// What another grader makes of a stage's texts.
#[derive(Clone, Debug, PartialEq)]
pub struct RegradeResults {
    /// Name and version of the grader.
    pub grader: (String, u32),
    /// One grade per text, in the order of episodes, turns and candidates; none if they are stored
    /// already and only scores are added.
    pub grades: Vec<Grade>,
    /// Scores under that grader, problem by problem.
    pub scores: Vec<ScoreRow>,
}

/// What is stored of a stage's texts under one grader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraderCoverage {
    /// Name and version of the grader.
    pub grader: (String, u32),
    /// Whether the stage was made with it.
    #[serde(rename = "own")]
    pub is_stage_grader: bool,
    /// Whether it could read no answer in any text, so that there are no rows of it.
    #[serde(rename = "unread")]
    pub reads_nothing: bool,
    /// Texts of the stage.
    pub attempts: u64,
    /// Texts with a grade.
    pub graded: u64,
    /// Problems with a score, by name and version of the metric.
    pub scores: BTreeMap<(String, u32), u64>,
}

/// How far an evaluation went, on every problem of it at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EvalShapeRow {
    /// Problems.
    pub problems: u64,
    /// Turns of the sequential log.
    pub turns: u32,
    /// First-turn samples, the log's own included.
    pub samples: u32,
    /// Whether logs may end early.
    #[serde(rename = "stops")]
    pub may_stop_early: bool,
    /// Whether the policy verifies its own attempts.
    #[serde(rename = "verifies")]
    pub self_verifies: bool,
}

/// How many rows were new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InsertedCounts {
    /// Grades.
    pub grades: u64,
    /// Scores.
    pub scores: u64,
    /// Whether it is new that a grader reads no answer at all in a stage.
    #[serde(rename = "unread")]
    pub reads_nothing: bool,
}

/// What a metric means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricRow {
    /// Its name.
    pub name: String,
    /// Raised when its meaning changes.
    pub version: u32,
    /// `fraction`, `tokens`, `count` or `nats`.
    pub unit: String,
    /// Whether more is better; none when neither is.
    pub higher_is_better: Option<bool>,
    /// One sentence.
    pub meaning: String,
}

/// One file that a stage left in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArtifactRow {
    /// File name inside the stage's folder.
    pub name: String,
    /// Hash of its bytes.
    pub sha256: Key,
    /// Its size.
    pub bytes: u64,
}

/// How much work an experiment saves by sharing stages between its runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageSharing {
    /// Stages asked for: the sum over runs.
    #[serde(rename = "asked")]
    pub requested: u64,
    /// Different stages among them, each executed once.
    pub distinct: u64,
}
