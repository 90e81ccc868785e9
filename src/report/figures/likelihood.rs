//! Likelihood of the reference by epochs of training, one panel per regime.

use crate::domain::MetricName;

use super::super::Analysis;
use super::super::analysis::ConditionId;
use super::super::tables::{ReportSection, likelihood_turns};
use super::{Chart, Figure, IntervalPoint, LinePanel, LineSeries};

/// The axis along which trainings grow longer.
const EPOCHS_AXIS: &str = "train.epochs";

/// One figure, where the likelihood was measured at several numbers of epochs.
pub fn build(analysis: &Analysis<'_>) -> Vec<Figure> {
    let regimes = analysis.conditions_by_regime();
    let regimes = regimes.iter();
    Figure {
        id: "likelihood".to_owned(),
        section: ReportSection::Analyses,
        title: "Likelihood of the reference by epochs".to_owned(),
        caption:
            "Negative log-likelihood of the reference solution in nats per token by epochs of \
                  training, with 95 % bands. After own attempts, the probability is averaged over \
                  them. Lower is more likely."
                .to_owned(),
        chart: Chart::Lines {
            x: "epochs".to_owned(),
            y: "nats per token".to_owned(),
            percent: false,
            panels: regimes
                .filter_map(|members| panel(analysis, members))
                .collect(),
        },
    }
    .unless_empty()
}

fn panel(analysis: &Analysis<'_>, members: &[ConditionId]) -> Option<LinePanel> {
    let mut lines = Vec::new();
    for (sft, prefix) in [(false, ""), (true, "sft, ")] {
        let mut conditions = members.to_vec();
        conditions.retain(|&id| analysis.is_sft(id) == sft);
        let turns = likelihood_turns(analysis);
        for turn in 1..=if sft { turns.min(1) } else { turns } {
            let name = match turn {
                1 => "at once".to_owned(),
                2 => "after 1 attempt".to_owned(),
                turn => format!("after {} attempts", turn - 1),
            };
            lines.push(LineSeries {
                name: format!("{prefix}{name}"),
                points: points(analysis, &conditions, turn),
            });
        }
    }
    lines.retain(|line| line.points.len() > 1);
    let title = analysis.regime_name(*members.first()?);
    (!lines.is_empty()).then_some(LinePanel { title, lines })
}

fn points(analysis: &Analysis<'_>, conditions: &[ConditionId], turn: u32) -> Vec<IntervalPoint> {
    let points = conditions.iter().filter_map(|&condition| {
        let epochs: f64 = analysis.axis_value(condition, EPOCHS_AXIS)?.parse().ok()?;
        let last = analysis.last_checkpoint(condition)?;
        let estimate = analysis.estimate(&last.metric(MetricName::nll(turn)))?;
        Some(IntervalPoint::new(epochs, &estimate))
    });
    let mut points: Vec<IntervalPoint> = points.collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points
}
