//! Likelihood of the reference by epochs of training, at once and after own attempts: one panel per
//! regime.

use super::super::Analysis;
use super::super::tables::{ReportSection, likelihood_turns};
use super::{Chart, Figure, IntervalPoint, LinePanel, LineSeries};

/// The axis along which trainings grow longer.
const EPOCHS_AXIS: &str = "train.epochs";

/// One figure, where the likelihood was asked for at several numbers of epochs.
pub fn build(study: &Analysis<'_>) -> Vec<Figure> {
    let panels: Vec<LinePanel> = study
        .conditions_by_regime()
        .iter()
        .filter_map(|members| panel(study, members))
        .collect();
    if panels.is_empty() {
        return Vec::new();
    }
    vec![Figure {
        id: "likelihood".to_owned(),
        section: ReportSection::Analyses,
        title: "Likelihood of the reference by epochs".to_owned(),
        caption: "Negative log-likelihood of the reference solution in nats per token against epochs of training, with \
                  95 % bands; after own attempts the probability is averaged over them, and lower is more likely."
            .to_owned(),
        chart: Chart::Lines { x: "epochs".to_owned(), y: "nats per token".to_owned(), percent: false, panels },
    }]
}

fn panel(study: &Analysis<'_>, members: &[usize]) -> Option<LinePanel> {
    let mut lines = Vec::new();
    for (sft, of) in [(false, ""), (true, "sft, ")] {
        let settings: Vec<usize> = members
            .iter()
            .copied()
            .filter(|&at| study.is_sft(at) == sft)
            .collect();
        for turn in 1..=likelihood_turns(study).min(if sft { 1 } else { u32::MAX }) {
            let name = match turn {
                1 => "at once".to_owned(),
                2 => "after 1 attempt".to_owned(),
                turn => format!("after {} attempts", turn - 1),
            };
            lines.push(LineSeries {
                name: format!("{of}{name}"),
                points: points(study, &settings, turn),
            });
        }
    }
    lines.retain(|line| line.points.len() > 1);
    let title = members
        .first()
        .map(|&at| study.regime_name(at))
        .unwrap_or_default();
    (!lines.is_empty()).then_some(LinePanel { title, lines })
}

fn points(study: &Analysis<'_>, settings: &[usize], turn: u32) -> Vec<IntervalPoint> {
    let spot = |&setting: &usize| {
        let epochs: f64 = study.axis_value(setting, EPOCHS_AXIS)?.parse().ok()?;
        let e = study.estimate(
            setting,
            study.last_checkpoint(setting)?,
            &format!("nll@t{turn}"),
        )?;
        Some(IntervalPoint {
            x: epochs,
            y: e.value,
            low: e.low,
            high: e.high,
        })
    };
    let mut points: Vec<IntervalPoint> = settings.iter().filter_map(spot).collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points
}
