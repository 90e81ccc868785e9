//! One axis at a time: each value's last checkpoint against the baseline value.

use std::collections::BTreeMap;

use crate::domain::{CheckpointName, MetricName};
use crate::stats::MeanEstimate;

use super::super::Analysis;
use super::super::analysis::{ConditionId, axis_short_name};
use super::super::format::slug;
use super::{
    CorrectedComparison, ReportSection, ReportTable, TableCell, TableRow, correct_comparisons,
};

/// One axis value within one regime.
#[derive(Clone, Debug, PartialEq)]
pub struct AblationValue {
    /// The regime's name; empty for an axis that itself separates regimes.
    pub regime: String,
    /// The value's label.
    pub label: String,
    /// Whether it is the baseline.
    pub baseline: bool,
    /// The checkpoint that is compared; none where nothing is finished.
    pub checkpoint: Option<CheckpointName>,
    /// Estimates by metric.
    pub estimates: BTreeMap<MetricName, MeanEstimate>,
    /// Comparisons with the baseline by metric, corrected within the axis.
    pub comparisons: BTreeMap<MetricName, CorrectedComparison>,
}

/// One table per axis that was varied.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    varied_axes(analysis)
        .into_iter()
        .map(|axis| table(analysis, axis))
        .collect()
}

/// The axes with at least two values to compare.
pub fn varied_axes<'s>(analysis: &'s Analysis<'_>) -> Vec<&'s str> {
    let axes = analysis.axes.iter().map(String::as_str);
    axes.filter(|axis| !comparable_conditions(analysis, axis).is_empty())
        .collect()
}

fn separates_regimes(analysis: &Analysis<'_>, axis: &str) -> bool {
    analysis.regime_axes.iter().any(|path| path == axis)
}

/// Two or more conditions that differ in this axis alone, by regime, the baseline value first.
fn comparable_conditions(analysis: &Analysis<'_>, axis: &str) -> Vec<Vec<ConditionId>> {
    let mut except = vec![axis];
    let candidates = if separates_regimes(analysis, axis) {
        vec![analysis.conditions().collect()]
    } else {
        except.extend(analysis.regime_axes.iter().map(String::as_str));
        analysis.conditions_by_regime()
    };
    let comparable = candidates.into_iter().map(|mut members| {
        members.retain(|&id| {
            analysis.axis_value(id, axis).is_some() && analysis.matches_baseline(id, &except)
        });
        members.sort_by_key(|&id| (analysis.differs_from_baseline(id, axis), id));
        members
    });
    comparable.filter(|members| members.len() > 1).collect()
}

/// Every value of an axis with its comparisons; Holm's correction runs over the values, regimes and
/// metrics of the axis together.
#[must_use]
pub fn ablation_values(analysis: &Analysis<'_>, axis: &str) -> Vec<AblationValue> {
    let mut values = Vec::new();
    let (mut places, mut comparisons) = (Vec::new(), Vec::new());
    for members in comparable_conditions(analysis, axis) {
        let baseline = analysis.last_checkpoint(members[0]);
        for &condition in &members {
            let last = analysis.last_checkpoint(condition);
            let rival = baseline.as_ref().filter(|_| condition != members[0]);
            for metric in analysis.metric_columns.metrics() {
                let sides = last.as_ref().zip(rival);
                let comparison = sides.and_then(|(last, rival)| {
                    analysis.compare(&last.metric(metric), &rival.metric(metric))
                });
                if let Some(comparison) = comparison {
                    places.push((values.len(), metric.clone()));
                    comparisons.push(comparison);
                }
            }
            values.push(uncompared_value(analysis, axis, condition));
        }
    }
    for ((at, metric), outcome) in places.into_iter().zip(correct_comparisons(comparisons)) {
        values[at].comparisons.insert(metric, outcome);
    }
    values
}

fn uncompared_value(analysis: &Analysis<'_>, axis: &str, condition: ConditionId) -> AblationValue {
    let last = analysis.last_checkpoint(condition);
    let metrics = analysis.metric_columns.metrics().into_iter();
    let estimates = metrics.filter_map(|metric| {
        let estimate = analysis.estimate(&last.as_ref()?.metric(metric))?;
        Some((metric.clone(), estimate))
    });
    AblationValue {
        regime: if separates_regimes(analysis, axis) {
            String::new()
        } else {
            analysis.regime_name(condition)
        },
        label: analysis.axis_value(condition, axis).unwrap_or_default(),
        baseline: !analysis.differs_from_baseline(condition, axis),
        estimates: estimates.collect(),
        comparisons: BTreeMap::new(),
        checkpoint: last.map(|last| last.name),
    }
}

