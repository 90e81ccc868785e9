//! How likely the reference solution is, at once and after own attempts (paper, section "when and
//! why is self-improvement over turns possible", figure 4).
//!
//! For a reference `y*` of n tokens and M rollouts of t attempts each:
//!
//! * at once ("classic"): `-log p(y* | x) / n`;
//! * after t attempts, marginalised over them: `-log( (1/M) sum_m p(y* | x, y^m_1..t) ) / n`;
//! * the same with the mean of the logarithms, which is never smaller (Jensen's inequality).

use crate::domain::MetricName;
use crate::eval::{Metric, MetricUnit};

/// Log-likelihoods of one problem's reference solution.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceLikelihoods {
    /// Tokens of the reference, its end token included.
    pub tokens: usize,
    /// As the first answer.
    pub first_turn: f64,
    /// Number of attempts before it, from 1: one value per rollout.
    pub later_turns: Vec<Vec<f64>>,
}

impl ReferenceLikelihoods {
    /// (name of the metric, value) in the order of [`likelihood_metrics`], in nats per token.
    #[must_use]
    pub fn scores(&self) -> Vec<(String, f64)> {
        let per_token = |log: f64| -log / self.tokens as f64;
        let mut scores = vec![(MetricName::nll(1).into(), per_token(self.first_turn))];
        for (turn, logs) in (2..).zip(&self.later_turns) {
            scores.push((MetricName::nll(turn).into(), per_token(log_mean_exp(logs))));
            let mean = logs.iter().sum::<f64>() / logs.len() as f64;
            scores.push((format!("nll-mean@t{turn}"), per_token(mean)));
        }
        scores
    }
}

/// `log( (1/M) sum exp(value) )`, without overflow.
fn log_mean_exp(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|value| (value - highest).exp()).sum();
    highest + (sum / values.len() as f64).ln()
}

/// What the scores of an analysis with up to so many turns mean.
#[must_use]
pub fn likelihood_metrics(turns: u32, rollouts: u32) -> Vec<Metric> {
    let metric = |name: String, meaning: String| Metric {
        name,
        version: 1,
        unit: MetricUnit::Nats,
        higher_is_better: Some(false),
        meaning,
    };
    let mut metrics = vec![metric(
        MetricName::nll(1).into(),
        "Negative log-likelihood per token of the reference solution as the first answer."
            .to_owned(),
    )];
    for turn in 2..=turns {
        let before = turn - 1;
        metrics.push(metric(
            MetricName::nll(turn).into(),
            format!(
                "Negative log-likelihood per token of the reference solution as the answer of turn {turn}, \
                 its probability averaged over {rollouts} rollouts of {before} own attempts."
            ),
        ));
        metrics.push(metric(
            format!("nll-mean@t{turn}"),
            format!("The same as nll@t{turn}, but with log-likelihoods averaged instead of probabilities."),
        ));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        let likelihoods = ReferenceLikelihoods {
            tokens: 2,
            first_turn: 0.25_f64.ln(),
            later_turns: vec![vec![0.5_f64.ln(), 0.125_f64.ln()], vec![-1000.0, -1000.0]],
        };
        let scores = likelihoods.scores();
        let names: Vec<String> = scores.iter().map(|(name, _)| name.clone()).collect();
        let metrics: Vec<String> = likelihood_metrics(3, 2)
            .into_iter()
            .map(|metric| metric.name)
            .collect();
        assert_eq!(names, metrics);
        // -ln(1/4)/2; -ln((1/2 + 1/8)/2)/2; -(ln 1/2 + ln 1/8)/2/2; 1000/2 twice.
        let expected = [
            2.0_f64.ln(),
            -(0.3125_f64.ln()) / 2.0,
            2.0_f64.ln(),
            500.0,
            500.0,
        ];
        for ((name, score), expected) in scores.iter().zip(expected) {
            assert!(
                (score - expected).abs() < 1e-12,
                "{name}: {score} and not {expected}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn the_mean_of_logarithms_is_never_the_smaller_loss(
            logs in proptest::collection::vec(-50.0_f64..0.0, 1..9)
        ) {
            let scores = ReferenceLikelihoods { tokens: 3, first_turn: -1.0, later_turns: vec![logs] }.scores();
            proptest::prop_assert!(scores[1].1 <= scores[2].1 + 1e-12);
        }
    }
}
