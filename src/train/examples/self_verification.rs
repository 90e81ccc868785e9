//! Attempts with the verification that is due: what self-rewarding correction is first fine-tuned
//! on (Xiong et al. 2025, sequential rejection sampling).
//!
//! A right attempt is called right and the dialogue ends; a wrong one is called wrong and followed
//! by a right one. Wrong attempts are context, never targets.

use crate::data::{PromptConfig, ReviewedAttempt, SelfReview};
use crate::domain::{Dialogue, Role, Seed, TrainingExample};

use super::AttemptPool;

/// Two kinds of examples: `question, right, yes` for every right attempt, and `question, wrong, no,
/// right, yes` for every wrong one that has a right partner.
#[must_use]
pub fn self_verification_examples(
    pools: &[AttemptPool<'_>],
    prompt: PromptConfig,
    seed: Seed,
) -> Vec<TrainingExample> {
    let of = |pool: &AttemptPool<'_>| -> Vec<TrainingExample> {
        let first = pool
            .right
            .iter()
            .map(|right| self_verification_example(prompt, pool, &[], right));
        let partners = pool.draw_right_attempts(seed, pool.wrong.len());
        let second = pool.wrong.iter().zip(partners).map(|(wrong, right)| {
            let no = SelfReview::verification_answer(false);
            let earlier = [ReviewedAttempt {
                attempt: wrong,
                review: Some(no),
            }];
            self_verification_example(prompt, pool, &earlier, right)
        });
        first.chain(second).collect()
    };
    pools.iter().flat_map(of).collect()
}

/// The dialogue up to the approval of a right attempt; everything the policy says after the wrong
/// attempts is a target.
fn self_verification_example(
    prompt: PromptConfig,
    pool: &AttemptPool<'_>,
    earlier: &[ReviewedAttempt<'_>],
    right: &str,
) -> TrainingExample {
    let asked =
        prompt.self_review_dialogue(&pool.problem.question, SelfReview::Verify, earlier, right);
    let Dialogue(messages) = asked.assistant(SelfReview::verification_answer(true));
    let wrong: Vec<&str> = earlier.iter().map(|exchange| exchange.attempt).collect();
    let weight = |message: &crate::domain::Message| {
        let target = message.role == Role::Assistant && !wrong.contains(&message.text.as_str());
        f64::from(target)
    };
    let weights = messages.iter().map(weight).collect();
    TrainingExample { messages, weights }
}

#[cfg(test)]
mod tests {
    use super::super::attempt_pool::testing::{episode, problem};
    use super::*;

    #[test]
    fn wrong_attempts_are_disowned_and_right_ones_approved() {
        let problems = [problem("p"), problem("q")];
        let episodes = [episode("p", &["a", "b!"]), episode("q", &["c"])];
        let pools = AttemptPool::for_problems(&problems, &episodes, false);
        let prompt = PromptConfig {
            repeat_question: false,
            ..PromptConfig::default()
        };
        let line = |example: &TrainingExample| {
            let words = example.messages.iter().zip(&example.weights);
            let words = words.map(|(message, &weight)| match weight {
                0.0 => message.text.clone(),
                weight => format!("[{}={weight}]", message.text),
            });
            words.collect::<Vec<_>>().join(" | ")
        };
        let shown: Vec<String> = self_verification_examples(&pools, prompt, Seed(0))
            .iter()
            .map(line)
            .collect();
        assert_eq!(
            shown,
            [
                "p | [b!=1] | Is that right? | [yes=1]",
                "p | a | Is that right? | [no=1] | That is incorrect. Try again. | [b!=1] | Is that right? | [yes=1]",
            ]
        );
    }
}
