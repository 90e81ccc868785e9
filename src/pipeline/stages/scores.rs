//! Scores and metrics as rows for the store.

use crate::domain::{Episode, EvalShape};
use crate::eval::{self, Metric};
use crate::store::{MetricRow, ScoreRow};

/// The scores of one problem by metric as rows.
pub fn score_rows(problem: &str, scores: impl IntoIterator<Item = (String, f64)>) -> Vec<ScoreRow> {
    scores
        .into_iter()
        .map(|(metric, value)| ScoreRow {
            metric,
            problem: problem.to_owned(),
            value,
        })
        .collect()
}

/// The scores of one problem's episodes: its sequential log, then the parallel samples.
pub fn evaluation_score_rows(episodes: &[Episode], shape: EvalShape) -> Vec<ScoreRow> {
    let (log, parallel) = episodes.split_first().expect("every problem has its log");
    score_rows(&log.problem, eval::score_problem(log, parallel, shape))
}

/// A metric as a row.
pub fn metric_row(metric: Metric) -> MetricRow {
    MetricRow {
        name: metric.name,
        version: metric.version,
        unit: metric.unit.name().to_owned(),
        higher_is_better: metric.higher_is_better,
        meaning: metric.meaning,
    }
}
