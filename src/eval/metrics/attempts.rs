//! What the attempts of the sequential log are like, whatever they answer. Must not know votes.

use crate::domain::{GradeVerdict, MetricName};
use crate::eval::metric::{EvalShape, Metric, MetricFn, MetricUnit, ProblemEpisodes};

pub(super) fn metric_fns(_: EvalShape) -> Vec<MetricFn> {
    let unreadable = MetricFn::fraction(
        MetricName::UNREADABLE.to_owned(),
        Some(false),
        "Part of the sequential turns in which no answer can be read.".to_owned(),
        |log| {
            mean_over_turns(log, |turn| {
                log.turns[turn].grade.verdict == GradeVerdict::Unreadable
            })
        },
    );
    vec![unreadable, tokens_metric()]
}

fn tokens_metric() -> MetricFn {
    let metric = Metric {
        name: MetricName::TOKENS.to_owned(),
        version: 1,
        unit: MetricUnit::Tokens,
        higher_is_better: None,
        meaning: "Tokens sampled per attempt of the sequential log, end tokens included."
            .to_owned(),
    };
    MetricFn {
        metric,
        score: Box::new(|log| mean_over_turns(log, |turn| log.turns[turn].tokens)),
    }
}

/// The mean of a value over the turns, which are numbered from 0.
fn mean_over_turns<T: Into<f64>>(log: &ProblemEpisodes<'_>, value: impl Fn(usize) -> T) -> f64 {
    let count = log.turns.len();
    (0..count).map(|turn| value(turn).into()).sum::<f64>() / count as f64
}
