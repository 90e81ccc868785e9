//! Preferences between right and wrong answers, and between trajectories that end right and wrong.

use std::collections::BTreeMap;

use crate::data::{PromptConfig, ReviewedAttempt, SelfReview};
use crate::domain::{Dialogue, Episode, PreferencePair, Problem, Role, Seed, TrainingExample};

use super::{AttemptPool, DialogueLayout};

/// The pairs of a verifier (V-STaR, Hosseini et al. 2024), one per distinct wrong attempt: a right
/// attempt at the same problem is the better answer to the plain question. Problems without a right
/// attempt give nothing.
#[must_use]
pub fn attempt_preferences(
    pools: &[AttemptPool<'_>],
    layout: DialogueLayout<'_>,
    seed: Seed,
) -> Vec<PreferencePair> {
    let mut pairs = Vec::new();
    for pool in pools {
        let question = layout(&pool.problem.id, &[]);
        let right = pool.draw_right_attempts(seed, pool.wrong.len());
        pairs.extend(
            right
                .into_iter()
                .zip(&pool.wrong)
                .map(|(right, wrong)| PreferencePair {
                    chosen: TrainingExample::from_dialogue(question.clone(), right),
                    rejected: TrainingExample::from_dialogue(question.clone(), wrong),
                }),
        );
    }
    pairs
}

/// The preferences of self-rewarding correction (Xiong et al. 2025, multi-turn direct preference
/// optimisation): per problem that has both, its first trajectory that ends right against its first
/// that ends wrong. All of the policy's messages are compared: attempts and verifications.
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
    problems
        .iter()
        .filter_map(|problem| {
            let episodes = by_problem.get(problem.id.as_str())?;
            let right = episodes.iter().find(|episode| episode.ends_right())?;
            let wrong = episodes.iter().find(|episode| !episode.ends_right())?;
            Some(PreferencePair {
                chosen: trajectory_example(problem, right, prompt),
                rejected: trajectory_example(problem, wrong, prompt),
            })
        })
        .collect()
}

/// The whole dialogue, with all of the policy's messages as targets.
fn trajectory_example(
    problem: &Problem,
    episode: &Episode,
    prompt: PromptConfig,
) -> TrainingExample {
    let turns = episode.turns.iter();
    let attempts: Vec<ReviewedAttempt<'_>> = turns
        .map(|turn| ReviewedAttempt {
            attempt: &turn.chosen().text,
            review: turn.review.as_ref().map(|review| review.text.as_str()),
        })
        .collect();
    let (last, earlier) = attempts.split_last().expect("an episode has a turn");
    let (question, verify) = (&problem.question, SelfReview::Verify);
    let Dialogue(messages) = match last.review {
        None => prompt
            .reviewed_dialogue(question, verify, earlier)
            .assistant(last.attempt),
        Some(review) => prompt
            .self_review_dialogue(question, verify, earlier, last.attempt)
            .assistant(review),
    };
    let weights = messages
        .iter()
        .map(|message| f64::from(message.role == Role::Assistant))
        .collect();
    TrainingExample { messages, weights }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{episode, layout, line, problem};
    use super::*;
    use crate::domain::AttemptReview;

    fn preferences(references: bool) -> Vec<String> {
        let problems = [problem("p"), problem("q"), problem("r")];
        let episodes = [
            episode("p", &["a", "b!", "c"]),
            episode("q", &["d"]),
            episode("r", &["e!"]),
        ];
        let pools = AttemptPool::for_problems(&problems, &episodes, references);
        attempt_preferences(&pools, &layout, Seed(0))
            .iter()
            .map(|pair| format!("{} > {}", line(&pair.chosen), line(&pair.rejected)))
            .collect()
    }

    #[test]
    fn every_wrong_attempt_loses_against_a_right_one() {
        assert_eq!(
            preferences(false),
            ["p | [b!] > p | [a]", "p | [b!] > p | [c]"]
        );
        let with_references = preferences(true);
        assert_eq!(with_references.len(), 3);
        assert!(with_references.contains(&"q | [q!!] > q | [d]".to_owned()));
        assert!(
            with_references
                .iter()
                .any(|line| line.starts_with("p | [p!!] > "))
        );
    }

    /// Attempts with their reviews; the last may have none.
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
