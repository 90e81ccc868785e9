//! The arithmetic of online reinforcement learning: from rewards of turns to weights of tokens.
//!
//! G episodes of T turns are sampled for a problem. Turn t of an episode earns the shaped reward
//!
//! `R_t = r_t + α (r_t - r_{t-1})` for t > 1, `R_1 = r_1`,
//!
//! and its return is `R_t + γ R_{t+1} + γ² R_{t+2} + ...`. Its advantage A compares that return with
//! the same turn of the problem's other episodes.
//!
//! With γ = 0 the return of a turn is its own reward. The policy cannot change the term
//! `α r_{t-1}` at turn t: on average it acts as a baseline, and the bonus leaves a factor `1 + α` on
//! `r_t`. Turn 1 does not learn from its consequences. With γ > 0 its return includes
//! `γ (r_2 + α (r_2 - r_1))`: an attempt that gets corrected is worth more than one that does not.
//! γ = 1 is the gradient of the sum of all `R_t`.
//!
//! * **GRPO** (Shao et al. 2024, arXiv 2402.03300, equations 3 and 4), turn by turn:
//!   `A = (R - mean R) / std R` over the G episodes, and a turn of tokens o adds
//!   `-(1/|o|) Σ_t [min(ρ_t A, clip(ρ_t, 1-ε, 1+ε) A) - β KL_3]` to the loss, where
//!   `ρ = π / π_old` and `KL_3 = π_ref/π - log(π_ref/π) - 1`.
//! * **`SCoRe`** (Kumar et al. 2024, arXiv 2409.12917, equations 3 and 4): REINFORCE with `R` minus
//!   the mean R of the other G - 1 episodes (leave one out), so a turn adds
//!   `-Σ_t A log π_t + (β/2) Σ_t (log π_t - log π_ref,t)²`. On the policy's own samples the second
//!   term's gradient is that of `β KL(π || π_ref)` of each token. Stage I rewards turn 2 alone
//!   and holds turn 1 with a larger β; stage II rewards both, turn 2 with the bonus α.
//!
//! The negative derivative of each loss by a token's log-probability is the weight of that token's
//! negative log-likelihood, so the gradient needs no backward pass of its own.

use serde::{Deserialize, Serialize};

use super::weighting::centered;

/// A loss of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PolicyLoss {
    /// Group-relative policy optimisation.
    Grpo {
        /// ε: the distance from 1 at which a token's ratio is clipped.
        clip: f64,
        /// β: the weight of the distance from the reference.
        kl: f64,
        /// α: the weight of a change from the turn before.
        shaping: f64,
    },
    /// Stage I of `SCoRe`: turn 2 is rewarded, turn 1 is held.
    ScoreFirst {
        /// β1: the weight of the distance from the reference at every turn.
        kl: f64,
        /// β2: its additional weight at turn 1.
        kl_first: f64,
    },
    /// Stage II of `SCoRe`: both turns are rewarded, progress most.
    ScoreSecond {
        /// β1: the weight of the distance from the reference.
        kl: f64,
        /// α: the weight of a change from turn 1 to turn 2.
        shaping: f64,
    },
}

/// The log-probabilities of one sampled token under three policies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLogProbs {
    /// The current policy.
    pub current: f64,
    /// The policy that sampled the token.
    pub old: f64,
    /// The frozen reference.
    pub reference: f64,
}

/// The part of one token in the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLoss {
    /// Its part of the loss.
    pub loss: f64,
    /// Minus its derivative by `current`: the weight of the token's negative log-likelihood.
    pub nll_weight: f64,
    /// Whether its ratio is out of bounds, so the reward does not move it.
    pub clipped: bool,
}

impl TokenLogProbs {
    /// An estimate of KL(policy || reference) that is never negative (Schulman 2020).
    #[must_use]
    pub fn kl_k3(&self) -> f64 {
        let log_ratio = self.reference - self.current;
        log_ratio.exp() - log_ratio - 1.0
    }
}

