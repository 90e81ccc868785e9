//! Training loss by optimizer step.

use std::collections::BTreeMap;

use crate::domain::Point;

use super::super::Study;
use super::super::study::Group;
use super::super::tables::Section;
use super::{Chart, Figure, Line, Panel, Spot};

/// Points per line at most; longer series are averaged in equal stretches.
const LONGEST: usize = 120;

/// One figure with a panel per headline group and a line per training stage of its first seed.
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
        id: "training-curves".to_owned(),
        section: Section::Training,
        title: "Training loss by step".to_owned(),
        reading: "Weighted training loss by optimizer step, averaged over short stretches with a band from the lowest \
                  to the highest step of each stretch, first seed; steps count from the start of each training stage."
            .to_owned(),
        chart: Chart::Lines { x: "optimizer step".to_owned(), y: "loss".to_owned(), percent: false, panels },
    }]
}

fn panel(study: &Study<'_>, group: &Group) -> Option<Panel> {
    let settings = [group.setting, group.sft];
    let runs = settings
        .into_iter()
        .flatten()
        .filter_map(|setting| study.settings[setting].runs.first());
    let mut named: BTreeMap<usize, Line> = BTreeMap::new();
    for (order, checkpoint) in runs.flat_map(|run| &run.checkpoints).enumerate() {
        let points = study
            .frame
            .curves
            .get(&checkpoint.weights)
            .map(|points| stretches(points))
            .unwrap_or_default();
        if !points.is_empty() {
            named.insert(
                order,
                Line {
                    name: checkpoint.name.clone(),
                    points,
                },
            );
        }
    }
    (!named.is_empty()).then(|| Panel {
        title: group.title.clone(),
        lines: named.into_values().collect(),
    })
}

/// The series `loss`, averaged over equal stretches of its steps.
fn stretches(points: &[Point]) -> Vec<Spot> {
    let loss: Vec<(f64, f64)> = points
        .iter()
        .filter(|point| point.series == "loss" && point.value.is_finite())
        .map(|point| (point.step as f64, point.value))
        .collect();
    let length = loss.len().div_ceil(LONGEST).max(1);
    let stretch = |points: &[(f64, f64)]| {
        let mean =
            |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        Spot {
            x: mean(|point| point.0),
            y: mean(|point| point.1),
            low: points
                .iter()
                .map(|point| point.1)
                .fold(f64::INFINITY, f64::min),
            high: points
                .iter()
                .map(|point| point.1)
                .fold(f64::NEG_INFINITY, f64::max),
        }
    };
    loss.chunks(length).map(stretch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_series_are_averaged_and_other_series_left_out() {
        let point = |series: &str, step, value| Point {
            series: series.to_owned(),
            step,
            value,
        };
        let mut points: Vec<Point> = (0..240)
            .map(|step| point("loss", step, f64::from(u8::from(step % 2 == 0))))
            .collect();
        points.push(point("lr", 0, 9.0));
        points.push(point("loss", 240, f64::NAN));
        let spots = stretches(&points);
        assert_eq!(spots.len(), 120);
        assert_eq!(
            spots[0],
            Spot {
                x: 0.5,
                y: 0.5,
                low: 0.0,
                high: 1.0
            }
        );
    }
}
