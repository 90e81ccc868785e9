//! Examples of step-labelled attempts (GLoRe, Havrilla et al. 2024): for a verifier of prefixes, and
//! for a refinement that keeps the good steps.

use std::collections::BTreeMap;

use crate::data::PromptConfig;
use crate::domain::{Problem, StepLabeledAttempt, TrainingExample};

use super::verifications::verification_example;

/// One example per step: the attempt up to there, then the question whether it is right. Only the
/// verification is a target: whether some continuation is right.
#[must_use]
pub fn step_examples(
    problems: &[Problem],
    attempts: &[StepLabeledAttempt],
    prompt: PromptConfig,
) -> Vec<TrainingExample> {
    let questions = problems_by_id(problems);
    let mut examples = Vec::new();
    for attempt in attempts {
        let question = &questions[attempt.problem.as_str()].question;
        for (number, step) in attempt.steps.iter().enumerate() {
            let (prefix, right) = (
                attempt.prefix_through(number),
                step.right_completion.is_some(),
            );
            examples.push(verification_example(prompt, question, prefix, right));
        }
    }
    examples
}

/// One example per wrong attempt: the attempt, the request that names its first bad step, and a
/// right attempt that keeps the steps before it.
///
/// If the first step is bad, the target is another right attempt at the problem, or else the
/// reference solution if `references` is set. An attempt without any target gives nothing.
#[must_use]
pub fn refinement_examples(
    problems: &[Problem],
    attempts: &[StepLabeledAttempt],
    prompt: PromptConfig,
    references: bool,
) -> Vec<TrainingExample> {
    let by_id = problems_by_id(problems);
    attempts
        .iter()
        .filter_map(|attempt| {
            let problem = by_id[attempt.problem.as_str()];
            let wrong_step = attempt.first_wrong_step()?;
            let completion = wrong_step
                .checked_sub(1)
                .and_then(|last| attempt.steps[last].right_completion.as_deref());
            let reference = problem.solution.as_deref().filter(|_| references);
            let target = completion
                .or(attempt.fresh_attempt.as_deref())
                .or(reference)?;
            let dialogue =
                prompt.refinement_dialogue(&problem.question, &attempt.text, wrong_step + 1);
            Some(TrainingExample::from_dialogue(dialogue, target))
        })
        .collect()
}

fn problems_by_id(problems: &[Problem]) -> BTreeMap<&str, &Problem> {
    problems
        .iter()
        .map(|problem| (problem.id.as_str(), problem))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{lines, problem};
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
        let examples = step_examples(&problems, &attempts, PromptConfig::default());
        let expected = [
            "p | a | Is that right? | [yes]",
            "p | a\nb | Is that right? | [no]",
            "p | a\nb\nc | Is that right? | [no]",
        ];
        assert_eq!(lines(&examples), expected);
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
        let prompt = PromptConfig {
            repeat_question: false,
            ..PromptConfig::default()
        };
        let [with_references, without] = [true, false].map(|references| {
            lines(&refinement_examples(
                &problems, &attempts, prompt, references,
            ))
        });
        let expected = [
            "p | a\nb\nc | There is a mistake in step 2. Answer again. | [a\n!]",
            "p | d\ne | There is a mistake in step 1. Answer again. | [x!]",
            "q | f | There is a mistake in step 1. Answer again. | [q!!]",
        ];
        assert_eq!(with_references, expected);
        assert_eq!(without, expected[..2]);
    }
}
