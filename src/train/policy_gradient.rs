//! From the rewards of turns to the weights of tokens: the arithmetic of online reinforcement
//! learning.
//!
//! G episodes of T turns are sampled for a problem. Turn t of an episode earns the shaped reward
//!
//! `R_t = r_t + α (r_t - r_{t-1})` for t > 1, `R_1 = r_1`,
//!
//! and is credited with `R_t + γ R_{t+1} + γ² R_{t+2} + ...`. What it earned more than the same
//! turn of the problem's other episodes is its advantage A.
//!
//! With γ = 0 a turn is credited with its own reward alone. What it takes off for the turn before,
//! `α r_{t-1}`, was settled before turn t was sampled: on average it changes that turn's gradient no
//! more than any baseline does, and what is left of the bonus is a factor `1 + α` on `r_t`. Turn 1
//! does not learn what it leads to. With γ > 0 it is credited with `γ (r_2 + α (r_2 - r_1))` as well,
//! so that an attempt which gets corrected is worth more than one which does not; γ = 1 is the
//! gradient of the sum of all `R_t`.
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
//! The derivative of each loss by a token's log-probability, with its sign turned, is the weight of
//! that token's negative log-likelihood: the gradient needs no backward pass of its own. Must not
//! know tokens, nor how episodes come about.

use serde::{Deserialize, Serialize};

use super::weighting::centered;

/// How rewards become a loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PolicyLoss {
    /// Group-relative policy optimisation.
    Grpo {
        /// ε: how far a token's ratio may go before it stops to count.
        clip: f64,
        /// β: what distance from the reference costs.
        kl: f64,
        /// α: what a change from the turn before counts beside the turn itself.
        shaping: f64,
    },
    /// Stage I of `SCoRe`: turn 2 is rewarded, turn 1 is held.
    ScoreFirst {
        /// β1: what distance from the reference costs at every turn.
        kl: f64,
        /// β2: what it costs at turn 1 beside that.
        kl_first: f64,
    },
    /// Stage II of `SCoRe`: both turns are rewarded, progress most.
    ScoreSecond {
        /// β1: what distance from the reference costs.
        kl: f64,
        /// α: what a change from turn 1 to turn 2 counts beside the turn itself.
        shaping: f64,
    },
}

/// What three policies say to one sampled token: log-probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLogProbs {
    /// The policy that is trained, now.
    pub current: f64,
    /// The same when the token was sampled.
    pub old: f64,
    /// The frozen reference.
    pub reference: f64,
}

/// What one token adds to the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLoss {
    /// Its part of the loss.
    pub loss: f64,
    /// Minus the derivative of that by `now`: the weight of its negative log-likelihood.
    pub nll_weight: f64,
    /// Whether its ratio was out of bounds, so that the reward moves it no further.
    pub clipped: bool,
}

impl TokenLogProbs {
    /// An estimate of KL(policy || reference) that is never negative (Schulman 2020).
    #[must_use]
    pub fn kl_k3(&self) -> f64 {
        let apart = self.reference - self.current;
        apart.exp() - apart - 1.0
    }
}

impl PolicyLoss {
    /// What each turn is rewarded with, from what the attempts earned.
    #[must_use]
    pub fn shape_rewards(&self, earned: &[f64]) -> Vec<f64> {
        let with = |shaping: f64| -> Vec<f64> {
            let progress = |turn: usize| {
                if turn == 0 {
                    0.0
                } else {
                    earned[turn] - earned[turn - 1]
                }
            };
            (0..earned.len())
                .map(|turn| earned[turn] + shaping * progress(turn))
                .collect()
        };
        match *self {
            Self::Grpo { shaping, .. } | Self::ScoreSecond { shaping, .. } => with(shaping),
            Self::ScoreFirst { .. } => earned
                .iter()
                .enumerate()
                .map(|(turn, &earned)| if turn == 0 { 0.0 } else { earned })
                .collect(),
        }
    }

