//! What independent first attempts answer: the baseline that spends as many samples as the
//! sequential turns do. Must not know later turns.

use crate::domain::MetricName;
use crate::eval::metric::{EvalShape, MetricFn, grades_of_candidates};
use crate::eval::vote::majority_vote;

pub(super) fn metric_fns(extent: EvalShape) -> Vec<MetricFn> {
    let all = 2..=extent.samples;
    // A vote at each number of turns, to set beside the turns' own.
    let votes = all
        .filter(|&count| count <= extent.turns || is_reported(count, extent))
        .map(vote_metric);
    let passes = (1..=extent.samples)
        .filter(|&count| is_reported(count, extent))
        .map(pass_metric);
    votes.chain(passes).collect()
}

/// Whether a number of samples is reported: as many as turns, a few round ones, and all. Every
/// score is a row per problem.
const fn is_reported(count: usize, extent: EvalShape) -> bool {
    let round = matches!(count, 1 | 5 | 10) || (count >= 8 && count.is_power_of_two());
    round || count == extent.turns || count == extent.samples
}

fn vote_metric(samples: usize) -> MetricFn {
    MetricFn::indicator(
        MetricName::vote(samples, 1).into(),
        Some(true),
        format!(
            "The majority vote over {samples} independent first attempts is right; \
             a tie goes to the tied answer given last."
        ),
        move |log| majority_vote(&grades_of_candidates(&log.first_attempts[..samples])).right,
    )
}

fn pass_metric(samples: usize) -> MetricFn {
    MetricFn::fraction(
        format!("pass@{samples}"),
        Some(true),
        format!(
            "Chance that at least one of {samples} independent first attempts is right (unbiased)."
        ),
        move |log| {
            let right = log
                .first_attempts
                .iter()
                .filter(|first| first.grade.verdict.is_right())
                .count();
            pass_at_k(samples, log.first_attempts.len(), right)
        },
    )
}

/// The unbiased estimate `1 - C(n - c, k) / C(n, k)` of pass@k from `c` right ones among `n` samples
/// (Chen et al. 2021), as a product that does not overflow.
fn pass_at_k(k: usize, n: usize, c: usize) -> f64 {
    if n - c < k {
        return 1.0;
    }
    1.0 - (0..k)
        .map(|i| (n - c - i) as f64 / (n - i) as f64)
        .product::<f64>()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "certain and impossible are exact")]
mod tests {
    use super::*;

    #[test]
    fn pass_at_k_agrees_with_counting_subsets() {
        // Of the 10 pairs out of 5 samples, 3 hold none of the 2 right ones.
        assert!((pass_at_k(2, 5, 2) - 0.7).abs() < 1e-12);
        // Of the 120 triples out of 10, 35 hold none of the 3 right ones.
        assert!((pass_at_k(3, 10, 3) - 85.0 / 120.0).abs() < 1e-12);
        assert!((pass_at_k(1, 8, 2) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn pass_at_all_samples_is_whether_any_is_right() {
        assert_eq!(
            [0, 1, 5].map(|right| pass_at_k(5, 5, right)),
            [0.0, 1.0, 1.0]
        );
        assert_eq!(pass_at_k(64, 128, 100), 1.0);
    }
}
