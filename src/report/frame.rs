//! Reads everything a report needs into plain data. The only file of the report that knows the
//! database; the rest, and its tests, work on [`Frame`]s built by hand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::domain::{Episode, Key, Point, Problem};
use crate::store::{MetricRow, Reader, Sharing, StageRow, Status};

use super::{ReportError, Study, Wishes};

/// The scores of one evaluation: metric name to (problem number, score), sorted by problem number.
pub type Scores = BTreeMap<String, Vec<(u32, f64)>>;

/// One cell of the experiment at one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its identity.
    pub key: Key,
    /// Readable name.
    pub label: String,
    /// Training seed.
    pub seed: u64,
    /// (axis path, value label), without the seed.
    pub axes: Vec<(String, String)>,
    /// The whole run specification.
    pub spec: Value,
    /// Where it stands.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
    /// Evaluated checkpoints in order.
    pub checkpoints: Vec<Checkpoint>,
}

/// One evaluated checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// `base`, `boost`, `sft`, `round 1`, ...
    pub name: String,
    /// The stage that made the weights.
    pub weights: Key,
    /// The stage that evaluated them.
    pub evaluation: Key,
}

/// Everything a report is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The experiment's name.
    pub name: String,
    /// The question it asks.
    pub question: String,
    /// What its file asks of the report.
    pub wishes: Wishes,
    /// Its runs in order of the expansion.
    pub runs: Vec<Run>,
    /// Its stages, each once.
    pub stages: Vec<StageRow>,
    /// How many stages the runs ask for, and how many different ones those are.
    pub sharing: (u64, u64),
    /// What the metrics mean.
    pub metrics: Vec<MetricRow>,
    /// Problem ids in order; a problem's number is its place here.
    pub problems: Vec<String>,
    /// Scores by evaluation stage.
    pub scores: BTreeMap<Key, Scores>,
    /// Training curves by the stage that trained.
    pub curves: BTreeMap<Key, Vec<Point>>,
    /// Episodes of the evaluations that dialogues are shown from.
    pub episodes: BTreeMap<Key, Vec<Episode>>,
    /// Texts of the problems in those episodes, by evaluation and problem id.
    pub texts: BTreeMap<(Key, String), Problem>,
}

/// Reads an experiment.
///
/// # Errors
/// If there is no such experiment, its report wishes are not understood, or the database cannot be read.
pub fn read(reader: &Reader, experiment: &str) -> Result<Frame, ReportError> {
    let row = reader.experiment_named(experiment)?;
    let Sharing { asked, distinct } = reader.sharing(experiment)?;
    let mut frame = Frame {
        sharing: (asked, distinct),
        wishes: Wishes::of(experiment, &row.report)?,
        name: row.name,
        question: row.question,
        runs: runs(reader, experiment)?,
        stages: reader.stages(experiment)?,
        metrics: reader.metrics()?,
        ..Frame::default()
    };
    frame.stages.sort_by(|a, b| a.key.cmp(&b.key));
    frame.stages.dedup_by(|a, b| a.key == b.key);
    read_scores(reader, &mut frame)?;
    for stage in trained(&frame) {
        frame.curves.insert(stage.clone(), reader.points(&stage)?);
    }
    let shown: BTreeSet<Key> = Study::of(&frame).shown().into_iter().collect();
    for stage in shown {
        let sequential = reader.episodes(&stage)?.into_iter().filter(|episode| episode.sample == 0);
        frame.episodes.insert(stage, sequential.collect());
    }
    read_texts(reader, &mut frame)?;
    Ok(frame)
}

fn runs(reader: &Reader, experiment: &str) -> Result<Vec<Run>, ReportError> {
    let mut checkpoints = reader.checkpoints(experiment)?;
    checkpoints.sort_by_key(|checkpoint| checkpoint.position);
    let mut rows = reader.runs(experiment)?;
    rows.sort_by_key(|run| run.position);
    let of = |run: &Key| {
        let own = checkpoints.iter().filter(|checkpoint| checkpoint.run == *run);
        own.map(|c| Checkpoint {
            name: c.name.clone(),
            weights: c.weights.clone(),
            evaluation: c.evaluation.clone(),
        })
        .collect()
    };
    let runs = rows.into_iter().map(|row| Run {
        checkpoints: of(&row.key),
        key: row.key,
        label: row.label,
        seed: row.seed,
        axes: row.axes,
        spec: row.spec,
        status: row.status,
        error: row.error,
    });
    Ok(runs.collect())
}

/// Evaluations that are finished; a stage without rows would otherwise look like a metric of no problems.
fn read_scores(reader: &Reader, frame: &mut Frame) -> Result<(), ReportError> {
    let done: BTreeSet<&Key> =
        frame.stages.iter().filter(|stage| stage.status == Status::Done).map(|stage| &stage.key).collect();
    let checkpoints = frame.runs.iter().flat_map(|run| &run.checkpoints);
    let evaluations: BTreeSet<Key> =
        checkpoints.map(|c| c.evaluation.clone()).filter(|key| done.contains(key)).collect();
    let mut rows = Vec::new();
    for evaluation in evaluations {
        let scores = reader.scores(&evaluation)?;
        rows.push((evaluation, scores));
    }
    let names: BTreeSet<&str> = rows.iter().flat_map(|(_, s)| s).map(|score| score.problem.as_str()).collect();
    let numbers: BTreeMap<&str, u32> = names.iter().copied().zip(0..).collect();
    for (evaluation, scores) in &rows {
        let table = frame.scores.entry(evaluation.clone()).or_default();
        for score in scores {
            let place = (numbers[score.problem.as_str()], score.value);
            table.entry(score.metric.clone()).or_default().push(place);
        }
        table.values_mut().for_each(|column| column.sort_by_key(|place| place.0));
    }
    frame.problems = names.into_iter().map(str::to_owned).collect();
    Ok(())
}

/// Stages that trained a checkpoint of a run; the shared base models are left out.
fn trained(frame: &Frame) -> BTreeSet<Key> {
    let checkpoints = frame.runs.iter().flat_map(|run| &run.checkpoints);
    checkpoints.filter(|c| c.name != "base").map(|c| c.weights.clone()).collect()
}

fn read_texts(reader: &Reader, frame: &mut Frame) -> Result<(), ReportError> {
    for (stage, episodes) in &frame.episodes {
        for episode in episodes {
            if let Some(problem) = reader.problem(stage, &episode.problem)? {
                frame.texts.insert((stage.clone(), episode.problem.clone()), problem);
            }
        }
    }
    Ok(())
}
