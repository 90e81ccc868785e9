//! Dots and intervals per axis: every value's last checkpoint, and its distance from the baseline.

use super::super::Study;
use super::super::format::slug;
use super::super::tables::{Section, Value, ablated, values};
use super::{Chart, Figure, IntervalRow};

/// One figure per axis that was varied.
pub fn build(study: &Study<'_>) -> Vec<Figure> {
    ablated(study)
        .into_iter()
        .filter_map(|axis| figure(study, axis))
        .collect()
}

fn figure(study: &Study<'_>, axis: &str) -> Option<Figure> {
    let measures = &study.measures;
    let marks = vec![
        measures.first.clone(),
        measures.parallel.clone(),
        measures.sequential.clone(),
    ];
    let mut regime = String::new();
    let mut row = |value: Value| {
        let heading =
            (value.regime != regime && !value.regime.is_empty()).then(|| value.regime.clone());
        regime.clone_from(&value.regime);
        let three = |e: &crate::stats::Estimate| [e.value, e.low, e.high];
        let compared = value.compared.get(&measures.sequential);
        IntervalRow {
            heading,
            values: marks
                .iter()
                .map(|mark| value.estimates.get(mark).map(three))
                .collect(),
            without: if value.checkpoint.is_some() {
                "no such number"
            } else {
                "missing"
            }
            .to_owned(),
            difference: compared.map(|compared| three(&compared.difference)),
            verdict: compared.map_or(String::new(), |compared| compared.verdict.word().to_owned()),
            label: value.label,
            baseline: value.baseline,
        }
    };
    let rows: Vec<IntervalRow> = values(study, axis).into_iter().map(&mut row).collect();
    let anything = rows.iter().flat_map(|row| &row.values).any(Option::is_some);
    anything.then(|| Figure {
        id: format!("ablation-{}", slug(axis)),
        section: Section::Ablations,
        title: format!("Axis {axis}"),
        reading: format!(
            "Left: percent solved by each value's last checkpoint with 95 % intervals; right: the paired difference of \
             {} to the baseline value in points, coloured only where it is clear after correction.",
            measures.sequential
        ),
        chart: Chart::Intervals { marks, difference: format!("{} minus baseline, points", measures.sequential), rows },
    })
}
