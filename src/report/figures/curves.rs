//! Training loss by optimizer step.

use crate::domain::MetricPoint;

use super::super::Analysis;
use super::super::analysis::HeadlineGroup;
use super::super::tables::ReportSection;
use super::{Chart, Figure, IntervalPoint, LineSeries, panels_by_group};

/// Points per line at most; longer series are averaged in equal stretches.
const MAX_POINTS: usize = 120;

/// One figure with a panel per headline group and a line per training stage of its first seed.
pub fn build(analysis: &Analysis<'_>) -> Vec<Figure> {
    Figure {
        id: "training-curves".to_owned(),
        section: ReportSection::Training,
        title: "Training loss by step".to_owned(),
        caption:
            "Weighted training loss of the first seed by optimizer step, counted from the start \
                  of each training stage. The line is the mean of short stretches; the band spans \
                  the lowest to the highest step."
                .to_owned(),
        chart: Chart::Lines {
            x: "optimizer step".to_owned(),
            y: "loss".to_owned(),
            percent: false,
            panels: panels_by_group(analysis, |group| lines(analysis, group)),
        },
    }
    .unless_empty()
}

fn lines(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Vec<LineSeries> {
    let conditions = [group.condition, group.sft_condition];
    let runs = conditions
        .into_iter()
        .flatten()
        .filter_map(|condition| analysis.runs(condition).first());
    let lines = runs.flat_map(|run| &run.checkpoints).map(|checkpoint| {
        let points = analysis.data.curves.get(&checkpoint.weights);
        LineSeries {
            name: checkpoint.name.to_string(),
            points: points.map_or(Vec::new(), |points| average_stretches(points)),
        }
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

/// The series `loss`, averaged over equal stretches of its steps.
fn average_stretches(points: &[MetricPoint]) -> Vec<IntervalPoint> {
    let loss: Vec<(f64, f64)> = points
        .iter()
        .filter(|point| point.series == "loss" && point.value.is_finite())
        .map(|point| (point.step as f64, point.value))
        .collect();
    let length = loss.len().div_ceil(MAX_POINTS).max(1);
    loss.chunks(length).map(stretch_point).collect()
}

fn stretch_point(stretch: &[(f64, f64)]) -> IntervalPoint {
    let (steps, values): (Vec<f64>, Vec<f64>) = stretch.iter().copied().unzip();
    let count = stretch.len() as f64;
    IntervalPoint {
        x: steps.iter().sum::<f64>() / count,
        y: values.iter().sum::<f64>() / count,
        low: values.iter().copied().fold(f64::INFINITY, f64::min),
        high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }
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
