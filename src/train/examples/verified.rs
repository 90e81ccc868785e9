//! Attempts with the verification that is due: what self-rewarding correction is first fine-tuned
//! on (Xiong et al. 2025, sequential rejection sampling).
//!
//! A right attempt is called right and the dialogue ends; a wrong one is called wrong and followed
//! by a right one. Wrong attempts are context, never targets.

use crate::data::{Exchange, Inquiry, Prompt};
use crate::domain::{Dialogue, Example, Role, Seed};

use super::Pool;

/// Two kinds of examples: `question, right, yes` for every right attempt, and `question, wrong, no,
/// right, yes` for every wrong one that has a right partner.
#[must_use]
pub fn verified(pools: &[Pool<'_>], prompt: Prompt, seed: Seed) -> Vec<Example> {
    let of = |pool: &Pool<'_>| -> Vec<Example> {
        let first = pool
            .right
            .iter()
            .map(|right| example(prompt, pool, &[], right));
        let partners = pool.partners(seed, pool.wrong.len());
        let second = pool.wrong.iter().zip(partners).map(|(wrong, right)| {
            let no = Inquiry::verification(false);
            let earlier = [Exchange {
                attempt: wrong,
                review: Some(no),
            }];
            example(prompt, pool, &earlier, right)
        });
        first.chain(second).collect()
    };
    pools.iter().flat_map(of).collect()
}

/// The dialogue up to the approval of a right attempt; everything the policy says after the wrong
/// attempts is a target.
fn example(prompt: Prompt, pool: &Pool<'_>, earlier: &[Exchange<'_>], right: &str) -> Example {
    let asked = prompt.inquiry(&pool.problem.question, Inquiry::Verify, earlier, right);
    let Dialogue(messages) = asked.assistant(Inquiry::verification(true));
    let wrong: Vec<&str> = earlier.iter().map(|exchange| exchange.attempt).collect();
    let weight = |message: &crate::domain::Message| {
        let target = message.role == Role::Assistant && !wrong.contains(&message.text.as_str());
        f64::from(target)
    };
    let weights = messages.iter().map(weight).collect();
    Example { messages, weights }
}

#[cfg(test)]
mod tests {
    use super::super::pool::testing::{episode, problem};
    use super::*;

    #[test]
    fn wrong_attempts_are_disowned_and_right_ones_approved() {
        let problems = [problem("p"), problem("q")];
        let episodes = [episode("p", &["a", "b!"]), episode("q", &["c"])];
        let pools = Pool::all(&problems, &episodes, false);
        let prompt = Prompt {
            repeat_question: false,
            ..Prompt::default()
        };
        let line = |example: &Example| {
            let words = example.messages.iter().zip(&example.weights);
            let words = words.map(|(message, &weight)| match weight {
                0.0 => message.text.clone(),
                weight => format!("[{}={weight}]", message.text),
            });
            words.collect::<Vec<_>>().join(" | ")
        };
        let shown: Vec<String> = verified(&pools, prompt, Seed(0)).iter().map(line).collect();
        assert_eq!(
            shown,
            [
                "p | [b!=1] | Is that right? | [yes=1]",
                "p | a | Is that right? | [no=1] | That is incorrect. Try again. | [b!=1] | Is that right? | [yes=1]",
            ]
        );
    }
}
