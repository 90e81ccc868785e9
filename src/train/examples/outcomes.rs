//! Attempts and whether they are right: what an outcome model is trained on (Cobbe et al. 2021).
//!
//! The judgement is put into words, so that a language model gives it as the answer to a question
//! and needs no further weights.

use crate::data::{Inquiry, Prompt};
use crate::domain::Example;

use super::Pool;

/// One example per different attempt: the attempt as the answer to the question, then the question
/// whether it is right; only the verification is a target.
#[must_use]
pub fn outcomes(pools: &[Pool<'_>], prompt: Prompt) -> Vec<Example> {
    let of = |pool: &Pool<'_>| -> Vec<Example> {
        let question = &pool.problem.question;
        let right = pool.right.iter().map(|text| (text, true));
        let wrong = pool.wrong.iter().map(|text| (text, false));
        right
            .chain(wrong)
            .map(|(text, right)| verification(prompt, question, text, right))
            .collect()
    };
    pools.iter().flat_map(of).collect()
}

/// An attempt, or the beginning of one, with what is to be said of it.
pub(super) fn verification(prompt: Prompt, question: &str, attempt: &str, right: bool) -> Example {
    Example::of(
        prompt.inquiry(question, Inquiry::Verify, &[], attempt),
        Inquiry::verification(right),
    )
}

#[cfg(test)]
pub(super) mod testing {
    use crate::domain::Example;

    /// The messages of an example, its targets in brackets.
    pub fn line(example: &Example) -> String {
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
    use super::super::pool::testing::{episode, problem};
    use super::testing::line;
    use super::*;

    #[test]
    fn only_the_verification_is_a_target() {
        let problems = [problem("p"), problem("q")];
        let episodes = [episode("p", &["a", "b!", "a"]), episode("q", &["c"])];
        let made = outcomes(&Pool::all(&problems, &episodes, false), Prompt::default());
        let shown: Vec<String> = made.iter().map(line).collect();
        let expected = [
            "p | b! | Is that right? | [yes]",
            "p | a | Is that right? | [no]",
            "q | c | Is that right? | [no]",
        ];
        assert_eq!(shown, expected);
    }
}