fn table(analysis: &Analysis<'_>, axis: &str) -> ReportTable {
    let [first, parallel, sequential, oracle] = analysis.metric_columns.metrics();
    let metrics = [sequential, first, parallel, oracle];
    let mut rows: Vec<TableRow> = Vec::new();
    let mut regime: Option<String> = None;
    for value in ablation_values(analysis, axis) {
        let mut row = row(&value, metrics);
        if regime.as_ref() != Some(&value.regime) && !value.regime.is_empty() {
            row.heading = Some(value.regime.clone());
        }
        regime = Some(value.regime);
        rows.push(row);
    }
    let mut columns = vec!["compared".to_owned()];
    columns.extend(metrics.map(ToString::to_string));
    ReportTable {
        id: format!("ablation-{}", slug(axis)),
        section: ReportSection::Ablations,
        title: format!("Axis {axis}"),
        caption: caption(&rows),
        label_header: axis_short_name(axis).to_owned(),
        columns,
        rows,
    }
}

fn caption(rows: &[TableRow]) -> String {
    let mut cells = rows.iter().flat_map(|row| &row.cells);
    let dashes = if cells.any(|cell| *cell == TableCell::dash()) {
        " A dash marks a metric that the method does not have."
    } else {
        ""
    };
    format!(
        "Percent solved by the last checkpoint, with 95 % interval. Below it: the paired difference to \
         the baseline value, its p value after Holm's correction over this axis, the smallest \
         difference detectable with 80 % power, and the verdict.{dashes}"
    )
}

/// The compared checkpoint, and one cell per metric.
fn row(value: &AblationValue, metrics: [&MetricName; 4]) -> TableRow {
    let seeds = value.estimates.values().map(|estimate| estimate.seeds);
    let compared = match (&value.checkpoint, seeds.max()) {
        (None, _) => "not finished".to_owned(),
        (Some(checkpoint), Some(seeds)) => format!("{checkpoint}, n seeds = {seeds}"),
        (Some(checkpoint), None) => checkpoint.to_string(),
    };
    let mut cells = vec![TableCell::text(compared)];
    cells.extend(metrics.map(|metric| metric_cell(value, metric)));
    TableRow::new(value.label.clone(), cells)
}

fn metric_cell(value: &AblationValue, metric: &MetricName) -> TableCell {
    match (value.estimates.get(metric), value.comparisons.get(metric)) {
        // The checkpoint is scored, so its protocol has no such number.
        (None, _) if value.checkpoint.is_some() => TableCell::dash(),
        (None, _) => TableCell::Missing,
        (Some(estimate), None) if !value.baseline => {
            TableCell::from_fraction(Some(estimate.clone()))
        }
        (Some(estimate), comparison) => TableCell::Comparison {
            estimate: estimate.clone(),
            comparison: comparison.cloned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn an_axis_is_compared_within_its_regime_and_with_everything_else_at_baseline() {
        let data = fixtures::sample_data();
        let analysis = Analysis::new(&data);
        assert_eq!(varied_axes(&analysis), ["base", "weighting", "method"]);
        let values = ablation_values(&analysis, "weighting");
        let labels: Vec<&str> = values.iter().map(|value| value.label.as_str()).collect();
        assert_eq!(labels, ["exp(0.4)", "uniform"]);
        assert!(values[0].baseline && values[0].comparisons.is_empty());
        // Uniform has one seed, so the comparison is on that seed alone.
        assert_eq!(values[1].comparisons["m1@t5"].difference.seeds, 1);
    }

    #[test]
    fn correction_never_lowers_a_p_value() {
        let data = fixtures::sample_data();
        let analysis = Analysis::new(&data);
        let values = ablation_values(&analysis, "method");
        let compared = values.iter().flat_map(|value| value.comparisons.values());
        assert!(
            compared.clone().count() == 8
                && compared.clone().all(|c| c.corrected_p_value >= c.p_value)
        );
    }
}
