//! Weights of turns in training, from their rewards: the formulas, each with its source.

use serde::{Deserialize, Serialize};

use crate::domain::{Episode, Reward};

/// A rule that turns the rewards of one problem's turns into weights.
///
/// A rule sees all rewards of a problem at once, before any selection, because the centred ones
/// need their mean. Below, `r_t` is the reward of turn t, `τ` the temperature and `mean` runs over
/// all attempts at the problem, those of its other trajectories included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RewardWeighting {
    /// `w_t = 1`: plain supervised fine-tuning on the selected turns.
    Uniform,
    /// `w_t = 1` where the turn is right, else 0: filtered behaviour cloning, the limit of `Exp`
    /// for a small temperature.
    SuccessOnly,
    /// `w_t = exp(r_t / τ)`: reward-weighted regression, as the official code does with τ = 0.4.
    /// Neither centred, nor normalised, nor clipped.
    Exp {
        /// τ; a small one widens the gap between good and bad turns.
        temperature: f64,
    },
    /// `w_t = exp((r_t - mean r) / τ)`: the paper's advantage weighting (section 3.2) in the reading
    /// that centres the rewards. Right answers to easy problems count no more than any other.
    Centered {
        /// τ.
        temperature: f64,
    },
    /// `w_t = exp(r_t / τ) - mean exp(r / τ)`: the paper's advantage weighting in the reading that
    /// centres the exponentials. Turns below the mean are pushed down, and a problem whose turns
    /// all earned the same teaches nothing.
    CenteredExp {
        /// τ.
        temperature: f64,
    },
    /// `w_t = exp((r_t - mean over all problems of r at turn t) / τ)`: a reading found in summaries
    /// of the paper, in which a turn is compared with the same turn of the other problems.
    TurnAdvantage {
        /// τ.
        temperature: f64,
    },
}

impl Default for RewardWeighting {
    fn default() -> Self {
        Self::Exp { temperature: 0.4 }
    }
}

impl RewardWeighting {
    /// Whether some weights may be below 0.
    #[must_use]
    pub const fn may_be_negative(&self) -> bool {
        matches!(self, Self::CenteredExp { .. })
    }

    /// The first error in these settings, as (field, complaint).
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        let temperature = self.temperature()?;
        let usable = temperature.is_finite() && temperature > 0.0;
        (!usable).then(|| {
            (
                "temperature",
                format!("{temperature} is not a number above 0"),
            )
        })
    }

    const fn temperature(&self) -> Option<f64> {
        match *self {
            Self::Uniform | Self::SuccessOnly => None,
            Self::Exp { temperature }
            | Self::Centered { temperature }
            | Self::CenteredExp { temperature }
            | Self::TurnAdvantage { temperature } => Some(temperature),
        }
    }

    /// One weight per reward. `rewards` are those of one trajectory's turns in order,
    /// `problem_rewards` those of all attempts at the same problem, and `turn_means` is
    /// [`mean_reward_by_turn`] of all problems.
    ///
    /// # Panics
    /// If `TurnAdvantage` is not given the mean of every turn.
    #[must_use]
    pub fn weights(
        &self,
        rewards: &[Reward],
        problem_rewards: &[Reward],
        turn_means: &[f64],
    ) -> Vec<f64> {
        match *self {
            Self::Uniform => map_rewards(rewards, |_| 1.0),
            Self::SuccessOnly => map_rewards(rewards, |r| f64::from(r >= 1.0)),
            Self::Exp { temperature } => map_rewards(rewards, |r| (r / temperature).exp()),
            Self::Centered { temperature } => {
                let advantages = subtract_mean(
                    &map_rewards(rewards, |r| r),
                    &map_rewards(problem_rewards, |r| r),
                );
                advantages
                    .into_iter()
                    .map(|advantage| (advantage / temperature).exp())
                    .collect()
            }
            Self::CenteredExp { temperature } => subtract_mean(
                &map_rewards(rewards, |r| (r / temperature).exp()),
                &map_rewards(problem_rewards, |r| (r / temperature).exp()),
            ),
            Self::TurnAdvantage { temperature } => {
                assert!(
                    turn_means.len() >= rewards.len(),
                    "{} turn means for {} turns",
                    turn_means.len(),
                    rewards.len()
                );
                let advantages = rewards
                    .iter()
                    .zip(turn_means)
                    .map(|(reward, mean)| reward.0 - mean);
                advantages
                    .map(|advantage| (advantage / temperature).exp())
                    .collect()
            }
        }
    }
}

fn map_rewards(rewards: &[Reward], weight: impl Fn(f64) -> f64) -> Vec<f64> {
    rewards.iter().map(|reward| weight(reward.0)).collect()
}

/// The values minus their mean; exactly 0 where all are equal, which a rounded mean would not give.
pub(super) fn centered(values: &[f64]) -> Vec<f64> {
    subtract_mean(values, values)
}

