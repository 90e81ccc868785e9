//! The selection of an episode's training targets, by the criteria of the official code.

use serde::{Deserialize, Serialize};

use crate::domain::Reward;

/// A criterion that selects turns of an episode as targets.
///
/// The official code describes each criterion by an intent, and its program does something else;
/// these criteria do as the program. Rewards are compared in the order of the turns, the teacher's
/// turn included. That program also stops at the first right attempt, where its own episodes end;
/// here later turns count, so an episode may repeat a right attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TurnSelection {
    /// Every turn.
    #[default]
    All,
    /// The first turn, and every turn with more reward than the turn just before it.
    Better,
    /// The first turn, and every turn with no less reward than any turn before it. Ties are kept
    /// and later turns do not count: "not worse so far" rather than "the best".
    Best,
    /// The right turns only.
    Success,
    /// The official description of `better`: turns with more reward than the turn just
    /// before it. The first turn, which has none before it, counts if it is right.
    BetterStrict,
    /// The official description of `best`: the one turn with the most reward, the
    /// earliest of equals.
    BestStrict,
}

impl TurnSelection {
    /// Every criterion.
    pub const ALL: [Self; 6] = [
        Self::All,
        Self::Better,
        Self::Best,
        Self::Success,
        Self::BetterStrict,
        Self::BestStrict,
    ];

    /// The indices of the turns that become targets, in order.
    #[must_use]
    pub fn select_turns(self, rewards: &[Reward]) -> Vec<usize> {
        (0..rewards.len())
            .filter(|&turn| self.keeps_turn(rewards, turn))
            .collect()
    }

    /// Whether a turn is kept among the turns with these rewards.
    fn keeps_turn(self, rewards: &[Reward], turn: usize) -> bool {
        let (earlier, reward, later) = (&rewards[..turn], rewards[turn], &rewards[turn + 1..]);
        match self {
            Self::All => true,
            Self::Better => earlier.last().is_none_or(|&before| reward > before),
            Self::Best => earlier.iter().all(|&before| reward >= before),
            Self::Success => reward.0 >= 1.0,
            Self::BetterStrict => earlier
                .last()
                .map_or(reward.0 >= 1.0, |&before| reward > before),
            Self::BestStrict => {
                earlier.iter().all(|&before| reward > before)
                    && later.iter().all(|&after| reward >= after)
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "rewards are whole numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The selected turns by criterion, in the order of `TurnSelection::ALL`.
    fn kept(rewards: &[f64]) -> [Vec<usize>; 6] {
        let rewards: Vec<Reward> = rewards.iter().copied().map(Reward).collect();
        TurnSelection::ALL.map(|selection| selection.select_turns(&rewards))
    }

    #[test]
    fn criteria_behave_as_in_the_official_code() {
        assert_eq!(
            kept(&[0.0, 0.0, 1.0]),
            [
                vec![0, 1, 2],
                vec![0, 2],
                vec![0, 1, 2],
                vec![2],
                vec![2],
                vec![2]
            ]
        );
        assert_eq!(
            kept(&[0.0, -1.0, 1.0]),
            [
                vec![0, 1, 2],
                vec![0, 2],
                vec![0, 2],
                vec![2],
                vec![2],
                vec![2]
            ]
        );
        assert_eq!(
            kept(&[1.0]),
            [vec![0], vec![0], vec![0], vec![0], vec![0], vec![0]]
        );
    }

    #[test]
    fn better_looks_at_the_turn_before_and_best_at_all_of_them() {
        assert_eq!(
            kept(&[0.0, -1.0, 0.0]),
            [
                vec![0, 1, 2],
                vec![0, 2],
                vec![0, 2],
                vec![],
                vec![2],
                vec![0]
            ]
        );
        assert_eq!(
            kept(&[1.0, -1.0, 0.0]),
            [
                vec![0, 1, 2],
                vec![0, 2],
                vec![0],
                vec![0],
                vec![0, 2],
                vec![0]
            ]
        );
    }

    #[test]
    fn standing_by_a_right_attempt_is_kept_by_all_but_better() {
        assert_eq!(
            kept(&[1.0, 1.0]),
            [
                vec![0, 1],
                vec![0],
                vec![0, 1],
                vec![0, 1],
                vec![0],
                vec![0]
            ]
        );
    }

    #[test]
    fn an_episode_without_turns_has_no_targets() {
        assert!(kept(&[]).iter().all(Vec::is_empty));
    }

    #[test]
    fn names_are_those_of_experiment_files() {
        let names = TurnSelection::ALL.map(|selection| serde_json::to_value(selection).unwrap());
        assert_eq!(
            names,
            [
                "all",
                "better",
                "best",
                "success",
                "better-strict",
                "best-strict"
            ]
        );
    }

    proptest! {
        #[test]
        fn first_attempt_is_kept_unless_only_successes_are_wanted(
            rewards in proptest::collection::vec(prop_oneof![Just(-1.0), Just(0.0), Just(1.0)], 1..8),
        ) {
            let [all, better, best, success, better_strict, best_strict] = kept(&rewards);
            prop_assert_eq!(all.len(), rewards.len());
            prop_assert_eq!((better[0], best[0]), (0, 0));
            prop_assert_eq!(best_strict.len(), 1);
            prop_assert!(rewards.iter().all(|&reward| reward <= rewards[best_strict[0]]));
            prop_assert!(better_strict.iter().all(|turn| better.contains(turn)));
            prop_assert!(success.iter().all(|&turn| rewards[turn] == 1.0));
            prop_assert_eq!(success.len(), rewards.iter().filter(|&&reward| reward == 1.0).count());
        }
    }
}
