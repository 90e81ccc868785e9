//! Reads a report's data from the store, so that the rest of the module works on plain data.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    CheckpointName, Episode, Key, MetricName, MetricPoint, Problem, ReportOptions,
};
use crate::store::{MetricRow, ScoreRow, StageRow, StageSharing, Status, StoreReader};

use super::{Analysis, ReportError};

/// The scores of one evaluation: metric name to (problem number, score), sorted by problem number.
pub type MetricScores = BTreeMap<MetricName, Vec<(u32, f64)>>;

/// A condition of the experiment at one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportRun {
    /// Its key.
    pub key: Key,
    /// Readable name.
    pub label: String,
    /// Training seed.
    pub seed: u64,
    /// (axis path, value label), without the seed.
    pub axes: Vec<(String, String)>,
    /// The whole run specification.
    pub spec: Value,
    /// Its status.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
    /// Evaluated checkpoints in order.
    pub checkpoints: Vec<EvaluatedCheckpoint>,
}

/// One evaluated checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedCheckpoint {
    /// Its name.
    pub name: CheckpointName,
    /// The stage that made the weights.
    pub weights: Key,
    /// The stage that evaluated them.
    pub evaluation: Key,
}

/// A grader at a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(String, u64)", into = "(String, u64)")]
pub struct GraderVersion {
    /// The grader's name.
    pub name: String,
    /// Its version.
    pub version: u64,
}

impl From<(String, u64)> for GraderVersion {
    fn from((name, version): (String, u64)) -> Self {
        Self { name, version }
    }
}

impl From<GraderVersion> for (String, u64) {
    fn from(grader: GraderVersion) -> Self {
        (grader.name, grader.version)
    }
}

impl fmt::Display for GraderVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

/// Evaluations under further graders.
pub type RegradedEvaluations = BTreeMap<GraderVersion, BTreeMap<Key, RegradedEvaluation>>;

/// One evaluation under a grader that it was not made with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegradedEvaluation {
    /// Its scores; none where the grader reads no answer in any text.
    pub scores: MetricScores,
    /// Attempts that both graders have graded.
    pub attempts: u64,
    /// Attempts that only one of the two accepts.
    pub disagreements: u64,
}

/// Everything a report is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportData {
    /// The experiment's name.
    pub name: String,
    /// The question it asks.
    pub question: String,
    /// The `[report]` table of its file.
    pub options: ReportOptions,
    /// Its runs in order of the expansion.
    pub runs: Vec<ReportRun>,
    /// Its stages, each once.
    pub stages: Vec<StageRow>,
    /// The stages that each stage reads.
    pub inputs: BTreeMap<Key, Vec<Key>>,
    /// Stages that the runs need, and different ones among them.
    pub stage_counts: StageSharing,
    /// The graders behind the scores.
    pub graders: BTreeSet<GraderVersion>,
    /// The metrics and their meanings.
    pub metrics: Vec<MetricRow>,
    /// Problem ids in order; a problem's number is its index here.
    pub problems: Vec<String>,
    /// Scores by evaluation stage.
    pub scores: BTreeMap<Key, MetricScores>,
    /// The evaluations behind the headline under further graders.
    pub regraded: RegradedEvaluations,
    /// Training curves by the stage that trained.
    pub curves: BTreeMap<Key, Vec<MetricPoint>>,
    /// Episodes of the evaluations behind the dialogues.
    pub episodes: BTreeMap<Key, Vec<Episode>>,
    /// Texts of the problems in those episodes, by evaluation and problem id.
    pub problem_texts: BTreeMap<(Key, String), Problem>,
}

/// Reads an experiment.
///
/// # Errors
/// If there is no such experiment, its `[report]` table is invalid, or the store cannot be read.
pub fn read_report_data(reader: &StoreReader, experiment: &str) -> Result<ReportData, ReportError> {
    let mut data = read_measurements(reader, experiment)?;
    data.regraded = read_regraded(reader, &data)?;
    for stage in training_stages(&data) {
        data.curves.insert(stage.clone(), reader.points(&stage)?);
    }
    let sources: BTreeSet<Key> = Analysis::new(&data)
        .dialogue_sources()
        .into_iter()
        .collect();
    for stage in sources {
        let sequential = reader
            .episodes(&stage)?
            .into_iter()
            .filter(|episode| episode.sample == 0);
        data.episodes.insert(stage, sequential.collect());
    }
    read_texts(reader, &mut data)?;
    Ok(data)
}