/// The values minus the mean of others; exactly 0 where all are equal.
fn subtract_mean(values: &[f64], others: &[f64]) -> Vec<f64> {
    let count = others.len() as f64;
    values
        .iter()
        .map(|value| others.iter().map(|other| value - other).sum::<f64>() / count)
        .collect()
}

/// The mean reward of each turn over the episodes that reached it.
#[must_use]
pub fn mean_reward_by_turn(episodes: &[Episode]) -> Vec<f64> {
    let turns = episodes
        .iter()
        .map(|episode| episode.turns.len())
        .max()
        .unwrap_or(0);
    (0..turns)
        .map(|turn| {
            let rewards: Vec<f64> = episodes
                .iter()
                .filter_map(|episode| episode.turns.get(turn))
                .map(|turn| turn.chosen().grade.verdict.reward().0)
                .collect();
            rewards.iter().sum::<f64>() / rewards.len() as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Candidate, CandidateAuthor, Grade, GradeVerdict, Turn};

    const TAU: f64 = 0.4;

    fn every() -> [RewardWeighting; 6] {
        let temperature = TAU;
        [
            RewardWeighting::Uniform,
            RewardWeighting::SuccessOnly,
            RewardWeighting::Exp { temperature },
            RewardWeighting::Centered { temperature },
            RewardWeighting::CenteredExp { temperature },
            RewardWeighting::TurnAdvantage { temperature },
        ]
    }

    fn rewards(values: &[f64]) -> Vec<Reward> {
        values.iter().copied().map(Reward).collect()
    }

    #[track_caller]
    fn check(weighting: RewardWeighting, values: &[f64], expected: &[f64]) {
        let values = rewards(values);
        let weights = weighting.weights(&values, &values, &[0.3, 0.9, 1.0]);
        assert_eq!(weights.len(), expected.len());
        for (weight, expected) in weights.iter().zip(expected) {
            assert!(
                (weight - expected).abs() < 5e-4,
                "{weighting:?}: {weights:?}, not {expected:?}"
            );
        }
    }

    #[test]
    fn exponential_weights_are_those_of_the_official_code() {
        check(
            RewardWeighting::default(),
            &[-1.0, 0.0, 1.0],
            &[0.0821, 1.0, 12.1825],
        );
        check(
            RewardWeighting::Exp { temperature: 1.0 },
            &[-1.0, 0.0, 1.0],
            &[0.3679, 1.0, std::f64::consts::E],
        );
    }

    #[test]
    fn both_readings_of_centring_on_a_wrong_then_right_trajectory() {
        check(
            RewardWeighting::Centered { temperature: TAU },
            &[0.0, 1.0],
            &[0.2865, 3.4903],
        );
        check(
            RewardWeighting::CenteredExp { temperature: TAU },
            &[0.0, 1.0],
            &[-5.5912, 5.5912],
        );
    }

    #[test]
    fn the_mean_is_that_of_all_attempts_at_the_problem() {
        // A trajectory 0, 1 beside another 1: the mean is 2/3; exp(-(2/3) / 0.4), exp((1/3) / 0.4).
        let (own, prompt) = (rewards(&[0.0, 1.0]), rewards(&[0.0, 1.0, 1.0]));
        let weights = RewardWeighting::Centered { temperature: TAU }.weights(&own, &prompt, &[]);
        assert!(
            (weights[0] - 0.1889).abs() < 5e-4 && (weights[1] - 2.3010).abs() < 5e-4,
            "{weights:?}"
        );
        // exp(0), exp(2.5) twice: the mean is (1 + 2 * 12.1825) / 3 = 8.4550.
        let weights = RewardWeighting::CenteredExp { temperature: TAU }.weights(&own, &prompt, &[]);
        assert!(
            (weights[0] + 7.4550).abs() < 5e-4 && (weights[1] - 3.7275).abs() < 5e-4,
            "{weights:?}"
        );
    }

    #[test]
    fn a_problem_solved_at_once_is_not_news_to_the_centred_weightings() {
        check(RewardWeighting::default(), &[1.0], &[12.1825]);
        assert_eq!(
            RewardWeighting::Centered { temperature: TAU }.weights(
                &rewards(&[1.0]),
                &rewards(&[1.0]),
                &[]
            ),
            [1.0]
        );
        for count in 1..8 {
            let same = vec![Reward(1.0); count];
            let weights =
                RewardWeighting::CenteredExp { temperature: TAU }.weights(&same, &same, &[]);
            assert_eq!(
                weights,
                vec![0.0; count],
                "equal rewards must weigh exactly nothing"
            );
        }
    }

    #[test]
    fn turn_advantage_compares_with_the_same_turn_of_other_problems() {
        // exp(-0.3 / 0.4), exp(0.1 / 0.4), with turn means 0.3 and 0.9.
        check(
            RewardWeighting::TurnAdvantage { temperature: TAU },
            &[0.0, 1.0],
            &[0.4724, 1.2840],
        );
    }

    #[test]
    fn uniform_ignores_rewards_and_success_only_filters_by_them() {
        check(
            RewardWeighting::Uniform,
            &[-1.0, 0.0, 1.0],
            &[1.0, 1.0, 1.0],
        );
        check(
            RewardWeighting::SuccessOnly,
            &[-1.0, 0.0, 1.0],
            &[0.0, 0.0, 1.0],
        );
    }

    #[test]
    fn turn_means_run_over_the_episodes_that_reached_the_turn() {
        use GradeVerdict::{Right, Unreadable, Wrong};
        let turn = |verdict| {
            let grade = Grade {
                answer: None,
                verdict,
            };
            let (author, text) = (CandidateAuthor::Policy, String::new());
            Turn::single(Candidate {
                author,
                text,
                tokens: 1,
                prompt_tokens: 1,
                finished: true,
                grade,
            })
        };
        let episode = |verdicts: &[GradeVerdict]| Episode {
            problem: "p".to_owned(),
            sample: 0,
            turns: verdicts.iter().copied().map(turn).collect(),
        };
        let episodes = [
            episode(&[Right]),
            episode(&[Wrong, Right]),
            episode(&[Unreadable, Wrong, Right]),
        ];
        assert_eq!(mean_reward_by_turn(&episodes), [0.0, 0.5, 1.0]);
        assert_eq!(mean_reward_by_turn(&[]), [0.0; 0]);
    }

    #[test]
    fn spelling_of_experiment_files() {
        let read = |json: &str| serde_json::from_str::<RewardWeighting>(json);
        assert_eq!(read(r#""uniform""#).unwrap(), RewardWeighting::Uniform);
        assert_eq!(
            read(r#""success-only""#).unwrap(),
            RewardWeighting::SuccessOnly
        );
        let centered = read(r#"{"centered-exp":{"temperature":0.4}}"#).unwrap();
        assert_eq!(centered, RewardWeighting::CenteredExp { temperature: 0.4 });
        for weighting in every() {
            assert_eq!(
                read(&serde_json::to_string(&weighting).unwrap()).unwrap(),
                weighting
            );
        }
        assert!(read(r#"{"exp":{"temprature":0.4}}"#).is_err());
        assert!(read(r#"{"exp":{"temperature":0.4,"clip":1.0}}"#).is_err());
    }

    #[test]
    fn a_temperature_must_be_above_zero() {
        for temperature in [0.0, -0.4, f64::NAN, f64::INFINITY] {
            let (field, complaint) = RewardWeighting::Exp { temperature }.first_error().unwrap();
            assert_eq!(field, "temperature");
            assert!(
                complaint.ends_with("is not a number above 0"),
                "{complaint}"
            );
        }
        assert!(
            every()
                .iter()
                .all(|weighting| weighting.first_error().is_none())
        );
    }

    proptest! {
        #[test]
        fn every_weighting_gives_one_finite_weight_per_reward(
            values in proptest::collection::vec(prop_oneof![Just(-1.0), Just(0.0), Just(1.0)], 0..8),
            turn_means in proptest::collection::vec(-1.0..1.0, 8),
        ) {
            let rewards = rewards(&values);
            for weighting in every() {
                let weights = weighting.weights(&rewards, &rewards, &turn_means);
                prop_assert_eq!(weights.len(), rewards.len());
                prop_assert!(weights.iter().all(|weight| weight.is_finite()), "{:?}", weighting);
                let negative = weights.iter().any(|&weight| weight < 0.0);
                prop_assert!(!negative || weighting.may_be_negative(), "{:?}: {:?}", weighting, weights);
            }
        }

        #[test]
        fn within_a_turn_more_reward_never_weighs_less(
            low in -1.0..1.0,
            high in -1.0..1.0,
            mean in -1.0..1.0,
        ) {
            prop_assume!(low < high);
            for weighting in every() {
                let pair = [Reward(low), Reward(high)];
                let weights = weighting.weights(&pair, &pair, &[mean, mean]);
                prop_assert!(weights[0] <= weights[1], "{:?}: {:?}", weighting, weights);
            }
        }

        #[test]
        fn a_negative_weight_is_possible_where_it_is_announced(count in 1_usize..5) {
            let mut mixed = vec![Reward(0.0); count];
            mixed.push(Reward(1.0));
            for weighting in every() {
                let negative = weighting.weights(&mixed, &mixed, &[0.0; 6]).iter().any(|&weight| weight < 0.0);
                prop_assert_eq!(negative, weighting.may_be_negative());
            }
        }
    }
}
