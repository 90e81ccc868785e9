//! The attempts of the sequential log themselves: the policy's own verifications of them, answers
//! that cannot be read, and tokens.
//!
//! The verification metrics are parts of all problems at the first turn, which every problem
//! reaches. Divided by the part of problems that turn 1 gets wrong (or right), they are the error
//! recall and the false alarm rate of Ma et al. 2025 and Xiong et al. 2025.

use crate::domain::{EvalShape, GradeVerdict, MetricName};
use crate::eval::metric::{Metric, MetricFn, MetricUnit, ProblemEpisodes};

/// A metric of the first attempt's verification: name, direction, meaning, and whether it holds for
/// (the attempt is right, the policy's verdict).
type VerificationMetric = (
    &'static str,
    bool,
    &'static str,
    fn(bool, Option<bool>) -> bool,
);

const VERIFICATION_METRICS: [VerificationMetric; 3] = [
    (
        "verified@t1",
        true,
        "What the policy says about its first attempt is true.",
        |right, approves| approves == Some(right),
    ),
    (
        "missed@t1",
        false,
        "The first attempt is wrong and the policy calls it right.",
        |right, approves| !right && approves == Some(true),
    ),
    (
        "false-alarm@t1",
        false,
        "The first attempt is right and the policy calls it wrong.",
        |right, approves| right && approves == Some(false),
    ),
];

pub(super) fn metric_fns(shape: EvalShape) -> Vec<MetricFn> {
    let mut metrics = Vec::new();
    if shape.self_verifies {
        metrics.extend(VERIFICATION_METRICS.map(verification_metric));
        metrics.push(MetricFn {
            metric: Metric::new(
                "turns-made",
                MetricUnit::Count,
                None,
                "Attempts until the policy was content or its turns were up.",
            ),
            score: Box::new(|log| log.turns_made as f64),
        });
    }
    metrics.push(MetricFn::fraction(
        MetricName::UNREADABLE.to_owned(),
        Some(false),
        "Part of the sequential turns in which no answer can be read.".to_owned(),
        |log| {
            mean_over_turns(log, |turn| {
                log.turns[turn].grade.verdict == GradeVerdict::Unreadable
            })
        },
    ));
    metrics.push(MetricFn {
        metric: Metric::new(
            "tokens",
            MetricUnit::Tokens,
            None,
            "Tokens sampled per attempt of the sequential log, end tokens included.",
        ),
        score: Box::new(|log| mean_over_turns(log, |turn| log.turns[turn].tokens)),
    });
    metrics
}

fn verification_metric((name, better, meaning, holds): VerificationMetric) -> MetricFn {
    MetricFn::indicator(
        name.to_owned(),
        Some(better),
        meaning.to_owned(),
        move |log| holds(log.is_right(1), first_approval(log)),
    )
}

fn first_approval(log: &ProblemEpisodes<'_>) -> Option<bool> {
    log.reviews.first().copied().flatten()?.approves
}

/// The mean of a value over the turns, which are numbered from 0.
fn mean_over_turns<T: Into<f64>>(log: &ProblemEpisodes<'_>, value: impl Fn(usize) -> T) -> f64 {
    let count = log.turns.len();
    (0..count).map(|turn| value(turn).into()).sum::<f64>() / count as f64
}
