//! Whether a policy knows if its own attempt is right, where the protocol asks it.
//!
//! Parts of all problems, at the first turn, which every problem reaches. Divided by the part of
//! problems that turn 1 gets wrong (or right), they are the error recall and the false alarm rate
//! of Ma et al. 2025 and Xiong et al. 2025. Must not know votes.

use crate::eval::metric::{EvalShape, Metric, MetricFn, MetricUnit, ProblemEpisodes};

pub(super) fn metric_fns(extent: EvalShape) -> Vec<MetricFn> {
    if !extent.self_verifies {
        return Vec::new();
    }
    let at_first = |name: &str, better, meaning: &str, holds: fn(bool, Option<bool>) -> bool| {
        MetricFn::indicator(name.to_owned(), better, meaning.to_owned(), move |log| {
            holds(log.is_right(1), first_approval(log))
        })
    };
    let metric = Metric {
        name: "turns-made".to_owned(),
        version: 1,
        unit: MetricUnit::Count,
        higher_is_better: None,
        meaning: "Attempts until the policy was content or its turns were up.".to_owned(),
    };
    vec![
        at_first(
            "verified@t1",
            Some(true),
            "What the policy says about its first attempt is true.",
            |right, said| said == Some(right),
        ),
        at_first(
            "missed@t1",
            Some(false),
            "The first attempt is wrong and the policy calls it right.",
            |right, said| !right && said == Some(true),
        ),
        at_first(
            "false-alarm@t1",
            Some(false),
            "The first attempt is right and the policy calls it wrong.",
            |right, said| right && said == Some(false),
        ),
        MetricFn {
            metric,
            score: Box::new(|log| log.turns_made as f64),
        },
    ]
}

fn first_approval(log: &ProblemEpisodes<'_>) -> Option<bool> {
    log.reviews
        .first()
        .copied()
        .flatten()
        .and_then(|review| review.approves)
}