/// Reads an experiment's runs, stages and scores; leaves out curves and episodes.
///
/// # Errors
/// As for [`read_report_data`].
pub fn read_measurements(
    reader: &StoreReader,
    experiment: &str,
) -> Result<ReportData, ReportError> {
    let row = reader.find_experiment(experiment)?;
    let options = match row.report {
        Value::Null => Ok(ReportOptions::default()),
        options => serde_json::from_value(options),
    };
    let options = options.map_err(|error| ReportError::InvalidOptions {
        experiment: experiment.to_owned(),
        problem: error.to_string(),
    })?;
    let mut data = ReportData {
        stage_counts: reader.stage_sharing(experiment)?,
        options,
        name: row.name,
        question: row.question,
        runs: read_runs(reader, experiment)?,
        stages: reader.experiment_stages(experiment)?,
        metrics: reader.metrics()?,
        ..ReportData::default()
    };
    data.stages.sort_by(|a, b| a.key.cmp(&b.key));
    data.stages.dedup_by(|a, b| a.key == b.key);
    for stage in &data.stages {
        data.inputs
            .insert(stage.key.clone(), reader.stage_inputs(&stage.key)?);
    }
    read_scores(reader, &mut data)?;
    for evaluation in data.scores.keys() {
        let grader = reader.stage_grader(evaluation)?;
        data.graders
            .extend(grader.map(|(name, version)| (name, u64::from(version)).into()));
    }
    Ok(data)
}

