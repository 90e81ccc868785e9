//! What becomes of independent first attempts when a verifier ranks them (V-STaR, Hosseini et al.
//! 2024).
//!
//! Responsible for the metrics of a ranking. Must not know where ranks come from.

use serde::{Deserialize, Serialize};

use crate::domain::MetricName;

use super::metric::{Metric, MetricUnit};

/// How a verifier is put to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifierConfig {
    /// First attempts per problem that it ranks.
    pub samples: u32,
    /// Whether it ranks by how much likelier an attempt is to it than to the generator, which is
    /// the reward that its training maximises; otherwise by likelihood alone, as the paper does.
    pub ratio: bool,
}

impl Default for VerifierConfig {
    fn default() -> Self {
        Self {
            samples: 64,
            ratio: false,
        }
    }
}

/// A first attempt as a verifier sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankedAttempt {
    /// What it is ranked by; more is better.
    pub rank_score: f64,
    /// Whether it is right.
    pub right: bool,
}

/// The numbers of samples that are reported: powers of two, and all.
fn reported_counts(samples: usize) -> impl Iterator<Item = usize> {
    (0..)
        .map(|power| 1 << power)
        .take_while(move |&count| count < samples)
        .chain([samples])
}

/// The metrics of a ranking of so many samples, in a fixed order.
#[must_use]
pub fn ranking_metrics(samples: usize) -> Vec<Metric> {
    let metric = |name: String, meaning: String| Metric {
        name,
        version: 1,
        unit: MetricUnit::Fraction,
        higher_is_better: Some(true),
        meaning,
    };
    let best = |count| {
        let meaning = format!(
            "The attempt that a verifier ranks first among {count} first attempts is right."
        );
        metric(MetricName::best_of(count).into(), meaning)
    };
    let area = "Chance that a verifier ranks a right first attempt above a wrong one of the same problem; \
                problems without both are left out.";
    reported_counts(samples)
        .map(best)
        .chain([metric("verifier-auc".to_owned(), area.to_owned())])
        .collect()
}

/// The scores of one problem's attempts, which are in the order of their samples, as (name of the
/// metric, value).
///
/// Among equals the earlier attempt is ranked higher. A problem whose attempts are all right or
/// all wrong has no `verifier-auc`.
#[must_use]
pub fn ranking_scores(samples: &[RankedAttempt]) -> Vec<(String, f64)> {
    let best = |count: usize| {
        (
            MetricName::best_of(count).into(),
            f64::from(best_is_right(&samples[..count])),
        )
    };
    let area = roc_auc(samples).map(|area| ("verifier-auc".to_owned(), area));
    reported_counts(samples.len())
        .map(best)
        .chain(area)
        .collect()
}

/// Whether the highest-ranked attempt is right.
fn best_is_right(samples: &[RankedAttempt]) -> bool {
    let first = samples.iter().reduce(|first, next| {
        if next.rank_score > first.rank_score {
            next
        } else {
            first
        }
    });
    first.is_some_and(|first| first.right)
}

/// The area under the curve of true against false positives: the part of all pairs of a right and a
/// wrong attempt in which the right one is ranked higher, equals counting half (Mann-Whitney).
fn roc_auc(samples: &[RankedAttempt]) -> Option<f64> {
    let of = |right: bool| samples.iter().filter(move |sample| sample.right == right);
    let pairs =
        of(true).flat_map(|right| of(false).map(move |wrong| (right.rank_score, wrong.rank_score)));
    let (mut won, mut all) = (0.0, 0.0);
    for (right, wrong) in pairs {
        all += 1.0;
        won += if right > wrong {
            1.0
        } else {
            f64::from(u8::from(right >= wrong)) / 2.0
        };
    }
    (all > 0.0).then(|| won / all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranked(samples: &[(f64, bool)]) -> Vec<RankedAttempt> {
        samples
            .iter()
            .map(|&(value, right)| RankedAttempt {
                rank_score: value,
                right,
            })
            .collect()
    }

    fn scores(samples: &[(f64, bool)]) -> Vec<(String, f64)> {
        ranking_scores(&ranked(samples))
    }

    #[test]
    fn the_highest_of_the_first_so_many_counts() {
        // The first of 1 is wrong, of 2 right, of 4 wrong, of 5 right.
        let samples = [
            (-3.0, false),
            (-2.0, true),
            (-1.0, false),
            (-4.0, true),
            (-0.5, true),
        ];
        let expected = [
            ("best-of-1", 0.0),
            ("best-of-2", 1.0),
            ("best-of-4", 0.0),
            ("best-of-5", 1.0),
        ];
        let found = scores(&samples);
        assert_eq!(
            found[..4],
            expected.map(|(name, value)| (name.to_owned(), value))
        );
        // Of the 6 pairs, the right ones at -2, -4 and -0.5 win 1, 0 and 2.
        assert_eq!(found[4], ("verifier-auc".to_owned(), 0.5));
    }

    #[test]
    fn the_area_by_hand() {
        let of = |samples: &[(f64, bool)]| roc_auc(&ranked(samples));
        assert_eq!(of(&[(1.0, true), (0.0, false), (0.5, true)]), Some(1.0));
        assert_eq!(of(&[(1.0, false), (0.0, true)]), Some(0.0));
        assert_eq!(of(&[(1.0, false), (1.0, true)]), Some(0.5));
        assert_eq!(of(&[(2.0, true), (2.0, false), (1.0, false)]), Some(0.75));
        assert_eq!(of(&[(2.0, true), (1.0, true)]), None);
    }

    #[test]
    fn every_score_has_a_meaning_and_only_the_area_may_be_missing() {
        for count in [1, 2, 5, 64] {
            let names: Vec<String> = ranking_metrics(count)
                .into_iter()
                .map(|metric| metric.name)
                .collect();
            let mixed: Vec<(f64, bool)> = (0..count).map(|n| (n as f64, n == 0)).collect();
            let found: Vec<String> = scores(&mixed).into_iter().map(|(name, _)| name).collect();
            assert_eq!(found[..], names[..found.len()]);
            assert_eq!(found.len() + usize::from(count == 1), names.len());
        }
    }

    proptest! {
        #[test]
        fn ranks_and_not_their_sizes_decide(values in proptest::collection::vec((-9_i32..9, any::<bool>()), 1..40)) {
            let plain: Vec<(f64, bool)> = values.iter().map(|&(value, right)| (f64::from(value), right)).collect();
            let bent: Vec<(f64, bool)> = plain.iter().map(|&(value, right)| (value.exp() * 7.0, right)).collect();
            prop_assert_eq!(scores(&plain), scores(&bent));
            let turned: Vec<(f64, bool)> = plain.iter().map(|&(value, right)| (-value, right)).collect();
            let area = |samples: &[(f64, bool)]| roc_auc(&ranked(samples));
            match (area(&plain), area(&turned)) {
                (Some(one), Some(other)) => prop_assert!((one + other - 1.0).abs() < 1e-12),
                (one, other) => prop_assert_eq!(one, other),
            }
        }
    }
}