impl PolicyLoss {
    /// The shaped reward `R_t` of each turn, from the rewards `r_t` of the attempts.
    #[must_use]
    pub fn shape_rewards(&self, rewards: &[f64]) -> Vec<f64> {
        (0..rewards.len())
            .map(|turn| match *self {
                Self::ScoreFirst { .. } if turn == 0 => 0.0,
                Self::Grpo { shaping, .. } | Self::ScoreSecond { shaping, .. } if turn > 0 => {
                    rewards[turn] + shaping * (rewards[turn] - rewards[turn - 1])
                }
                _ => rewards[turn],
            })
            .collect()
    }

    /// The advantage A of each of a problem's episodes at one turn, from their returns.
    #[must_use]
    pub fn advantages(&self, returns: &[f64]) -> Vec<f64> {
        let centered = centered(returns);
        let count = returns.len() as f64;
        match self {
            Self::Grpo { .. } => {
                let deviation =
                    (centered.iter().map(|value| value * value).sum::<f64>() / count).sqrt();
                let scale = if deviation > 0.0 {
                    deviation.recip()
                } else {
                    0.0
                };
                centered.iter().map(|value| value * scale).collect()
            }
            // R_i - mean of the others = (R_i - mean of all) G / (G - 1).
            _ if returns.len() > 1 => centered
                .iter()
                .map(|value| value * count / (count - 1.0))
                .collect(),
            _ => returns.to_vec(),
        }
    }

    /// The scale of every token of a turn of `tokens` tokens.
    #[must_use]
    pub fn token_scale(&self, tokens: usize) -> f64 {
        match self {
            Self::Grpo { .. } => (tokens.max(1) as f64).recip(),
            Self::ScoreFirst { .. } | Self::ScoreSecond { .. } => 1.0,
        }
    }

    /// The scale of the sum over a batch: GRPO is a mean over turns, and `SCoRe` an expectation over
    /// episodes.
    #[must_use]
    pub fn batch_scale(&self, episodes: usize, turns: usize) -> f64 {
        let count = match self {
            Self::Grpo { .. } => turns,
            Self::ScoreFirst { .. } | Self::ScoreSecond { .. } => episodes,
        };
        (count.max(1) as f64).recip()
    }

    /// The part of the loss of one token of turn `turn`, counted from 0.
    #[must_use]
    pub fn token_loss(&self, turn: usize, advantage: f64, logprobs: TokenLogProbs) -> TokenLoss {
        match *self {
            Self::Grpo { clip, kl: beta, .. } => {
                let ratio = (logprobs.current - logprobs.old).exp();
                let surrogate = ratio * advantage;
                let clipped_surrogate = ratio.clamp(1.0 - clip, 1.0 + clip) * advantage;
                let clipped = clipped_surrogate < surrogate;
                let kl_weight = beta * ((logprobs.reference - logprobs.current).exp() - 1.0);
                TokenLoss {
                    loss: beta * logprobs.kl_k3() - surrogate.min(clipped_surrogate),
                    nll_weight: if clipped { 0.0 } else { surrogate } + kl_weight,
                    clipped,
                }
            }
            Self::ScoreFirst { kl, kl_first } if turn == 0 => {
                reinforce_loss(advantage, kl + kl_first, logprobs)
            }
            Self::ScoreFirst { kl, .. } | Self::ScoreSecond { kl, .. } => {
                reinforce_loss(advantage, kl, logprobs)
            }
        }
    }

    /// Whether the loss compares with the reference.
    #[must_use]
    pub fn needs_reference(&self) -> bool {
        match *self {
            Self::Grpo { kl, .. } | Self::ScoreSecond { kl, .. } => kl != 0.0,
            Self::ScoreFirst { kl, kl_first } => kl != 0.0 || kl_first != 0.0,
        }
    }
}

fn reinforce_loss(advantage: f64, beta: f64, logprobs: TokenLogProbs) -> TokenLoss {
    let log_ratio = logprobs.current - logprobs.reference;
    TokenLoss {
        loss: 0.5 * beta * log_ratio * log_ratio - advantage * logprobs.current,
        nll_weight: advantage - beta * log_ratio,
        clipped: false,
    }
}

