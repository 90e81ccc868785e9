//! Turns against parallel samples at equal numbers of attempts, one panel per headline group.

use crate::domain::{CheckpointName, MetricName};

use super::super::Analysis;
use super::super::analysis::{CheckpointId, HeadlineGroup};
use super::super::tables::ReportSection;
use super::{Chart, Figure, LineSeries, panels_by_group, series};

/// One figure with a panel per headline group.
pub fn build(analysis: &Analysis<'_>) -> Vec<Figure> {
    Figure {
        id: "votes".to_owned(),
        section: ReportSection::Turns,
        title: "Turns against parallel samples".to_owned(),
        caption: "Percent of problems that a vote solves, by its number of attempts, with 95 % bands. \
                  The attempts are turns of one dialogue or independent first attempts, of the last \
                  checkpoint and of plain fine-tuning."
            .to_owned(),
        chart: Chart::Lines {
            x: "attempts".to_owned(),
            y: "solved by the vote".to_owned(),
            percent: true,
            panels: panels_by_group(analysis, |group| lines(analysis, group)),
        },
    }
    .unless_empty()
}

fn lines(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Vec<LineSeries> {
    let last = group.condition.and_then(|id| analysis.last_checkpoint(id));
    let Some(last) = last else {
        return Vec::new();
    };
    let counts = 1..=analysis.metric_columns.turns;
    let turns = counts.clone().map(|n| (n, MetricName::vote(1, n)));
    let samples = counts.map(|n| (n, MetricName::vote(n, 1)));
    let mut lines = vec![
        series(analysis, "turns", &last, turns),
        series(analysis, "parallel samples", &last, samples.clone()),
    ];
    if let Some(sft) = group.sft_condition {
        let sft = CheckpointId::new(sft, CheckpointName::SFT);
        lines.push(series(analysis, "sft, parallel samples", &sft, samples));
    }
    lines.retain(|line| line.points.len() > 1);
    lines
}
