//! Turns against parallel samples at equal numbers of attempts, one panel per headline group.

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::tables::ReportSection;
use super::{Chart, Figure, IntervalPoint, LinePanel, LineSeries};

/// One figure with a panel per headline group.
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
        id: "votes".to_owned(),
        section: ReportSection::Turns,
        title: "Turns against parallel samples".to_owned(),
        caption: "Percent of problems that a vote solves, by the number of attempts it is over, with 95 % bands: turns of \
                  one dialogue, and independent first attempts, of the last checkpoint and of plain fine-tuning."
            .to_owned(),
        chart: Chart::Lines { x: "attempts".to_owned(), y: "solved by the vote".to_owned(), percent: true, panels },
    }]
}

fn panel(study: &Analysis<'_>, group: &HeadlineGroup) -> Option<LinePanel> {
    let setting = group.condition?;
    let last = study.last_checkpoint(setting)?;
    let turns = |n: u32| format!("m1@t{n}");
    let samples = |n: u32| {
        if n == 1 {
            "m1@t1".to_owned()
        } else {
            format!("m{n}@t1")
        }
    };
    let mut lines = vec![
        line(study, setting, last, "turns", turns),
        line(study, setting, last, "parallel samples", samples),
    ];
    if let Some(sft) = group.sft_condition {
        lines.push(line(study, sft, "sft", "sft, parallel samples", samples));
    }
    lines.retain(|line| line.points.len() > 1);
    (!lines.is_empty()).then(|| LinePanel {
        title: group.title.clone(),
        lines,
    })
}

fn line(
    study: &Analysis<'_>,
    setting: usize,
    checkpoint: &str,
    name: &str,
    metric: impl Fn(u32) -> String,
) -> LineSeries {
    let spot = |n: u32| {
        let e = study.estimate(setting, checkpoint, &metric(n))?;
        Some(IntervalPoint {
            x: f64::from(n),
            y: e.value,
            low: e.low,
            high: e.high,
        })
    };
    LineSeries {
        name: name.to_owned(),
        points: (1..=study.metric_columns.turns).filter_map(spot).collect(),
    }
}
