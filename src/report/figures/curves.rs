//! Training loss by optimizer step.

use std::collections::BTreeMap;

use crate::domain::MetricPoint;

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::tables::ReportSection;
use super::{Chart, Figure, IntervalPoint, LinePanel, LineSeries};

/// Points per line at most; longer series are averaged in equal stretches.
const MAX_POINTS: usize = 120;

/// One figure with a panel per headline group and a line per training stage of its first seed.
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
        id: "training-curves".to_owned(),
        section: ReportSection::Training,
        title: "Training loss by step".to_owned(),
        caption: "Weighted training loss by optimizer step, averaged over short stretches with a band from the lowest \
                  to the highest step of each stretch, first seed; steps count from the start of each training stage."
            .to_owned(),
        chart: Chart::Lines { x: "optimizer step".to_owned(), y: "loss".to_owned(), percent: false, panels },
    }]
}

fn panel(study: &Analysis<'_>, group: &HeadlineGroup) -> Option<LinePanel> {
    let settings = [group.condition, group.sft_condition];
    let runs = settings
        .into_iter()
        .flatten()
        .filter_map(|setting| study.conditions[setting].runs.first());
    let mut named: BTreeMap<usize, LineSeries> = BTreeMap::new();
    for (order, checkpoint) in runs.flat_map(|run| &run.checkpoints).enumerate() {
        let points = study
            .data
            .curves
            .get(&checkpoint.weights)
            .map(|points| average_stretches(points))
            .unwrap_or_default();
        if !points.is_empty() {
            named.insert(
                order,
                LineSeries {
                    name: checkpoint.name.clone(),
                    points,
                },
            );
        }
    }
    (!named.is_empty()).then(|| LinePanel {
        title: group.title.clone(),
        lines: named.into_values().collect(),
    })
}

/// The series `loss`, averaged over equal stretches of its steps.
fn average_stretches(points: &[MetricPoint]) -> Vec<IntervalPoint> {
    let loss: Vec<(f64, f64)> = points
        .iter()
        .filter(|point| point.series == "loss" && point.value.is_finite())
        .map(|point| (point.step as f64, point.value))
        .collect();
    let length = loss.len().div_ceil(MAX_POINTS).max(1);
    let stretch = |points: &[(f64, f64)]| {
        let mean =
            |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        IntervalPoint {
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
        let point = |series: &str, step, value| MetricPoint {
            series: series.to_owned(),
            step,
            value,
        };
        let mut points: Vec<MetricPoint> = (0..240)
            .map(|step| point("loss", step, f64::from(u8::from(step % 2 == 0))))
            .collect();
        points.push(point("lr", 0, 9.0));
        points.push(point("loss", 240, f64::NAN));
        let spots = average_stretches(&points);
        assert_eq!(spots.len(), 120);
        assert_eq!(
            spots[0],
            IntervalPoint {
                x: 0.5,
                y: 0.5,
                low: 0.0,
                high: 1.0
            }
        );
    }
}
