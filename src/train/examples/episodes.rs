//! From episodes to training examples: dialogues with a weight on each target.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::{Dialogue, Episode, GradeVerdict, Reward, Role, TrainingExample, Turn};

use crate::train::selection::TurnSelection;
use crate::train::weighting::{RewardWeighting, mean_reward_by_turn};

/// Lays out a problem (by its id) and some attempts as the dialogue that asks for the next one.
pub type DialogueLayout<'a> = &'a dyn Fn(&str, &[&str]) -> Dialogue;

/// Counts of the examples of a set of episodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleStats {
    /// Dialogues to train on.
    pub examples: u64,
    /// Targets in them; a target is one attempt with a weight other than 0.
    pub targets: u64,
    /// Targets that are right.
    pub right: u64,
    /// Targets that are wrong.
    pub wrong: u64,
    /// Targets in which no answer could be read.
    pub unreadable: u64,
    /// Selected turns without effect, because their weight is 0.
    pub dropped_targets: u64,
    /// Episodes without a target.
    pub dropped_episodes: u64,
    /// Sum of the targets' weights.
    pub weight_sum: f64,
    /// `(sum w)² / sum w²`: how many equally weighted targets would carry as much information; 0
    /// where there is no target.
    pub effective_sample_size: f64,
}

/// A turn that is trained on.
struct TargetTurn {
    turn: usize,
    weight: f64,
}

/// Turns episodes into training examples.
///
/// The episodes of one problem are its trajectories, and their rewards together are the prompt's;
/// the teacher's turn counts as a turn with its own reward. Each target is preceded by
/// the last `window` attempts before it (none: all of them). Where every target has its whole
/// history in view, one example carries all targets of an episode: attention is causal, so this
/// is the same loss as the official code's one example per prefix, for one pass over the tokens.
#[must_use]
pub fn episode_examples(
    episodes: &[Episode],
    layout: DialogueLayout<'_>,
    window: Option<u32>,
    selection: TurnSelection,
    weighting: RewardWeighting,
) -> (Vec<TrainingExample>, ExampleStats) {
    let (means, prompts) = (mean_reward_by_turn(episodes), rewards_by_problem(episodes));
    let mut examples = Vec::new();
    let mut summary = ExampleStats::default();
    let mut squares = 0.0;
    for episode in episodes {
        let verdicts = episode.verdicts();
        let rewards: Vec<Reward> = verdicts.iter().map(|verdict| verdict.reward()).collect();
        let weights = weighting.weights(&rewards, &prompts[episode.problem.as_str()], &means);
        let picks = selection.select_turns(&rewards);
        let targets: Vec<TargetTurn> = picks
            .iter()
            .map(|&turn| TargetTurn {
                turn,
                weight: weights[turn],
            })
            .filter(|target| target.weight != 0.0)
            .collect();
        summary.dropped_targets += (picks.len() - targets.len()) as u64;
        summary.dropped_episodes += u64::from(targets.is_empty());
        for target in &targets {
            summary.count_target(verdicts[target.turn], target.weight);
            squares += target.weight * target.weight;
        }
        examples.extend(split_episode(episode, &targets, layout, window));
    }
    summary.examples = examples.len() as u64;
    if squares > 0.0 {
        summary.effective_sample_size = summary.weight_sum * summary.weight_sum / squares;
    }
    (examples, summary)
}

/// The rewards of all attempts at each problem.
fn rewards_by_problem(episodes: &[Episode]) -> BTreeMap<&str, Vec<Reward>> {
    let mut prompts = BTreeMap::<&str, Vec<Reward>>::new();
    for episode in episodes {
        let rewards = episode.verdicts().into_iter().map(GradeVerdict::reward);
        prompts.entry(&episode.problem).or_default().extend(rewards);
    }
    prompts
}

