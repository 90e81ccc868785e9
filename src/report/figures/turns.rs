//! Accuracy by turn, one panel per headline group.

use super::super::Analysis;
use super::super::tables::{ReportSection, group_checkpoints};
use super::{Chart, Figure, IntervalPoint, LinePanel, LineSeries};

/// One figure with a panel per headline group.
pub fn build(study: &Analysis<'_>) -> Vec<Figure> {
    let panels: Vec<LinePanel> = panels(study, |turn| format!("accuracy@t{turn}"), 1)
        .into_iter()
        .map(|(_, panel)| panel)
        .collect();
    if panels.is_empty() {
        return Vec::new();
    }
    vec![Figure {
        id: "accuracy-by-turn".to_owned(),
        section: ReportSection::Turns,
        title: "Accuracy by turn".to_owned(),
        caption: "Percent of problems whose answer at this turn is right, with 95 % bands over problems; a line that \
                  rises is a model that corrects more than it spoils."
            .to_owned(),
        chart: Chart::Lines { x: "turn".to_owned(), y: "right at this turn".to_owned(), percent: true, panels },
    }]
}

/// A panel per headline group with a line per checkpoint of one metric by turn.
pub fn panels(
    study: &Analysis<'_>,
    metric: impl Fn(u32) -> String,
    first: u32,
) -> Vec<(String, LinePanel)> {
    let panel = |group: &super::super::analysis::HeadlineGroup| {
        let line = |(setting, name): (usize, &str)| {
            let spot = |turn: u32| {
                let e = study.estimate(setting, name, &metric(turn))?;
                Some(IntervalPoint {
                    x: f64::from(turn),
                    y: e.value,
                    low: e.low,
                    high: e.high,
                })
            };
            let points: Vec<IntervalPoint> = (first..=study.metric_columns.turns)
                .filter_map(spot)
                .collect();
            (!points.is_empty()).then(|| LineSeries {
                name: name.to_owned(),
                points,
            })
        };
        let lines: Vec<LineSeries> =
            group_checkpoints(study, group.condition?, group.sft_condition)
                .into_iter()
                .filter_map(line)
                .collect();
        (!lines.is_empty()).then(|| {
            (
                group.title.clone(),
                LinePanel {
                    title: group.title.clone(),
                    lines,
                },
            )
        })
    };
    study.headline_groups().iter().filter_map(panel).collect()
}
