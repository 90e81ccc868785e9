//! Dots and intervals per axis: every value's last checkpoint, and its distance from the baseline.

use super::super::Analysis;
use super::super::format::slug;
use super::super::tables::{AblationValue, ReportSection, ablation_values, varied_axes};
use super::{Chart, Figure, IntervalRow};

/// One figure per axis that was varied.
pub fn build(study: &Analysis<'_>) -> Vec<Figure> {
    varied_axes(study)
        .into_iter()
        .filter_map(|axis| figure(study, axis))
        .collect()
}

fn figure(study: &Analysis<'_>, axis: &str) -> Option<Figure> {
    let measures = &study.metric_columns;
    let marks = vec![
        measures.first.clone(),
        measures.parallel.clone(),
        measures.sequential.clone(),
    ];
    let mut regime = String::new();
    let mut row = |value: AblationValue| {
        let heading =
            (value.regime != regime && !value.regime.is_empty()).then(|| value.regime.clone());
        regime.clone_from(&value.regime);
        let three = |e: &crate::stats::MeanEstimate| [e.value, e.low, e.high];
        let compared = value.comparisons.get(&measures.sequential);
        IntervalRow {
            heading,
            values: marks
                .iter()
                .map(|mark| value.estimates.get(mark).map(three))
                .collect(),
            missing_text: if value.checkpoint.is_some() {
                "no such number"
            } else {
                "missing"
            }
            .to_owned(),
            difference: compared.map(|compared| three(&compared.difference)),
            verdict: compared.map_or(String::new(), |compared| {
                compared.verdict.label().to_owned()
            }),
            label: value.label,
            baseline: value.baseline,
        }
    };
    let rows: Vec<IntervalRow> = ablation_values(study, axis)
        .into_iter()
        .map(&mut row)
        .collect();
    let anything = rows.iter().flat_map(|row| &row.values).any(Option::is_some);
    anything.then(|| Figure {
        id: format!("ablation-{}", slug(axis)),
        section: ReportSection::Ablations,
        title: format!("Axis {axis}"),
        caption: format!(
            "Left: percent solved by each value's last checkpoint with 95 % intervals; right: the paired difference of \
             {} to the baseline value in points, coloured only where it is clear after correction.",
            measures.sequential
        ),
        chart: Chart::Intervals { marks, difference: format!("{} minus baseline, points", measures.sequential), rows },
    })
}
