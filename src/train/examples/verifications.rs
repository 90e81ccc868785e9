//! Attempts with the verification whether they are right, put into words: a language model gives it
//! as the answer to a question and needs no further weights.

use crate::data::{PromptConfig, ReviewedAttempt, SelfReview};
use crate::domain::{Dialogue, Role, Seed, TrainingExample};

use super::AttemptPool;

/// The examples of an outcome model (Cobbe et al. 2021): each distinct attempt as the answer to the
/// question, then the question whether it is right; only the verification is a target.
#[must_use]
pub fn outcome_examples(pools: &[AttemptPool<'_>], prompt: PromptConfig) -> Vec<TrainingExample> {
    let mut examples = Vec::new();
    for pool in pools {
        let right = pool.right.iter().map(|text| (text, true));
        let wrong = pool.wrong.iter().map(|text| (text, false));
        examples.extend(right.chain(wrong).map(|(text, right)| {
            verification_example(prompt, &pool.problem.question, text, right)
        }));
    }
    examples
}

/// An attempt, or a prefix of one, with its verification.
pub(super) fn verification_example(
    prompt: PromptConfig,
    question: &str,
    attempt: &str,
    right: bool,
) -> TrainingExample {
    TrainingExample::from_dialogue(
        prompt.self_review_dialogue(question, SelfReview::Verify, &[], attempt),
        SelfReview::verification_answer(right),
    )
}

/// The first fine-tuning of self-rewarding correction (Xiong et al. 2025, sequential rejection
/// sampling): `question, right, yes` for every right attempt, and `question, wrong, no, right, yes`
/// for every wrong one that has a right partner. Wrong attempts are context, never targets.
#[must_use]
pub fn self_verification_examples(
    pools: &[AttemptPool<'_>],
    prompt: PromptConfig,
    seed: Seed,
) -> Vec<TrainingExample> {
    let mut examples = Vec::new();
    for pool in pools {
        for right in &pool.right {
            examples.push(self_verification_example(prompt, pool, &[], right));
        }
        let right = pool.draw_right_attempts(seed, pool.wrong.len());
        for (wrong, right) in pool.wrong.iter().zip(right) {
            let earlier = [ReviewedAttempt {
                attempt: wrong,
                review: Some(SelfReview::verification_answer(false)),
            }];
            examples.push(self_verification_example(prompt, pool, &earlier, right));
        }
    }
    examples
}

/// The dialogue up to the approval of a right attempt; all of the policy's messages but the wrong
/// attempts are targets.
fn self_verification_example(
    prompt: PromptConfig,
    pool: &AttemptPool<'_>,
    earlier: &[ReviewedAttempt<'_>],
    right: &str,
) -> TrainingExample {
    let question = &pool.problem.question;
    let Dialogue(messages) = prompt
        .self_review_dialogue(question, SelfReview::Verify, earlier, right)
        .assistant(SelfReview::verification_answer(true));
    let weights = messages
        .iter()
        .map(|message| {
            let wrong = earlier
                .iter()
                .any(|exchange| exchange.attempt == message.text);
            f64::from(message.role == Role::Assistant && !wrong)
        })
        .collect();
    TrainingExample { messages, weights }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{episode, lines, problem};
    use super::*;

    #[test]
    fn only_the_verification_is_a_target() {
        let problems = [problem("p"), problem("q")];
        let episodes = [episode("p", &["a", "b!", "a"]), episode("q", &["c"])];
        let pools = AttemptPool::for_problems(&problems, &episodes, false);
        let examples = outcome_examples(&pools, PromptConfig::default());
        let expected = [
            "p | b! | Is that right? | [yes]",
            "p | a | Is that right? | [no]",
            "q | c | Is that right? | [no]",
        ];
        assert_eq!(lines(&examples), expected);
    }

    #[test]
    fn wrong_attempts_are_disowned_and_right_ones_approved() {
        let problems = [problem("p"), problem("q")];
        let episodes = [episode("p", &["a", "b!"]), episode("q", &["c"])];
        let pools = AttemptPool::for_problems(&problems, &episodes, false);
        let prompt = PromptConfig {
            repeat_question: false,
            ..PromptConfig::default()
        };
        let examples = self_verification_examples(&pools, prompt, Seed(0));
        assert_eq!(
            lines(&examples),
            [
                "p | [b!] | Is that right? | [yes]",
                "p | a | Is that right? | [no] | That is incorrect. Try again. | [b!] | Is that right? | [yes]",
            ]
        );
    }
}