fn read_runs(reader: &StoreReader, experiment: &str) -> Result<Vec<ReportRun>, ReportError> {
    let mut rows = reader.checkpoints(experiment)?;
    rows.sort_by_key(|checkpoint| checkpoint.position);
    let mut checkpoints: BTreeMap<Key, Vec<EvaluatedCheckpoint>> = BTreeMap::new();
    for row in rows {
        let checkpoint = EvaluatedCheckpoint {
            name: row.name.into(),
            weights: row.weights,
            evaluation: row.evaluation,
        };
        checkpoints.entry(row.run).or_default().push(checkpoint);
    }
    let mut rows = reader.runs(experiment)?;
    rows.sort_by_key(|run| run.position);
    let runs = rows.into_iter().map(|row| ReportRun {
        checkpoints: checkpoints.remove(&row.key).unwrap_or_default(),
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

/// Reads finished evaluations only; a stage without rows would look like a metric of no problems.
fn read_scores(reader: &StoreReader, data: &mut ReportData) -> Result<(), ReportError> {
    let done: BTreeSet<&Key> = data
        .stages
        .iter()
        .filter(|stage| stage.status == Status::Done)
        .map(|stage| &stage.key)
        .collect();
    let checkpoints = data.runs.iter().flat_map(|run| &run.checkpoints);
    let evaluations: BTreeSet<Key> = checkpoints
        .map(|c| c.evaluation.clone())
        .filter(|key| done.contains(key))
        .collect();
    let mut rows = Vec::new();
    for evaluation in evaluations {
        let scores = reader.scores(&evaluation)?;
        rows.push((evaluation, scores));
    }
    let numbers = problem_numbers(rows.iter().flat_map(|(_, scores)| scores));
    for (evaluation, scores) in &rows {
        data.scores.insert(
            evaluation.clone(),
            columns_by_metric(scores, |problem| numbers.get(problem).copied()),
        );
    }
    let mut problems: Vec<(u32, String)> = numbers
        .into_iter()
        .map(|(id, number)| (number, id.to_owned()))
        .collect();
    problems.sort_unstable();
    data.problems = problems.into_iter().map(|(_, id)| id).collect();
    Ok(())
}

/// The scores of a stage by metric; leaves out problems without a number.
fn columns_by_metric(scores: &[ScoreRow], number: impl Fn(&str) -> Option<u32>) -> MetricScores {
    let metrics = scores.chunk_by(|a, b| a.metric == b.metric);
    let columns = metrics.map(|scores| {
        let numbered = scores.iter();
        let mut column: Vec<(u32, f64)> = numbered
            .filter_map(|score| Some((number(&score.problem)?, score.value)))
            .collect();
        column.sort_by_key(|(problem, _)| *problem);
        (scores[0].metric.clone().into(), column)
    });
    columns.collect()
}

/// The evaluations behind the headline under every further grader that is stored.
fn read_regraded(
    reader: &StoreReader,
    data: &ReportData,
) -> Result<RegradedEvaluations, ReportError> {
    let mut others = RegradedEvaluations::new();
    for evaluation in Analysis::new(data).headline_evaluations() {
        for rows in reader.grader_coverage(&evaluation)? {
            if rows.is_stage_grader {
                continue;
            }
            let scores = reader.scores_by_grader(&evaluation, &rows.grader)?;
            let (disagreements, attempts) =
                reader.grader_disagreement(&evaluation, &rows.grader)?;
            let other = RegradedEvaluation {
                scores: columns_by_metric(&scores, |problem| problem_number(data, problem)),
                attempts,
                disagreements,
            };
            let grader = (rows.grader.0, u64::from(rows.grader.1)).into();
            let under = others.entry(grader).or_default();
            under.insert(evaluation.clone(), other);
        }
    }
    Ok(others)
}

fn problem_number(data: &ReportData, id: &str) -> Option<u32> {
    let problems = &data.problems;
    let index = problems.binary_search_by(|known| known.as_str().cmp(id));
    u32::try_from(index.ok()?).ok()
}

/// Every problem's number: its index among the sorted ids. Hashed, because there are a million
/// lookups; nothing depends on the order of the map.
fn problem_numbers<'s>(scores: impl Iterator<Item = &'s ScoreRow>) -> HashMap<&'s str, u32> {
    let ids: HashSet<&str> = scores.map(|score| score.problem.as_str()).collect();
    let mut ids: Vec<&str> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.into_iter().zip(0..).collect()
}

/// Stages that trained a checkpoint of a run; the shared base models are left out.
fn training_stages(data: &ReportData) -> BTreeSet<Key> {
    let checkpoints = data.runs.iter().flat_map(|run| &run.checkpoints);
    checkpoints
        .filter(|c| !c.name.is_base())
        .map(|c| c.weights.clone())
        .collect()
}

fn read_texts(reader: &StoreReader, data: &mut ReportData) -> Result<(), ReportError> {
    for (stage, episodes) in &data.episodes {
        for episode in episodes {
            if let Some(problem) = reader.find_problem(stage, &episode.problem)? {
                data.problem_texts
                    .insert((stage.clone(), episode.problem.clone()), problem);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Split;
    use crate::report::{fixtures, write_report};
    use crate::store::{
        CheckpointRow, ExperimentRow, PlannedRunRow, PlannedStageRow, StageResults, Store,
    };

    /// Records a report's data in a store the way a sweep does.
    fn store_data(data: &ReportData, folder: &std::path::Path) {
        let mut store = Store::open(folder).unwrap();
        let prepare = Key::from_value("prepare");
        let mut stages = vec![planned_stage(&prepare, "prepare", vec![])];
        for c in data.runs.iter().flat_map(|run| &run.checkpoints) {
            let inputs = vec![c.weights.clone(), prepare.clone()];
            stages.push(planned_stage(&c.weights, "train", vec![prepare.clone()]));
            stages.push(planned_stage(&c.evaluation, "evaluate", inputs));
        }
        let runs = data.runs.iter().zip(0..);
        let runs: Vec<PlannedRunRow> = runs
            .map(|(run, position)| planned_run(run, position, &prepare))
            .collect();
        let row = ExperimentRow {
            name: data.name.clone(),
            question: data.question.clone(),
            toml: String::new(),
            report: json!({ "headline": [{ "title": "Weak", "where": { "base": "weak" } }] }),
        };
        store.record_experiment(&row, &runs, &stages).unwrap();
        store_metrics(&mut store, data);
        store_results(&mut store, data, &prepare);
        for run in &data.runs {
            store
                .set_run_status(&data.name, &run.key, run.status, run.error.as_deref())
                .unwrap();
        }
    }

    fn planned_stage(key: &Key, kind: &str, inputs: Vec<Key>) -> PlannedStageRow {
        PlannedStageRow {
            key: key.clone(),
            kind: kind.to_owned(),
            label: kind.to_owned(),
            inputs,
        }
    }

    fn planned_run(run: &ReportRun, position: u32, prepare: &Key) -> PlannedRunRow {
        let mut stages = vec![prepare.clone()];
        let mut checkpoints = Vec::new();
        for (c, position) in run.checkpoints.iter().zip(0..) {
            stages.extend([c.weights.clone(), c.evaluation.clone()]);
            checkpoints.push(CheckpointRow {
                run: run.key.clone(),
                position,
                name: c.name.to_string(),
                weights: c.weights.clone(),
                evaluation: c.evaluation.clone(),
            });
        }
        PlannedRunRow {
            key: run.key.clone(),
            label: run.label.clone(),
            position,
            seed: run.seed,
            axes: run.axes.clone(),
            spec: run.spec.clone(),
            stages,
            checkpoints,
        }
    }

    fn store_metrics(store: &mut Store, data: &ReportData) {
        let names: BTreeSet<&MetricName> = data.scores.values().flat_map(BTreeMap::keys).collect();
        let metrics = names.into_iter().map(|name| MetricRow {
            name: name.to_string(),
            version: 1,
            unit: "fraction".to_owned(),
            higher_is_better: None,
            meaning: "Made up.".to_owned(),
        });
        store.record_metrics(&metrics.collect::<Vec<_>>()).unwrap();
    }

    fn store_results(store: &mut Store, data: &ReportData, prepare: &Key) {
        let texts = data.problem_texts.iter();
        let texts: BTreeMap<&String, &Problem> = texts.map(|((_, id), text)| (id, text)).collect();
        let prepared = StageResults {
            problems: texts
                .into_values()
                .map(|text| (Split::Test, text.clone()))
                .collect(),
            ..StageResults::default()
        };
        store.record_stage_results(prepare, &prepared).unwrap();
        for c in data.runs.iter().flat_map(|run| &run.checkpoints) {
            let trained = StageResults {
                points: data.curves.get(&c.weights).cloned().unwrap_or_default(),
                ..StageResults::default()
            };
            store.record_stage_results(&c.weights, &trained).unwrap();
            let mut scores = Vec::new();
            for (metric, column) in &data.scores[&c.evaluation] {
                scores.extend(column.iter().map(|&(problem, value)| ScoreRow {
                    metric: metric.to_string(),
                    problem: data.problems[problem as usize].clone(),
                    value,
                }));
            }
            let evaluated = StageResults {
                scores,
                episodes: data.episodes[&c.evaluation].clone(),
                grader: Some(("numeric".to_owned(), 2)),
                ..StageResults::default()
            };
            store
                .record_stage_results(&c.evaluation, &evaluated)
                .unwrap();
        }
    }

    #[test]
    fn what_a_sweep_stored_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let data = fixtures::sample_data_with(12);
        store_data(&data, folder.path());
        let read =
            read_report_data(&StoreReader::open(folder.path()).unwrap(), &data.name).unwrap();
        assert_eq!(read.runs, data.runs);
        assert_eq!(read.scores, data.scores);
        assert_eq!(read.curves.len(), data.curves.len());
        let evaluated = &read.runs[0].checkpoints[1];
        assert_eq!(
            read.inputs[&evaluated.evaluation],
            [evaluated.weights.clone(), Key::from_value("prepare")]
        );
        assert_eq!(read.options.headline[0].title, "Weak");
        assert_eq!(
            read.graders,
            BTreeSet::from([("numeric".to_owned(), 2).into()])
        );
        assert_eq!(read.episodes.len(), 1);
        assert_eq!(read.problem_texts.len(), 12);
        let counts = StageSharing {
            requested: 6 + 32,
            distinct: 1 + 32,
        };
        assert_eq!(read.stage_counts, counts);
    }

    #[test]
    fn a_report_is_written_from_a_database_and_names_its_page() {
        let (store, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = fixtures::sample_data_with(12);
        store_data(&data, store.path());
        let reader = StoreReader::open(store.path()).unwrap();
        let written = write_report(&reader, "ablations", out.path()).unwrap();
        assert!(written.index.ends_with("ablations/index.html") && written.index.exists());
        assert!(
            written.headline[0].starts_with("After round 2"),
            "{:?}",
            written.headline
        );
        let first = std::fs::read(written.folder.join("context.json")).unwrap();
        write_report(&reader, "ablations", out.path()).unwrap();
        assert_eq!(
            std::fs::read(written.folder.join("context.json")).unwrap(),
            first
        );
        assert!(
            write_report(&reader, "ablation", out.path())
                .unwrap_err()
                .to_string()
                .contains("ablations")
        );
    }
}
