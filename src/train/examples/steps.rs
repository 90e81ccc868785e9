//! What attempts that were judged step by step teach (GLoRe, Havrilla et al. 2024): a verifier of
//! beginnings, and a refinement that keeps what was good.

use std::collections::BTreeMap;

use crate::data::PromptConfig;
use crate::domain::{Problem, StepLabeledAttempt, TrainingExample};

use super::outcomes::verification_example;

/// One example per step: the attempt up to there, then the question whether it is right; only the
/// verification is a target, and it says whether a right answer is still within reach.
#[must_use]
pub fn step_examples(
    problems: &[Problem],
    traced: &[StepLabeledAttempt],
    prompt: PromptConfig,
) -> Vec<TrainingExample> {
    let questions = problems_by_id(problems);
    let of = |traced: &StepLabeledAttempt| -> Vec<TrainingExample> {
        let question = &questions[traced.problem.as_str()].question;
        let step = |(number, step): (usize, &crate::domain::LabeledStep)| {
            verification_example(
                prompt,
                question,
                traced.prefix_through(number),
                step.right_completion.is_some(),
            )
        };
        traced.steps.iter().enumerate().map(step).collect()
    };
    traced.iter().flat_map(of).collect()
}

/// One example per wrong attempt: the attempt, the request that names its first bad step, and a
/// right attempt that keeps the steps before it.
///
/// Where the first step is bad already, the target is another right attempt at the problem, or
/// else the reference solution if `references` count; where there is neither, the attempt gives
/// nothing.
#[must_use]
pub fn refinement_examples(
    problems: &[Problem],
    traced: &[StepLabeledAttempt],
    prompt: PromptConfig,
    references: bool,
) -> Vec<TrainingExample> {
    let by_id = problems_by_id(problems);
    let of = |traced: &StepLabeledAttempt| {
        let problem = by_id[traced.problem.as_str()];
        let bad = traced.first_wrong_step()?;
        let kept = bad
            .checked_sub(1)
            .and_then(|last| traced.steps[last].right_completion.as_deref());
        let reference = problem.solution.as_deref().filter(|_| references);
        let target = kept.or(traced.fresh_attempt.as_deref()).or(reference)?;
        Some(TrainingExample::from_dialogue(
            prompt.refinement_dialogue(&problem.question, &traced.text, bad + 1),
            target,
        ))
    };
    traced.iter().filter_map(of).collect()
}

fn problems_by_id(problems: &[Problem]) -> BTreeMap<&str, &Problem> {
    problems
        .iter()
        .map(|problem| (problem.id.as_str(), problem))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::attempt_pool::testing::problem;
    use super::super::outcomes::testing::line;
    use super::*;
    use crate::domain::{LabeledStep, step_ends};

    fn traced(
        id: &str,
        text: &str,
        completed: &[Option<&str>],
        afresh: Option<&str>,
    ) -> StepLabeledAttempt {
        let steps = step_ends(text).into_iter().zip(completed);
        StepLabeledAttempt {
            problem: id.to_owned(),
            text: text.to_owned(),
            right: false,
            fresh_attempt: afresh.map(str::to_owned),
            steps: steps
                .map(|(end, done)| LabeledStep {
                    end,
                    right_completion: done.map(str::to_owned),
                })
                .collect(),
        }
    }

    #[test]
    fn every_beginning_is_verified() {
        let problems = [problem("p")];
        let attempts = [traced("p", "a\nb\nc", &[Some("a\n!"), None, None], None)];
        let made = step_examples(&problems, &attempts, PromptConfig::default());
        let shown: Vec<String> = made.iter().map(line).collect();
        let expected = [
            "p | a | Is that right? | [yes]",
            "p | a\nb | Is that right? | [no]",
            "p | a\nb\nc | Is that right? | [no]",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_refinement_keeps_what_was_good() {
        let problems = [problem("p"), problem("q")];
        let attempts = [
            traced("p", "a\nb\nc", &[Some("a\n!"), None, None], Some("x!")),
            traced("p", "d\ne", &[None, None], Some("x!")),
            traced("q", "f", &[None], None),
            traced("q", "g!", &[Some("g!")], None),
        ];
        let shown = |references| -> Vec<String> {
            let prompt = PromptConfig {
                repeat_question: false,
                ..PromptConfig::default()
            };
            refinement_examples(&problems, &attempts, prompt, references)
                .iter()
                .map(line)
                .collect()
        };
        let expected = [
            "p | a\nb\nc | There is a mistake in step 2. Answer again. | [a\n!]",
            "p | d\ne | There is a mistake in step 1. Answer again. | [x!]",
            "q | f | There is a mistake in step 1. Answer again. | [q!!]",
        ];
        assert_eq!(shown(true), expected);
        assert_eq!(shown(false), expected[..2]);
    }
}
