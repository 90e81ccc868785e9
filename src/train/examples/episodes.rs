//! From episodes to training examples: dialogues with a weight on each target.
//!
//! Responsible for giving every picked turn the history it had in view, for sharing one dialogue
//! between targets where that changes nothing, and for counting what came out and what was left
//! out. Must not know tokens, nor how dialogues are worded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{Dialogue, Episode, Example, Reward, Role, Verdict};

use crate::train::selection::Selection;
use crate::train::weighting::{Weighting, turn_means};

/// Lays out a problem (by its id) and some attempts as the dialogue that asks for the next one.
pub type Layout<'a> = &'a dyn Fn(&str, &[&str]) -> Dialogue;

/// What became of a set of episodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
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
    /// Picked turns that were left out because their weight is 0.
    pub dropped_targets: u64,
    /// Episodes of which nothing is left to train on.
    pub dropped_episodes: u64,
    /// Sum of the targets' weights.
    pub weight_sum: f64,
    /// `(sum w)² / sum w²`: how many equally weighted targets would carry as much information; 0
    /// where there is no target.
    pub effective_sample_size: f64,
}

/// A turn that is trained on.
struct Target {
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
pub fn examples(
    episodes: &[Episode],
    layout: Layout<'_>,
    window: Option<u32>,
    selection: Selection,
    weighting: Weighting,
) -> (Vec<Example>, Summary) {
    let (means, prompts) = (turn_means(episodes), rewards_by_problem(episodes));
    let mut examples = Vec::new();
    let mut summary = Summary::default();
    let mut squares = 0.0;
    for episode in episodes {
        let verdicts = episode.verdicts();
        let rewards: Vec<Reward> = verdicts.iter().map(|verdict| verdict.reward()).collect();
        let weights = weighting.weights(&rewards, &prompts[episode.problem.as_str()], &means);
        let picks = selection.picks(&rewards);
        let targets: Vec<Target> = picks
            .iter()
            .map(|&turn| Target {
                turn,
                weight: weights[turn],
            })
            .filter(|target| target.weight != 0.0)
            .collect();
        summary.dropped_targets += (picks.len() - targets.len()) as u64;
        summary.dropped_episodes += u64::from(targets.is_empty());
        for target in &targets {
            summary.count(verdicts[target.turn], target.weight);
            squares += target.weight * target.weight;
        }
        examples.extend(of_episode(episode, &targets, layout, window));
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
        let rewards = episode.verdicts().into_iter().map(Verdict::reward);
        prompts.entry(&episode.problem).or_default().extend(rewards);
    }
    prompts
}

impl Summary {
    fn count(&mut self, verdict: Verdict, weight: f64) {
        self.targets += 1;
        self.weight_sum += weight;
        match verdict {
            Verdict::Right => self.right += 1,
            Verdict::Wrong => self.wrong += 1,
            Verdict::Unreadable => self.unreadable += 1,
        }
    }
}

/// The examples of one episode: one for all targets if their histories are whole, else one each.
fn of_episode(
    episode: &Episode,
    targets: &[Target],
    layout: Layout<'_>,
    window: Option<u32>,
) -> Vec<Example> {
    let window = window.map_or(usize::MAX, |window| window as usize);
    let Some(last) = targets.last() else {
        return Vec::new();
    };
    if last.turn <= window {
        return vec![example(episode, 0, targets, layout)];
    }
    let alone = |target| {
        example(
            episode,
            first_in_view(target, window),
            std::slice::from_ref(target),
            layout,
        )
    };
    targets.iter().map(alone).collect()
}

/// The first turn that a target has in view.
const fn first_in_view(target: &Target, window: usize) -> usize {
    target.turn.saturating_sub(window)
}

/// The dialogue of the turns from `first` to the last target, with the targets' weights.
fn example(episode: &Episode, first: usize, targets: &[Target], layout: Layout<'_>) -> Example {
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
    Example { messages, weights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Author, Candidate, Grade, Message, Turn};

    use Verdict::{Right, Unreadable, Wrong};

    /// Attempts are called a0, a1, ...; the last one is the teacher's.
    fn episode(problem: &str, verdicts: &[Verdict]) -> Episode {
        let turn = |(index, &verdict): (usize, &Verdict)| {
            let author = if index + 1 == verdicts.len() {
                Author::Teacher
            } else {
                Author::Policy
            };
            let grade = Grade {
                answer: None,
                verdict,
            };
            Turn::single(Candidate {
                author,
                text: format!("a{index}"),
                tokens: 1,
                prompt: 1,
                finished: true,
                grade,
            })
        };
        Episode {
            problem: problem.to_owned(),
            sample: 0,
            turns: verdicts.iter().enumerate().map(turn).collect(),
        }
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
    fn shown(examples: &[Example]) -> Vec<String> {
        let word = |(message, &weight): (&Message, &f64)| match weight {
            0.0 => message.text.clone(),
            weight => format!("{}={}", message.text, (weight * 100.0).round() / 100.0),
        };
        let line = |example: &Example| {
            assert_eq!(example.messages.len(), example.weights.len());
            let words = example.messages.iter().zip(&example.weights).map(word);
            words
                .collect::<Vec<_>>()
                .join(" ")
                .replacen("shot shown ", "", 1)
        };
        examples.iter().map(line).collect()
    }

    #[test]
    fn a_whole_history_carries_all_targets_in_one_example() {
        let episodes = [episode("p", &[Wrong, Wrong, Right]), episode("q", &[Right])];
        let (made, summary) = examples(
            &episodes,
            &layout,
            None,
            Selection::All,
            Weighting::default(),
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
        let with = |window| {
            examples(
                &episodes,
                &layout,
                window,
                Selection::All,
                Weighting::default(),
            )
        };
        assert_eq!(with(Some(2)), with(None));
        assert_ne!(with(Some(1)), with(None));
    }

    #[test]
    fn a_shorter_window_gives_each_target_its_own_history() {
        let episodes = [
            episode("p", &[Wrong, Wrong, Right]),
            episode("q", &[Wrong, Right]),
        ];
        let (made, summary) = examples(
            &episodes,
            &layout,
            Some(1),
            Selection::All,
            Weighting::Uniform,
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
        let (made, _) = examples(
            &episodes,
            &layout,
            Some(0),
            Selection::Success,
            Weighting::Uniform,
        );
        assert_eq!(shown(&made), ["p a2=1", "q a1=1"]);
    }

    #[test]
    fn unselected_turns_are_context_and_nothing_follows_the_last_target() {
        let better = [episode("p", &[Wrong, Wrong, Right])];
        let (made, _) = examples(
            &better,
            &layout,
            None,
            Selection::Better,
            Weighting::Uniform,
        );
        assert_eq!(shown(&made), ["p a0=1 again a1 again a2=1"]);
        let lost = [episode("p", &[Right, Wrong])];
        let (made, _) = examples(&lost, &layout, None, Selection::Success, Weighting::Uniform);
        assert_eq!(shown(&made), ["p a0=1"]);
    }

    #[test]
    fn targets_that_weigh_nothing_are_dropped_and_counted() {
        let episodes = [
            episode("p", &[Wrong, Right]),
            episode("q", &[Unreadable, Wrong]),
            episode("r", &[]),
        ];
        let (made, summary) = examples(
            &episodes,
            &layout,
            None,
            Selection::All,
            Weighting::SuccessOnly,
        );
        assert_eq!(shown(&made), ["p a0 again a1=1"]);
        let expected = Summary {
            examples: 1,
            targets: 1,
            right: 1,
            dropped_targets: 3,
            dropped_episodes: 2,
            weight_sum: 1.0,
            effective_sample_size: 1.0,
            ..Summary::default()
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn nothing_to_train_on_is_a_summary_and_not_a_division_by_zero() {
        let episodes = [episode("p", &[Right])];
        let centered = Weighting::CenteredExp { temperature: 0.4 };
        let (made, summary) = examples(&episodes, &layout, None, Selection::All, centered);
        assert!(made.is_empty());
        let nothing = Summary {
            dropped_targets: 1,
            dropped_episodes: 1,
            ..Summary::default()
        };
        assert_eq!(summary, nothing);
    }

    #[test]
    fn negative_weights_reach_their_target() {
        let episodes = [episode("p", &[Wrong, Right])];
        let centered = Weighting::CenteredExp { temperature: 0.4 };
        let (made, summary) = examples(&episodes, &layout, None, Selection::All, centered);
        assert_eq!(shown(&made), ["p a0=-5.59 again a1=5.59"]);
        assert_eq!(made[0].targets(), 2);
        assert!(summary.effective_sample_size.abs() < 1e-12);
    }

    #[test]
    fn trajectories_of_one_problem_are_centred_together() {
        let episodes = [
            episode("p", &[Wrong, Right]),
            episode("p", &[Right]),
            episode("q", &[Wrong, Right]),
        ];
        let centered = Weighting::Centered { temperature: 0.5 };
        let (made, _) = examples(&episodes, &layout, None, Selection::All, centered);
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
        let advantage = Weighting::TurnAdvantage { temperature: 0.5 };
        let (made, _) = examples(&episodes, &layout, None, Selection::All, advantage);
        // Turn 1 has mean 0.5, turn 2 has mean 1: exp(-1), exp(0), exp(1).
        assert_eq!(shown(&made), ["p a0=0.37 again a1=1", "q a0=2.72"]);
    }
}