impl ExampleStats {
    fn count_target(&mut self, verdict: GradeVerdict, weight: f64) {
        self.targets += 1;
        self.weight_sum += weight;
        match verdict {
            GradeVerdict::Right => self.right += 1,
            GradeVerdict::Wrong => self.wrong += 1,
            GradeVerdict::Unreadable => self.unreadable += 1,
        }
    }
}

/// The examples of one episode: one for all targets if their histories are whole, else one each.
fn split_episode(
    episode: &Episode,
    targets: &[TargetTurn],
    layout: DialogueLayout<'_>,
    window: Option<u32>,
) -> Vec<TrainingExample> {
    let window = window.map_or(usize::MAX, |window| window as usize);
    let Some(last) = targets.last() else {
        return Vec::new();
    };
    if last.turn <= window {
        return vec![build_example(episode, 0, targets, layout)];
    }
    targets
        .iter()
        .map(|target| {
            let first_visible = target.turn.saturating_sub(window);
            build_example(episode, first_visible, std::slice::from_ref(target), layout)
        })
        .collect()
}

/// The dialogue of the turns from `first` to the last target, with the targets' weights.
fn build_example(
    episode: &Episode,
    first: usize,
    targets: &[TargetTurn],
    layout: DialogueLayout<'_>,
) -> TrainingExample {
    let last = targets.last().map_or(first, |target| target.turn);
    let attempts: Vec<&str> = episode.turns[first..=last]
        .iter()
        .map(|turn| turn.chosen().text.as_str())
        .collect();
    let (answer, earlier) = attempts
        .split_last()
        .expect("the last target is one of the turns");
    let messages = layout(&episode.problem, earlier).assistant(*answer).0;
    let mut weights = vec![0.0; messages.len()];
    // Counted from the end: a layout may open with a worked example, whose answer is no attempt.
    let spoken = messages
        .iter()
        .enumerate()
        .filter(|(_, message)| message.role == Role::Assistant);
    let places: Vec<usize> = spoken.map(|(place, _)| place).collect();
    let attempts_at = &places[places.len() - attempts.len()..];
    for target in targets {
        weights[attempts_at[target.turn - first]] = target.weight;
    }
    TrainingExample { messages, weights }
}

