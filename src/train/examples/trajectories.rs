//! Whole dialogues that end right against whole dialogues that end wrong: the preferences of
//! self-rewarding correction (Xiong et al. 2025, multi-turn direct preference optimisation).
//!
//! A trajectory is what a policy said to a problem over several turns, verifications included.
//! Must not know how they were sampled.

use std::collections::BTreeMap;

use crate::data::{PromptConfig, ReviewedAttempt, SelfReview};
use crate::domain::{Episode, PreferencePair, Problem, Role, TrainingExample, Turn};

/// One pair per problem that has both: its first trajectory that ends right, and its first that
/// ends wrong. Everything that the policy said is compared: attempts and verifications.
#[must_use]
pub fn trajectory_preferences(
    problems: &[Problem],
    episodes: &[Episode],
    prompt: PromptConfig,
) -> Vec<PreferencePair> {
    let mut by_problem = BTreeMap::<&str, Vec<&Episode>>::new();
    for episode in episodes.iter().filter(|episode| !episode.turns.is_empty()) {
        by_problem
            .entry(episode.problem.as_str())
            .or_default()
            .push(episode);
    }
    let pair = |problem: &Problem| {
        let all = by_problem.get(problem.id.as_str())?;
        let first = |right: bool| all.iter().find(|episode| episode.ends_right() == right);
        let side = |episode: &Episode| trajectory_example(problem, episode, prompt);
        Some(PreferencePair {
            chosen: side(first(true)?),
            rejected: side(first(false)?),
        })
    };
    problems.iter().filter_map(pair).collect()
}

/// The dialogue as the policy was shown it, with all that it said as targets.
fn trajectory_example(
    problem: &Problem,
    episode: &Episode,
    prompt: PromptConfig,
) -> TrainingExample {
    let exchange = |turn: &'_ Turn| -> (String, Option<String>) {
        (
            turn.chosen().text.clone(),
            turn.review.as_ref().map(|review| review.text.clone()),
        )
    };
    let said: Vec<(String, Option<String>)> = episode.turns.iter().map(exchange).collect();
    let (last, earlier) = said.split_last().expect("an episode has a turn");
    let earlier: Vec<ReviewedAttempt<'_>> = earlier
        .iter()
        .map(|(attempt, review)| ReviewedAttempt {
            attempt,
            review: review.as_deref(),
        })
        .collect();
    let (question, verify) = (&problem.question, SelfReview::Verify);
    let dialogue = match &last.1 {
        None => prompt
            .reviewed_dialogue(question, verify, &earlier)
            .assistant(&last.0),
        Some(review) => prompt
            .self_review_dialogue(question, verify, &earlier, &last.0)
            .assistant(review),
    };
    let weights = dialogue
        .0
        .iter()
        .map(|message| f64::from(message.role == Role::Assistant))
        .collect();
    TrainingExample {
        messages: dialogue.0,
        weights,
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempt_pool::testing::{episode, problem};
    use super::*;
    use crate::domain::AttemptReview;

    /// Attempts with what was said of them; the last may have no review.
    fn verified(id: &str, said: &[(&str, Option<&str>)]) -> Episode {
        let texts: Vec<&str> = said.iter().map(|(text, _)| *text).collect();
        let mut episode = episode(id, &texts);
        for (turn, (_, review)) in episode.turns.iter_mut().zip(said) {
            turn.review = review.map(|text| AttemptReview {
                text: text.to_owned(),
                tokens: 2,
                prompt_tokens: 9,
                approves: SelfReview::parse_approval(text),
            });
        }
        episode
    }

    #[test]
    fn a_dialogue_that_ends_right_wins_against_one_that_ends_wrong() {
        let problems = [problem("p"), problem("q")];
        let episodes = [
            verified("p", &[("a", Some("yes"))]),
            verified("p", &[("b", Some("no")), ("c!", Some("yes"))]),
            verified("p", &[("d!", Some("yes"))]),
            verified("q", &[("e!", Some("no")), ("f", None)]),
            verified("q", &[("g", Some("no")), ("h", None)]),
        ];
        let prompt = PromptConfig {
            repeat_question: false,
            ..PromptConfig::default()
        };
        let line = |example: &TrainingExample| {
            let words = example.messages.iter().zip(&example.weights);
            let words = words.map(|(message, &weight)| match weight {
                0.0 => message.text.clone(),
                _ => format!("[{}]", message.text),
            });
            words.collect::<Vec<_>>().join(" | ")
        };
        let pairs = trajectory_preferences(&problems, &episodes, prompt);
        assert_eq!(pairs.len(), 1, "q was never right at the end");
        insta::assert_snapshot!(line(&pairs[0].chosen), @"p | [b] | Is that right? | [no] | That is incorrect. Try again. | [c!] | Is that right? | [yes]");
        insta::assert_snapshot!(line(&pairs[0].rejected), @"p | [a] | Is that right? | [yes]");
        let open = [
            verified("p", &[("a!", Some("no")), ("b", None)]),
            verified("p", &[("c!", None)]),
        ];
        let pairs = trajectory_preferences(&problems, &open, prompt);
        insta::assert_snapshot!(line(&pairs[0].rejected), @"p | [a!] | Is that right? | [no] | That is incorrect. Try again. | [b]");
        insta::assert_snapshot!(line(&pairs[0].chosen), @"p | [c!]");
    }
}
