//! Attempts and whether they are right: what an outcome model is trained on (Cobbe et al. 2021).
//!
//! The judgement is put into words, so that a language model gives it as the answer to a question
//! and needs no further weights.

use crate::data::{PromptConfig, SelfReview};
use crate::domain::TrainingExample;

use super::AttemptPool;

/// One example per different attempt: the attempt as the answer to the question, then the question
/// whether it is right; only the verification is a target.
#[must_use]
pub fn outcome_examples(pools: &[AttemptPool<'_>], prompt: PromptConfig) -> Vec<TrainingExample> {
    let of = |pool: &AttemptPool<'_>| -> Vec<TrainingExample> {
        let question = &pool.problem.question;
        let right = pool.right.iter().map(|text| (text, true));
        let wrong = pool.wrong.iter().map(|text| (text, false));
        right
            .chain(wrong)
            .map(|(text, right)| verification_example(prompt, question, text, right))
            .collect()
    };
    pools.iter().flat_map(of).collect()
}

/// An attempt, or the beginning of one, with what is to be said of it.
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

#[cfg(test)]
pub(super) mod testing {
    use crate::domain::TrainingExample;

    /// The messages of an example, its targets in brackets.
    pub fn line(example: &TrainingExample) -> String {
        let words = example.messages.iter().zip(&example.weights);
        let words = words.map(|(message, &weight)| match weight {
            0.0 => message.text.clone(),
            _ => format!("[{}]", message.text),
        });
        words.collect::<Vec<_>>().join(" | ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempt_pool::testing::{episode, problem};
    use super::testing::line;
    use super::*;

    #[test]
    fn only_the_verification_is_a_target() {
        let problems = [problem("p"), problem("q")];
        let episodes = [episode("p", &["a", "b!", "a"]), episode("q", &["c"])];
        let made = outcome_examples(
            &AttemptPool::for_problems(&problems, &episodes, false),
            PromptConfig::default(),
        );
        let shown: Vec<String> = made.iter().map(line).collect();
        let expected = [
            "p | b! | Is that right? | [yes]",
            "p | a | Is that right? | [no]",
            "q | c | Is that right? | [no]",
        ];
        assert_eq!(shown, expected);
    }
}
