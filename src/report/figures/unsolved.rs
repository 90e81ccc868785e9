//! Problems that turns solve beyond parallel samples, by budget: one panel per headline group.

use crate::domain::MetricName;

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::tables::{ReportSection, sample_budgets};
use super::{Chart, Figure, LineSeries, panels_by_group, series};

/// One figure with a panel per headline group that was analysed.
pub fn build(analysis: &Analysis<'_>) -> Vec<Figure> {
    Figure {
        id: "unsolved".to_owned(),
        section: ReportSection::Analyses,
        title: "Solved among what parallel samples leave unsolved".to_owned(),
        caption: "Of the problems that B first attempts leave unsolved: the percent that B attempts \
                  in sequences, or B further first attempts, solve with an oracle, with 95 % bands. \
                  Turns find something new where their line is higher."
            .to_owned(),
        chart: Chart::Lines {
            x: "B".to_owned(),
            y: "solved of the unsolved".to_owned(),
            percent: true,
            panels: panels_by_group(analysis, |group| {
                lines(analysis, group).unwrap_or_default()
            }),
        },
    }
    .unless_empty()
}

fn lines(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Option<Vec<LineSeries>> {
    let condition = group.condition?;
    let last = analysis.last_checkpoint(condition)?;
    let base = analysis.scored_checkpoints(condition).into_iter().next()?;
    let budgets = sample_budgets(analysis);
    let mut lines = Vec::new();
    for (checkpoint, prefix) in [(last, ""), (base, "base, ")] {
        for (quantity, name) in [("any", "turns"), ("more", "parallel samples")] {
            let metrics = budgets.iter();
            let metrics = metrics.map(|&n| (n, MetricName::unsolved(quantity, n)));
            let name = format!("{prefix}{name}");
            lines.push(series(analysis, &name, &checkpoint, metrics));
        }
    }
    lines.retain(|line| !line.points.is_empty());
    Some(lines)
}