/// The return of each turn: its reward, and those of later turns discounted by γ per turn.
#[must_use]
pub fn discounted_returns(rewards: &[f64], discount: f64) -> Vec<f64> {
    let mut returns = rewards.to_vec();
    for turn in (1..returns.len()).rev() {
        returns[turn - 1] += discount * returns[turn];
    }
    returns
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small whole numbers are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRPO: PolicyLoss = PolicyLoss::Grpo {
        clip: 0.2,
        kl: 0.04,
        shaping: 0.5,
    };
    const FIRST: PolicyLoss = PolicyLoss::ScoreFirst {
        kl: 0.01,
        kl_first: 0.1,
    };
    const SECOND: PolicyLoss = PolicyLoss::ScoreSecond {
        kl: 0.01,
        shaping: 10.0,
    };

    const fn logprobs(current: f64, old: f64, reference: f64) -> TokenLogProbs {
        TokenLogProbs {
            current,
            old,
            reference,
        }
    }

    fn sorted_indices(values: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        order
    }

    #[track_caller]
    fn near(value: f64, expected: f64) {
        assert!(
            (value - expected).abs() < 1e-6,
            "{value} and not {expected}"
        );
    }

    #[test]
    fn progress_is_rewarded_and_regress_is_punished() {
        assert_eq!(GRPO.shape_rewards(&[0.0, 1.0, 0.0]), [0.0, 1.5, -0.5]);
        assert_eq!(SECOND.shape_rewards(&[0.0, 1.0]), [0.0, 11.0]);
        assert_eq!(SECOND.shape_rewards(&[1.0, 0.0]), [1.0, -10.0]);
        assert_eq!(SECOND.shape_rewards(&[1.0, 1.0]), [1.0, 1.0]);
        assert_eq!(FIRST.shape_rewards(&[1.0, 0.0]), [0.0, 0.0]);
        assert_eq!(FIRST.shape_rewards(&[0.0, 1.0]), [0.0, 1.0]);
        assert_eq!(SECOND.shape_rewards(&[1.0]), [1.0]);
    }

    #[test]
    fn credit_comes_from_later_turns_only_where_it_is_asked_for() {
        assert_eq!(discounted_returns(&[1.0, 2.0, 4.0], 0.0), [1.0, 2.0, 4.0]);
        assert_eq!(discounted_returns(&[1.0, 2.0, 4.0], 0.5), [3.0, 4.0, 4.0]);
        assert_eq!(discounted_returns(&[1.0, 2.0, 4.0], 1.0), [7.0, 6.0, 4.0]);
        assert_eq!(discounted_returns(&[], 1.0), [0.0; 0]);
    }

    #[test]
    fn group_relative_advantages_by_hand() {
        // Mean 1/4, standard deviation √(3/16): 0.75 / 0.4330 and -0.25 / 0.4330.
        let advantages = GRPO.advantages(&[1.0, 0.0, 0.0, 0.0]);
        near(advantages[0], 3.0_f64.sqrt());
        advantages[1..]
            .iter()
            .for_each(|&other| near(other, -1.0 / 3.0_f64.sqrt()));
        assert_eq!(
            GRPO.advantages(&[0.1, 0.1, 0.1]),
            [0.0; 3],
            "equal rewards say exactly nothing"
        );
        assert_eq!(GRPO.advantages(&[1.0]), [0.0]);
    }

    #[test]
    fn leave_one_out_advantages_by_hand() {
        // 1 - 0 and 0 - 1/3 each.
        let advantages = SECOND.advantages(&[1.0, 0.0, 0.0, 0.0]);
        near(advantages[0], 1.0);
        advantages[1..]
            .iter()
            .for_each(|&other| near(other, -1.0 / 3.0));
        assert_eq!(FIRST.advantages(&[11.0, 11.0]), [0.0, 0.0]);
        assert_eq!(
            FIRST.advantages(&[2.0]),
            [2.0],
            "alone there is nobody to compare with"
        );
    }

    #[test]
    fn distance_from_the_reference_by_hand() {
        assert_eq!(logprobs(-1.0, -1.0, -1.0).kl_k3(), 0.0);
        // Ratio 2: 2 - ln 2 - 1; ratio 1/2: 1/2 + ln 2 - 1.
        near(logprobs(0.5_f64.ln(), 0.0, 0.0).kl_k3(), 0.306_853);
        near(logprobs(0.0, 0.0, 0.5_f64.ln()).kl_k3(), 0.193_147);
    }

    #[test]
    fn grpo_tokens_by_hand() {
        let cases = [
            ((2.0, 1.0), (-2.0, 2.0, false)),
            ((2.0, 1.1), (-2.2, 2.2, false)),
            // Beyond 1.2 a good token is good enough, below 0.8 a bad one bad enough ...
            ((2.0, 1.5), (-2.4, 0.0, true)),
            ((-2.0, 0.5), (1.6, 0.0, true)),
            // ... and on the other side each is still called back.
            ((2.0, 0.5), (-1.0, 1.0, false)),
            ((-2.0, 1.5), (3.0, -3.0, false)),
        ];
        for ((advantage, ratio), (loss, nll_weight, clipped)) in cases {
            let current = f64::ln(ratio) - 2.0;
            let token = GRPO.token_loss(1, advantage, logprobs(current, -2.0, current));
            near(token.loss, loss);
            near(token.nll_weight, nll_weight);
            assert_eq!(token.clipped, clipped, "{advantage} {ratio}");
        }
        // The reference says e times as much: β (e - 1) towards it, β (e - 2) of loss.
        let pulled = GRPO.token_loss(0, 0.0, logprobs(-2.0, -2.0, -1.0));
        near(pulled.nll_weight, 0.04 * (std::f64::consts::E - 1.0));
        near(pulled.loss, 0.04 * (std::f64::consts::E - 2.0));
        near(GRPO.token_scale(4), 0.25);
    }

    #[test]
    fn score_tokens_by_hand() {
        let said = logprobs(-1.0, -1.0, -3.0);
        // Held by β1 + β2 at turn 1 and by β1 at turn 2; 2 apart.
        near(FIRST.token_loss(0, 0.0, said).nll_weight, -0.22);
        near(FIRST.token_loss(0, 0.0, said).loss, 0.22);
        near(FIRST.token_loss(1, 5.0, said).nll_weight, 5.0 - 0.02);
        near(SECOND.token_loss(0, 5.0, said).nll_weight, 5.0 - 0.02);
        near(SECOND.token_loss(0, 5.0, said).loss, 5.0 + 0.02);
        near(SECOND.token_scale(40), 1.0);
    }

    fn rules() -> impl Strategy<Value = PolicyLoss> {
        let numbers = (0.05..0.5, 0.0..1.0, 0.0..12.0);
        (0..3, numbers).prop_map(|(rule, (clip, kl, shaping))| match rule {
            0 => PolicyLoss::Grpo { clip, kl, shaping },
            1 => PolicyLoss::ScoreFirst {
                kl,
                kl_first: shaping,
            },
            _ => PolicyLoss::ScoreSecond { kl, shaping },
        })
    }

    proptest! {
        #[test]
        fn a_push_is_minus_the_slope_of_the_loss(
            rule in rules(),
            turn in 0_usize..3,
            advantage in -3.0..3.0,
            now in -4.0..0.0,
            then in -4.0..0.0,
            reference in -4.0..0.0,
        ) {
            let step = 1e-6;
            let [below, here, above] = [now - step, now, now + step]
                .map(|now| rule.token_loss(turn, advantage, logprobs(now, then, reference)));
            // Not where the slope jumps.
            prop_assume!(below.clipped == above.clipped);
            let slope = (above.loss - below.loss) / (2.0 * step);
            prop_assert!((slope + here.nll_weight).abs() < 1e-4 * (1.0 + slope.abs()), "{} {}", slope, here.nll_weight);
        }

        #[test]
        fn advantages_add_up_to_nothing(
            rule in rules(),
            credits in proptest::collection::vec(-11.0..11.0, 2..9),
        ) {
            let advantages = rule.advantages(&credits);
            prop_assert!(advantages.iter().sum::<f64>().abs() < 1e-9);
            prop_assert_eq!(sorted_indices(&advantages), sorted_indices(&credits));
        }
    }
}
