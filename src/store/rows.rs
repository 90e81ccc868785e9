//! The rows that the database returns: plain values without behaviour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{Grade, Key};

/// The status of a run or a stage.
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
    /// Left unfinished by a stop or a dead process; the same command continues it.
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

/// An experiment file as of its last run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExperimentRow {
    /// Its name.
    pub name: String,
    /// The question it asks.
    pub question: String,
    /// The TOML text.
    pub toml: String,
    /// Report options as JSON (baseline, families, tables).
    pub report: Value,
}

/// One run of an experiment.
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
    /// The whole run specification; null in [`StoreReader::list_runs`], where it would be most of
    /// a row.
    ///
    /// [`StoreReader::list_runs`]: super::StoreReader::list_runs
    pub spec: Value,
    /// Its status.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
}

/// The progress of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentProgress {
    /// Its name.
    pub experiment: String,
    /// Number of its runs with each status.
    pub runs: Vec<(Status, u64)>,
    /// Number of its distinct stages with each status.
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
    /// Its identity: the hash of its specification and inputs.
    pub key: Key,
    /// `prepare`, `tokenize`, `base`, `collect`, `improve`, `weigh`, `train`, `prefer`, `reinforce`, `evaluate`.
    pub kind: String,
    /// Readable name.
    pub label: String,
    /// Its status.
    pub status: Status,
    /// Wall-clock seconds of the successful execution.
    pub seconds: Option<f64>,
    /// Counts by name (tokens sampled, tokens trained, teacher calls, ...).
    pub counts: Value,
    /// Backend, instruction set, program version, `shipped` or not.
    pub origin: Value,
    /// Why it failed.
    pub error: Option<String>,
    /// Number of executions.
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

/// The grades and scores of a stage's texts under another grader.
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

/// The stored grades and scores of a stage's texts under one grader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraderCoverage {
    /// Name and version of the grader.
    pub grader: (String, u32),
    /// Whether it is the grader of the stage.
    #[serde(rename = "own")]
    pub is_stage_grader: bool,
    /// Whether it read no answer in any text; there are no rows of such a grader.
    #[serde(rename = "unread")]
    pub reads_nothing: bool,
    /// Texts of the stage.
    pub attempts: u64,
    /// Texts with a grade.
    pub graded: u64,
    /// Problems with a score, by name and version of the metric.
    pub scores: BTreeMap<(String, u32), u64>,
}

/// Numbers of new rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InsertedCounts {
    /// Grades.
    pub grades: u64,
    /// Scores.
    pub scores: u64,
    /// Whether a new row says that the grader reads no answer in the stage.
    #[serde(rename = "unread")]
    pub reads_nothing: bool,
}

/// The meaning of a metric.
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

/// One file in the folder of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArtifactRow {
    /// File name inside the stage's folder.
    pub name: String,
    /// Hash of its bytes.
    pub sha256: Key,
    /// Its size.
    pub bytes: u64,
}

/// How many stages the runs of an experiment share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageSharing {
    /// Stages of all runs: the sum over runs.
    #[serde(rename = "asked")]
    pub requested: u64,
    /// Distinct stages among them, each executed once.
    pub distinct: u64,
}
