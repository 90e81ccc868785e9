//! What becomes of a draft that is refined and of a verifier's choice among the results (GLoRe,
//! Havrilla et al. 2024).
//!
//! Responsible for the metrics of such an evaluation. Must not know where approvals come from.

use crate::domain::MetricName;

use super::metric::{Metric, MetricUnit};

/// From this approval on an attempt counts as right.
pub const ACCEPT_THRESHOLD: f64 = 0.5;

/// A draft, its global and its local refinement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RefinedDraft {
    /// Which of them are right.
    pub right: [bool; 3],
    /// The outcome model's chance that each is right.
    pub probability: [f64; 3],
}

impl RefinedDraft {
    /// The one that is approved most; the earlier among equals.
    #[must_use]
    pub fn most_probable(&self) -> usize {
        (1..3).fold(0, |best, next| {
            if self.probability[next] > self.probability[best] {
                next
            } else {
                best
            }
        })
    }

    /// Whether the outcome model takes the draft for right.
    fn accepts_draft(&self) -> bool {
        self.probability[0] >= ACCEPT_THRESHOLD
    }
}

/// A metric: its name, its meaning, and whether it holds.
type RefinementMetric = (&'static str, &'static str, fn(&RefinedDraft) -> bool);

/// Every metric, in a fixed order.
const REFINEMENT_METRICS: [RefinementMetric; 6] = [
    (
        "global@t2",
        "The draft's global refinement is right.",
        |refined| refined.right[1],
    ),
    (
        "local@t2",
        "The draft's local refinement is right, which is told the step that a stepwise model finds first at fault.",
        |refined| refined.right[2],
    ),
    (
        MetricName::RERANKED,
        "Of the draft and its two refinements the one that an outcome model approves most is right.",
        |refined| refined.right[refined.most_probable()],
    ),
    (
        "gated",
        "As `reranked-of-3`, but a draft that the outcome model takes for right is kept unrefined.",
        |refined| {
            refined.right[if refined.accepts_draft() {
                0
            } else {
                refined.most_probable()
            }]
        },
    ),
    (
        "oracle-of-3",
        "The draft or one of its two refinements is right.",
        |refined| refined.right.contains(&true),
    ),
    (
        "orm-accuracy",
        "What the outcome model says of the draft is true.",
        |refined| refined.accepts_draft() == refined.right[0],
    ),
];

/// The metrics of refined drafts.
#[must_use]
pub fn refinement_metrics() -> Vec<Metric> {
    let metric = |(name, meaning, _): RefinementMetric| Metric {
        name: name.to_owned(),
        version: 1,
        unit: MetricUnit::Fraction,
        higher_is_better: Some(true),
        meaning: meaning.to_owned(),
    };
    REFINEMENT_METRICS.map(metric).into()
}

/// The scores of one problem, as (name of the metric, value) in the order of [`refinement_metrics`].
#[must_use]
pub fn refinement_scores(refined: &RefinedDraft) -> Vec<(String, f64)> {
    REFINEMENT_METRICS
        .map(|(name, _, holds)| (name.to_owned(), f64::from(holds(refined))))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(right: [bool; 3], approval: [f64; 3]) -> String {
        let scores = refinement_scores(&RefinedDraft {
            right,
            probability: approval,
        });
        scores
            .into_iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn every_metric_by_hand() {
        // A wrong draft that is found out, and the right one of two refinements is preferred.
        insta::assert_snapshot!(line([false, false, true], [0.2, 0.3, 0.9]), @"global@t2 0, local@t2 1, reranked-of-3 1, gated 1, oracle-of-3 1, orm-accuracy 1");
        // A right draft that stands only where refinements are not looked at.
        insta::assert_snapshot!(line([true, false, false], [0.6, 0.3, 0.7]), @"global@t2 0, local@t2 0, reranked-of-3 0, gated 1, oracle-of-3 1, orm-accuracy 1");
        // A wrong draft that passes for right.
        insta::assert_snapshot!(line([false, true, true], [0.5, 0.9, 0.1]), @"global@t2 1, local@t2 1, reranked-of-3 1, gated 0, oracle-of-3 1, orm-accuracy 0");
        // Equals: the draft first.
        insta::assert_snapshot!(line([false, true, true], [0.1, 0.1, 0.1]), @"global@t2 1, local@t2 1, reranked-of-3 0, gated 0, oracle-of-3 1, orm-accuracy 1");
    }
}
