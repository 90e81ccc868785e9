//! Dots and intervals per axis: every value's last checkpoint, and its distance from the baseline.

use super::super::Analysis;
use super::super::format::slug;
use super::super::tables::{AblationValue, ReportSection, ablation_values, varied_axes};
use super::{Chart, Figure, IntervalRow, ValueInterval};
use crate::domain::MetricName;

/// One figure per axis that was varied.
pub fn build(analysis: &Analysis<'_>) -> Vec<Figure> {
    varied_axes(analysis)
        .into_iter()
        .filter_map(|axis| figure(analysis, axis))
        .collect()
}

fn figure(analysis: &Analysis<'_>, axis: &str) -> Option<Figure> {
    let [first, parallel, sequential, _] = analysis.metric_columns.metrics();
    let marks = [first, parallel, sequential];
    let mut regime = String::new();
    let mut rows = Vec::new();
    for value in ablation_values(analysis, axis) {
        let is_new = value.regime != regime && !value.regime.is_empty();
        regime.clone_from(&value.regime);
        rows.push(IntervalRow {
            heading: is_new.then(|| regime.clone()),
            ..interval_row(value, &marks, sequential)
        });
    }
    let anything = rows.iter().flat_map(|row| &row.values).any(Option::is_some);
    anything.then(|| Figure {
        id: format!("ablation-{}", slug(axis)),
        section: ReportSection::Ablations,
        title: format!("Axis {axis}"),
        caption: format!(
            "Left: percent solved by each value's last checkpoint with 95 % intervals. Right: the \
             paired difference of {sequential} to the baseline value in points, coloured only if \
             clear after correction."
        ),
        chart: Chart::Intervals {
            marks: marks.map(ToString::to_string).to_vec(),
            difference: format!("{sequential} minus baseline, points"),
            rows,
        },
    })
}

fn interval_row(
    value: AblationValue,
    marks: &[&MetricName],
    sequential: &MetricName,
) -> IntervalRow {
    let compared = value.comparisons.get(sequential);
    let estimates = marks.iter().map(|mark| value.estimates.get(*mark));
    let missing_text = match value.checkpoint {
        Some(_) => "no such number",
        None => "missing",
    };
    IntervalRow {
        heading: None,
        values: estimates
            .map(|estimate| estimate.map(ValueInterval::from))
            .collect(),
        missing_text: missing_text.to_owned(),
        difference: compared.map(|compared| (&compared.difference).into()),
        verdict: compared.map_or(String::new(), |compared| {
            compared.verdict.label().to_owned()
        }),
        label: value.label,
        baseline: value.baseline,
    }
}
