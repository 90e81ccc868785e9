//! Accuracy by turn, one panel per headline group.

use crate::domain::MetricName;

use super::super::Analysis;
use super::super::tables::ReportSection;
use super::{Chart, Figure, LinePanel, panels_by_group, series};

/// One figure with a panel per headline group.
pub fn build(analysis: &Analysis<'_>) -> Vec<Figure> {
    Figure {
        id: "accuracy-by-turn".to_owned(),
        section: ReportSection::Turns,
        title: "Accuracy by turn".to_owned(),
        caption: "Percent of problems with a right answer at this turn, with 95 % bands over \
                  problems. The line of a model that corrects more than it spoils rises."
            .to_owned(),
        chart: Chart::Lines {
            x: "turn".to_owned(),
            y: "right at this turn".to_owned(),
            percent: true,
            panels: panels(analysis, "accuracy", 1),
        },
    }
    .unless_empty()
}

/// A panel per headline group with a line per checkpoint of a quantity by turn, from turn `first`.
pub fn panels(analysis: &Analysis<'_>, quantity: &str, first: u32) -> Vec<LinePanel> {
    panels_by_group(analysis, |group| {
        let checkpoints = analysis.group_checkpoints(group);
        let lines = checkpoints.iter().map(|checkpoint| {
            let turns = first..=analysis.metric_columns.turns;
            let metrics = turns.map(|turn| (turn, MetricName::at_turn(quantity, turn)));
            series(analysis, &checkpoint.name, checkpoint, metrics)
        });
        lines.filter(|line| !line.points.is_empty()).collect()
    })
}