    /// How much better each of a problem's episodes did at one turn than the others.
    #[must_use]
    pub fn advantages(&self, credits: &[f64]) -> Vec<f64> {
        let centered = centered(credits);
        let count = credits.len() as f64;
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
            _ if credits.len() > 1 => centered
                .iter()
                .map(|value| value * count / (count - 1.0))
                .collect(),
            _ => credits.to_vec(),
        }
    }

    /// What every token of a turn of so many tokens counts.
    #[must_use]
    pub fn token_scale(&self, tokens: usize) -> f64 {
        match self {
            Self::Grpo { .. } => (tokens.max(1) as f64).recip(),
            Self::ScoreFirst { .. } | Self::ScoreSecond { .. } => 1.0,
        }
    }

    /// What the sum over a batch of so many episodes, with so many turns in all, is multiplied with:
    /// GRPO is a mean over turns, and `SCoRe` an expectation over episodes.
    #[must_use]
    pub fn batch_scale(&self, episodes: usize, turns: usize) -> f64 {
        let count = match self {
            Self::Grpo { .. } => turns,
            Self::ScoreFirst { .. } | Self::ScoreSecond { .. } => episodes,
        };
        (count.max(1) as f64).recip()
    }

    /// What one token of turn `turn`, counted from 0, adds to the loss.
    #[must_use]
    pub fn token_loss(&self, turn: usize, advantage: f64, said: TokenLogProbs) -> TokenLoss {
        match *self {
            Self::Grpo { clip, kl, .. } => {
                let ratio = (said.current - said.old).exp();
                let (free, bound) = (
                    ratio * advantage,
                    ratio.clamp(1.0 - clip, 1.0 + clip) * advantage,
                );
                let clipped = bound < free;
                let pull = kl * ((said.reference - said.current).exp() - 1.0);
                let push = if clipped { 0.0 } else { free } + pull;
                TokenLoss {
                    loss: kl * said.kl_k3() - free.min(bound),
                    nll_weight: push,
                    clipped,
                }
            }
            Self::ScoreFirst { kl, kl_first } if turn == 0 => {
                reinforce_loss(advantage, kl + kl_first, said)
            }
            Self::ScoreFirst { kl, .. } | Self::ScoreSecond { kl, .. } => {
                reinforce_loss(advantage, kl, said)
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

fn reinforce_loss(advantage: f64, kl: f64, said: TokenLogProbs) -> TokenLoss {
    let apart = said.current - said.reference;
    let loss = 0.5 * kl * apart * apart - advantage * said.current;
    TokenLoss {
        loss,
        nll_weight: advantage - kl * apart,
        clipped: false,
    }
}

/// What each turn is credited with: its reward, and those of later turns at γ per turn.
#[must_use]
pub fn discounted_returns(rewards: &[f64], discount: f64) -> Vec<f64> {
    let mut credits = rewards.to_vec();
    for turn in (1..credits.len()).rev() {
        credits[turn - 1] += discount * credits[turn];
    }
    credits
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
        let said = |now, reference| TokenLogProbs {
            current: now,
            old: now,
            reference,
        };
        assert_eq!(said(-1.0, -1.0).kl_k3(), 0.0);
        // Ratio 2: 2 - ln 2 - 1; ratio 1/2: 1/2 + ln 2 - 1.
        near(said(0.5_f64.ln(), 0.0).kl_k3(), 0.306_853);
        near(said(0.0, 0.5_f64.ln()).kl_k3(), 0.193_147);
    }

    #[test]
    fn grpo_tokens_by_hand() {
        let said = |ratio: f64| TokenLogProbs {
            current: ratio.ln() - 2.0,
            old: -2.0,
            reference: ratio.ln() - 2.0,
        };
        let token = |advantage, ratio| {
            let TokenLoss {
                loss,
                nll_weight: push,
                clipped,
            } = GRPO.token_loss(1, advantage, said(ratio));
            (loss, push, clipped)
        };
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
        for ((advantage, ratio), (loss, push, clipped)) in cases {
            let found = token(advantage, ratio);
            near(found.0, loss);
            near(found.1, push);
            assert_eq!(found.2, clipped, "{advantage} {ratio}");
        }
        // The reference says e times as much: β (e - 1) towards it, β (e - 2) of loss.
        let pulled = GRPO.token_loss(
            0,
            0.0,
            TokenLogProbs {
                current: -2.0,
                old: -2.0,
                reference: -1.0,
            },
        );
        near(pulled.nll_weight, 0.04 * (std::f64::consts::E - 1.0));
        near(pulled.loss, 0.04 * (std::f64::consts::E - 2.0));
        near(GRPO.token_scale(4), 0.25);
    }

    #[test]
    fn score_tokens_by_hand() {
        let said = TokenLogProbs {
            current: -1.0,
            old: -1.0,
            reference: -3.0,
        };
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
            let at = |now| rule.token_loss(turn, advantage, TokenLogProbs { current: now, old: then, reference });
            let (step, here) = (1e-6, at(now));
            // Not where the slope jumps.
            prop_assume!(at(now - step).clipped == at(now + step).clipped);
            let slope = (at(now + step).loss - at(now - step).loss) / (2.0 * step);
            prop_assert!((slope + here.nll_weight).abs() < 1e-4 * (1.0 + slope.abs()), "{} {}", slope, here.nll_weight);
        }

        #[test]
        fn advantages_add_up_to_nothing(
            rule in rules(),
            credits in proptest::collection::vec(-11.0..11.0, 2..9),
        ) {
            let advantages = rule.advantages(&credits);
            prop_assert!(advantages.iter().sum::<f64>().abs() < 1e-9);
            let order = |values: &[f64]| {
                let mut order: Vec<usize> = (0..values.len()).collect();
                order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
                order
            };
            prop_assert_eq!(order(&advantages), order(&credits));
        }
    }
}
