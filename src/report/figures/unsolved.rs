//! What turns solve beyond parallel samples, by budget: one panel per headline group.

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::tables::{ReportSection, sample_budgets};
use super::{Chart, Figure, IntervalPoint, LinePanel, LineSeries};

/// One figure with a panel per headline group that was analysed.
pub fn build(study: &Analysis<'_>) -> Vec<Figure> {
    let panels: Vec<LinePanel> = study
        .headline_groups()
        .iter()
        .filter_map(|group| panel(study, group))
        .collect();
    if panels.is_empty() {
        return Vec::new();
    }
    vec![Figure {
        id: "unsolved".to_owned(),
        section: ReportSection::Analyses,
        title: "Solved among what parallel samples leave unsolved".to_owned(),
        caption: "Percent of the problems that B first attempts leave unsolved which B attempts in sequences, and B \
                  further first attempts, solve with an oracle, with 95 % bands; turns find something new where their \
                  line is the higher one."
            .to_owned(),
        chart: Chart::Lines { x: "B".to_owned(), y: "solved of the unsolved".to_owned(), percent: true, panels },
    }]
}

fn panel(study: &Analysis<'_>, group: &HeadlineGroup) -> Option<LinePanel> {
    let setting = group.condition?;
    let last = study.last_checkpoint(setting)?;
    let base = study.scored_checkpoints(setting).first().copied()?;
    let mut lines = Vec::new();
    for (checkpoint, of) in [(last, ""), (base, "base, ")] {
        for (what, name) in [("any", "turns"), ("more", "parallel samples")] {
            lines.push(line(
                study,
                setting,
                checkpoint,
                what,
                &format!("{of}{name}"),
            ));
        }
    }
    lines.retain(|line| !line.points.is_empty());
    (!lines.is_empty()).then(|| LinePanel {
        title: group.title.clone(),
        lines,
    })
}

fn line(
    study: &Analysis<'_>,
    setting: usize,
    checkpoint: &str,
    what: &str,
    name: &str,
) -> LineSeries {
    let spot = |budget: u32| {
        let e = study.estimate(setting, checkpoint, &format!("unsolved-{what}@{budget}"))?;
        Some(IntervalPoint {
            x: f64::from(budget),
            y: e.value,
            low: e.low,
            high: e.high,
        })
    };
    LineSeries {
        name: name.to_owned(),
        points: sample_budgets(study).into_iter().filter_map(spot).collect(),
    }
}
