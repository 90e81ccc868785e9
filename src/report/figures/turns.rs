//! Accuracy by turn, one panel per headline group.

use super::super::Study;
use super::super::tables::{Section, checkpoints};
use super::{Chart, Figure, Line, Panel, Spot};

/// One figure with a panel per headline group.
pub fn build(study: &Study<'_>) -> Vec<Figure> {
    let panels: Vec<Panel> = panels(study, |turn| format!("accuracy@t{turn}"), 1)
        .into_iter()
        .map(|(_, panel)| panel)
        .collect();
    if panels.is_empty() {
        return Vec::new();
    }
    vec![Figure {
        id: "accuracy-by-turn".to_owned(),
        section: Section::Turns,
        title: "Accuracy by turn".to_owned(),
        reading: "Percent of problems whose answer at this turn is right, with 95 % bands over problems; a line that \
                  rises is a model that corrects more than it spoils."
            .to_owned(),
        chart: Chart::Lines { x: "turn".to_owned(), y: "right at this turn".to_owned(), percent: true, panels },
    }]
}

/// A panel per headline group with a line per checkpoint of one metric by turn.
pub fn panels(
    study: &Study<'_>,
    metric: impl Fn(u32) -> String,
    first: u32,
) -> Vec<(String, Panel)> {
    let panel = |group: &super::super::study::Group| {
        let line = |(setting, name): (usize, &str)| {
            let spot = |turn: u32| {
                let e = study.estimate(setting, name, &metric(turn))?;
                Some(Spot {
                    x: f64::from(turn),
                    y: e.value,
                    low: e.low,
                    high: e.high,
                })
            };
            let points: Vec<Spot> = (first..=study.measures.turns).filter_map(spot).collect();
            (!points.is_empty()).then(|| Line {
                name: name.to_owned(),
                points,
            })
        };
        let lines: Vec<Line> = checkpoints(study, group.setting?, group.sft)
            .into_iter()
            .filter_map(line)
            .collect();
        (!lines.is_empty()).then(|| {
            (
                group.title.clone(),
                Panel {
                    title: group.title.clone(),
                    lines,
                },
            )
        })
    };
    study.groups().iter().filter_map(panel).collect()
}