/// The episode without attempts that are empty or repeat an earlier failure of the same episode,
/// white space around them aside, as the official code's optional flag does. Their retry texts go
/// with them.
///
/// A repeated right attempt stays, since right→right pairs teach it. The official code never meets
/// one, because there an episode ends at its first right attempt.
#[must_use]
pub fn deduplicate_turns(episode: &Episode) -> Episode {
    let mut seen = BTreeSet::new();
    let mut turns: Vec<Turn> = Vec::new();
    for turn in &episode.turns {
        let text = turn.chosen().text.trim();
        let new = seen.insert(text) || turn.chosen().grade.verdict.is_right();
        if !text.is_empty() && new {
            turns.push(turn.clone());
        }
    }
    Episode {
        turns,
        ..episode.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CandidateAuthor;
    use crate::train::examples::fixtures;

    use GradeVerdict::{Right, Unreadable, Wrong};

    /// Attempts are called a0, a1, ...; the last one is the teacher's.
    fn episode(problem: &str, verdicts: &[GradeVerdict]) -> Episode {
        let texts: Vec<String> = (0..verdicts.len()).map(|n| format!("a{n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut episode = fixtures::episode(problem, &texts);
        for (turn, &verdict) in episode.turns.iter_mut().zip(verdicts) {
            turn.candidates[0].grade.verdict = verdict;
        }
        if let Some(last) = episode.turns.last_mut() {
            last.candidates[0].author = CandidateAuthor::Teacher;
        }
        episode
    }

    /// A layout that opens with a worked example, as the official prompt does.
    fn layout(problem: &str, attempts: &[&str]) -> Dialogue {
        let opening = Dialogue::default()
            .user("shot")
            .assistant("shown")
            .user(problem);
        attempts.iter().fold(opening, |dialogue, attempt| {
            dialogue.assistant(*attempt).user("again")
        })
    }

    /// The texts with the weights of the targets, e.g. `p a0=1 again a1=12.18`.
    fn shown(examples: &[TrainingExample]) -> Vec<String> {
        examples.iter().map(shown_example).collect()
    }

    fn shown_example(example: &TrainingExample) -> String {
        assert_eq!(example.messages.len(), example.weights.len());
        let words = example.messages.iter().zip(&example.weights);
        let words = words.map(|(message, &weight)| match weight {
            0.0 => message.text.clone(),
            weight => format!("{}={}", message.text, (weight * 100.0).round() / 100.0),
        });
        let words: Vec<String> = words.collect();
        words.join(" ").replacen("shot shown ", "", 1)
    }

    #[test]
    fn a_whole_history_carries_all_targets_in_one_example() {
        let episodes = [episode("p", &[Wrong, Wrong, Right]), episode("q", &[Right])];
        let (made, summary) = episode_examples(
            &episodes,
            &layout,
            None,
            TurnSelection::All,
            RewardWeighting::default(),
        );
        assert_eq!(
            shown(&made),
            ["p a0=1 again a1=1 again a2=12.18", "q a0=12.18"]
        );
        let e = (1.0_f64 / 0.4).exp();
        assert_eq!(
            (
                summary.examples,
                summary.targets,
                summary.right,
                summary.wrong
            ),
            (2, 4, 2, 2)
        );
        assert!((summary.weight_sum - (2.0 + 2.0 * e)).abs() < 1e-12);
        let ess = (2.0 + 2.0 * e).powi(2) / (2.0 + 2.0 * e * e);
        assert!((summary.effective_sample_size - ess).abs() < 1e-12);
        assert_eq!(
            (
                summary.dropped_targets,
                summary.dropped_episodes,
                summary.unreadable
            ),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_window_as_long_as_the_history_changes_nothing() {
        let episodes = [episode("p", &[Wrong, Wrong, Right])];
        let [all, two, one] = [None, Some(2), Some(1)].map(|window| {
            episode_examples(
                &episodes,
                &layout,
                window,
                TurnSelection::All,
                RewardWeighting::default(),
            )
        });
        assert_eq!(two, all);
        assert_ne!(one, all);
    }

    #[test]
    fn a_shorter_window_gives_each_target_its_own_history() {
        let episodes = [
            episode("p", &[Wrong, Wrong, Right]),
            episode("q", &[Wrong, Right]),
        ];
        let (made, summary) = episode_examples(
            &episodes,
            &layout,
            Some(1),
            TurnSelection::All,
            RewardWeighting::Uniform,
        );
        let expected = [
            "p a0=1",
            "p a0 again a1=1",
            "p a1 again a2=1",
            "q a0=1 again a1=1",
        ];
        assert_eq!(shown(&made), expected);
        assert_eq!((summary.examples, summary.targets), (4, 5));
        assert!((summary.effective_sample_size - 5.0).abs() < 1e-12);
        let (made, _) = episode_examples(
            &episodes,
            &layout,
            Some(0),
            TurnSelection::Success,
            RewardWeighting::Uniform,
        );
        assert_eq!(shown(&made), ["p a2=1", "q a1=1"]);
    }

    #[test]
    fn unselected_turns_are_context_and_nothing_follows_the_last_target() {
        let better = [episode("p", &[Wrong, Wrong, Right])];
        let (made, _) = episode_examples(
            &better,
            &layout,
            None,
            TurnSelection::Better,
            RewardWeighting::Uniform,
        );
        assert_eq!(shown(&made), ["p a0=1 again a1 again a2=1"]);
        let lost = [episode("p", &[Right, Wrong])];
        let (made, _) = episode_examples(
            &lost,
            &layout,
            None,
            TurnSelection::Success,
            RewardWeighting::Uniform,
        );
        assert_eq!(shown(&made), ["p a0=1"]);
    }

    #[test]
    fn targets_that_weigh_nothing_are_dropped_and_counted() {
        let episodes = [
            episode("p", &[Wrong, Right]),
            episode("q", &[Unreadable, Wrong]),
            episode("r", &[]),
        ];
        let (made, summary) = episode_examples(
            &episodes,
            &layout,
            None,
            TurnSelection::All,
            RewardWeighting::SuccessOnly,
        );
        assert_eq!(shown(&made), ["p a0 again a1=1"]);
        let expected = ExampleStats {
            examples: 1,
            targets: 1,
            right: 1,
            dropped_targets: 3,
            dropped_episodes: 2,
            weight_sum: 1.0,
            effective_sample_size: 1.0,
            ..ExampleStats::default()
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn nothing_to_train_on_is_a_summary_and_not_a_division_by_zero() {
        let episodes = [episode("p", &[Right])];
        let centered = RewardWeighting::CenteredExp { temperature: 0.4 };
        let (made, summary) =
            episode_examples(&episodes, &layout, None, TurnSelection::All, centered);
        assert!(made.is_empty());
        let nothing = ExampleStats {
            dropped_targets: 1,
            dropped_episodes: 1,
            ..ExampleStats::default()
        };
        assert_eq!(summary, nothing);
    }

    #[test]
    fn negative_weights_reach_their_target() {
        let episodes = [episode("p", &[Wrong, Right])];
        let centered = RewardWeighting::CenteredExp { temperature: 0.4 };
        let (made, summary) =
            episode_examples(&episodes, &layout, None, TurnSelection::All, centered);
        assert_eq!(shown(&made), ["p a0=-5.59 again a1=5.59"]);
        assert_eq!(made[0].target_count(), 2);
        assert!(summary.effective_sample_size.abs() < 1e-12);
    }

    #[test]
    fn trajectories_of_one_problem_are_centred_together() {
        let episodes = [
            episode("p", &[Wrong, Right]),
            episode("p", &[Right]),
            episode("q", &[Wrong, Right]),
        ];
        let centered = RewardWeighting::Centered { temperature: 0.5 };
        let (made, _) = episode_examples(&episodes, &layout, None, TurnSelection::All, centered);
        // The mean of p is 2/3, that of q 1/2: exp(-4/3), exp(2/3), and exp(-1), exp(1).
        assert_eq!(
            shown(&made),
            [
                "p a0=0.26 again a1=1.95",
                "p a0=1.95",
                "q a0=0.37 again a1=2.72"
            ]
        );
    }

    #[test]
    fn turn_advantage_sees_the_means_of_all_episodes() {
        let episodes = [episode("p", &[Wrong, Right]), episode("q", &[Right])];
        let advantage = RewardWeighting::TurnAdvantage { temperature: 0.5 };
        let (made, _) = episode_examples(&episodes, &layout, None, TurnSelection::All, advantage);
        // Turn 1 has mean 0.5, turn 2 has mean 1: exp(-1), exp(0), exp(1).
        assert_eq!(shown(&made), ["p a0=0.37 again a1=1", "q a0=2.72"]);
    }

    #[test]
    fn empty_and_repeated_attempts_leave_with_their_turn() {
        let left = deduplicate_turns(&fixtures::episode("p", &["a", " a\n", "", "b", "a", "B"]));
        let texts: Vec<&str> = left
            .turns
            .iter()
            .map(|turn| turn.chosen().text.as_str())
            .collect();
        assert_eq!(texts, ["a", "b", "B"]);
        assert_eq!(deduplicate_turns(&fixtures::episode("p", &[" "])).turns, []);
    }

    #[test]
    fn a_right_attempt_is_stood_by_and_a_wrong_one_is_repeated() {
        let left = deduplicate_turns(&fixtures::episode("p", &["a", "a", "b!", "b!"]));
        let texts: Vec<&str> = left
            .turns
            .iter()
            .map(|turn| turn.chosen().text.as_str())
            .collect();
        assert_eq!(texts, ["a", "b!", "b!"]);
    }
}
