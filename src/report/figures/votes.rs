//! Turns against parallel samples at equal numbers of attempts, one panel per headline group.

use super::super::Study;
use super::super::study::Group;
use super::super::tables::Section;
use super::{Chart, Figure, Line, Panel, Spot};

/// One figure with a panel per headline group.
pub fn build(study: &Study<'_>) -> Vec<Figure> {
    let panels: Vec<Panel> = study
        .groups()
        .iter()
        .filter_map(|group| panel(study, group))
        .collect();
    if panels.is_empty() {
        return Vec::new();
    }
    vec![Figure {
        id: "votes".to_owned(),
        section: Section::Turns,
        title: "Turns against parallel samples".to_owned(),
        reading: "Percent of problems that a vote solves, by the number of attempts it is over, with 95 % bands: turns of \
                  one dialogue, and independent first attempts, of the last checkpoint and of plain fine-tuning."
            .to_owned(),
        chart: Chart::Lines { x: "attempts".to_owned(), y: "solved by the vote".to_owned(), percent: true, panels },
    }]
}

fn panel(study: &Study<'_>, group: &Group) -> Option<Panel> {
    let setting = group.setting?;
    let last = study.last(setting)?;
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
    if let Some(sft) = group.sft {
        lines.push(line(study, sft, "sft", "sft, parallel samples", samples));
    }
    lines.retain(|line| line.points.len() > 1);
    (!lines.is_empty()).then(|| Panel {
        title: group.title.clone(),
        lines,
    })
}

fn line(
    study: &Study<'_>,
    setting: usize,
    checkpoint: &str,
    name: &str,
    metric: impl Fn(u32) -> String,
) -> Line {
    let spot = |n: u32| {
        let e = study.estimate(setting, checkpoint, &metric(n))?;
        Some(Spot {
            x: f64::from(n),
            y: e.value,
            low: e.low,
            high: e.high,
        })
    };
    Line {
        name: name.to_owned(),
        points: (1..=study.measures.turns).filter_map(spot).collect(),
    }
}
