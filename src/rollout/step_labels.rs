//! Step labels of attempts: whether some continuation of each step is right (GLoRe, Havrilla et al.
//! 2024, after Wang et al. 2023).
//!
//! A right continuation of a step continues every step before it as well, and a right attempt all of
//! its steps. Only wrong attempts need continuations, and their last step is wrong.

use serde::{Deserialize, Serialize};

use crate::data::PromptConfig;
use crate::domain::{
    LabeledStep, Policy, PolicyError, PolicyRequest, Problem, SampledAttempt, SamplingConfig, Seed,
    StepLabeledAttempt, step_ends,
};

use super::graded_policy::GradeFn;

/// How steps are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GloreConfig {
    /// Attempts per problem whose steps are judged, wrong ones first; a right one is always among
    /// them where there is one.
    pub attempts: u32,
    /// Continuations from each step of a wrong attempt; a step is good if any of them is right.
    pub rollouts: u32,
}

impl Default for GloreConfig {
    fn default() -> Self {
        Self {
            attempts: 4,
            rollouts: 4,
        }
    }
}

/// Attempts at a problem that are to be judged step by step.
#[derive(Clone, Debug)]
pub struct StepLabelRequest<'a> {
    /// The problem.
    pub problem: &'a Problem,
    /// Wrong attempts.
    pub wrong: Vec<&'a str>,
    /// Right attempts.
    pub right: Vec<&'a str>,
    /// A right attempt at the problem, whether it is judged or not.
    pub fresh_attempt: Option<&'a str>,
}

/// The labelled attempts at one problem, and the tokens of their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemStepLabels {
    /// The attempts, wrong ones first.
    pub attempts: Vec<StepLabeledAttempt>,
    /// Tokens that were shown to the policy.
    #[serde(rename = "prompt")]
    pub prompt_tokens: u64,
    /// Tokens that it sampled.
    #[serde(rename = "sampled")]
    pub sampled_tokens: u64,
}

/// How a policy continues a step.
#[derive(Clone, Copy, Debug)]
pub struct ContinuationConfig {
    /// How a question becomes a dialogue.
    pub prompt: PromptConfig,
    /// How tokens are drawn.
    pub sampling: SamplingConfig,
    /// Continuations from each step.
    pub continuations: u32,
}

/// Judges the steps of all attempts at each problem.
///
/// # Errors
/// If the policy cannot answer, or was stopped.
pub fn label_steps(
    policy: &mut dyn Policy,
    asked: &[StepLabelRequest<'_>],
    onward: ContinuationConfig,
    seed: Seed,
    grade: GradeFn<'_>,
) -> Result<Vec<ProblemStepLabels>, PolicyError> {
    let requests: Vec<PolicyRequest> = asked
        .iter()
        .flat_map(|asked| continuation_requests(asked, onward, seed))
        .collect();
    let mut answers = if requests.is_empty() {
        Vec::new()
    } else {
        policy.respond(&requests, &onward.sampling)?
    }
    .into_iter();
    Ok(asked
        .iter()
        .map(|asked| label_problem(asked, &mut answers, grade))
        .collect())
}

/// One request per step of the wrong attempts that something may follow.
fn continuation_requests(
    asked: &StepLabelRequest<'_>,
    onward: ContinuationConfig,
    seed: Seed,
) -> Vec<PolicyRequest> {
    let seed = seed.derive(&asked.problem.id).derive("attempt");
    let mut requests = Vec::new();
    for (number, text) in asked.wrong.iter().enumerate() {
        let seed = seed.derive_indexed(number as u64).derive("step");
        let ends = step_ends(text);
        for (step, &end) in ends[..ends.len() - 1].iter().enumerate() {
            let seed = seed.derive_indexed(step as u64);
            let dialogue = onward.prompt.dialogue(&asked.problem.question, &[]);
            let seeds = (0..onward.continuations)
                .map(|sample| seed.derive_indexed(u64::from(sample)))
                .collect();
            requests.push(PolicyRequest {
                prefix: text[..end].to_owned(),
                ..PolicyRequest::new(dialogue, seeds)
            });
        }
    }
    requests
}

/// The labels of one problem's attempts; takes the answers to its requests.
fn label_problem(
    asked: &StepLabelRequest<'_>,
    answers: &mut impl Iterator<Item = Vec<SampledAttempt>>,
    grade: GradeFn<'_>,
) -> ProblemStepLabels {
    let mut labels = ProblemStepLabels::default();
    for text in &asked.wrong {
        let steps = label_wrong_attempt(asked.problem, text, answers, grade, &mut labels);
        let attempt = labeled_attempt(asked, text, false, steps);
        labels.attempts.push(attempt);
    }
    for text in &asked.right {
        let steps = step_ends(text).into_iter().map(|end| LabeledStep {
            end,
            right_completion: Some((*text).to_owned()),
        });
        let attempt = labeled_attempt(asked, text, true, steps.collect());
        labels.attempts.push(attempt);
    }
    labels
}

/// The labels of a wrong attempt's steps; counts the tokens of their continuations in `labels`.
fn label_wrong_attempt(
    problem: &Problem,
    text: &str,
    answers: &mut impl Iterator<Item = Vec<SampledAttempt>>,
    grade: GradeFn<'_>,
    labels: &mut ProblemStepLabels,
) -> Vec<LabeledStep> {
    let mut steps: Vec<LabeledStep> = Vec::new();
    for end in step_ends(text) {
        // Nothing follows the last step.
        let continuations = if end < text.len() {
            answers.next().unwrap_or_default()
        } else {
            Vec::new()
        };
        for attempt in &continuations {
            labels.prompt_tokens += u64::from(attempt.prompt_tokens);
            labels.sampled_tokens += u64::from(attempt.tokens);
        }
        let right_completion = continuations
            .iter()
            .map(|attempt| format!("{}{}", &text[..end], attempt.text))
            .find(|whole| grade(problem, whole).verdict.is_right());
        steps.push(LabeledStep {
            end,
            right_completion,
        });
    }
    let mut later = None;
    for step in steps.iter_mut().rev() {
        step.right_completion = step.right_completion.take().or_else(|| later.take());
        later.clone_from(&step.right_completion);
    }
    steps
}

fn labeled_attempt(
    asked: &StepLabelRequest<'_>,
    text: &str,
    right: bool,
    steps: Vec<LabeledStep>,
) -> StepLabeledAttempt {
    let (problem, afresh) = (
        asked.problem.id.clone(),
        asked.fresh_attempt.map(str::to_owned),
    );
    StepLabeledAttempt {
        problem,
        text: text.to_owned(),
        right,
        fresh_attempt: afresh,
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixtures::{grade, problem, prompt};

    /// Goes on from each prefix as the table says, sample after sample; knows nothing else.
    struct ScriptedContinuations(Vec<(&'static str, Vec<&'static str>)>);

    impl Policy for ScriptedContinuations {
        fn respond(
            &mut self,
            requests: &[PolicyRequest],
            _: &SamplingConfig,
        ) -> Result<Vec<Vec<SampledAttempt>>, PolicyError> {
            let answers = |request: &PolicyRequest| {
                let known = self.0.iter().find(|(prefix, _)| *prefix == request.prefix);
                let (_, said) =
                    known.ok_or_else(|| PolicyError::Unscripted(request.prefix.clone()))?;
                assert_eq!(request.seeds.len(), said.len());
                let attempt = |text: &&str| SampledAttempt {
                    text: (*text).to_owned(),
                    tokens: 2,
                    prompt_tokens: 10,
                    finished: true,
                };
                Ok(said.iter().map(attempt).collect())
            };
            requests.iter().map(answers).collect()
        }
    }

    fn labels(
        table: Vec<(&'static str, Vec<&'static str>)>,
        wrong: &[&str],
        right: &[&str],
    ) -> ProblemStepLabels {
        let problem = problem(7);
        let (wrong, right) = (wrong.to_vec(), right.to_vec());
        let asked = [StepLabelRequest {
            problem: &problem,
            wrong,
            fresh_attempt: right.first().copied(),
            right,
        }];
        let onward = ContinuationConfig {
            prompt: prompt(),
            sampling: SamplingConfig::default(),
            continuations: 2,
        };
        label_steps(
            &mut ScriptedContinuations(table),
            &asked,
            onward,
            Seed(3),
            &grade,
        )
        .unwrap()
        .remove(0)
    }

    fn good(traced: &StepLabeledAttempt) -> Vec<bool> {
        traced
            .steps
            .iter()
            .map(|step| step.right_completion.is_some())
            .collect()
    }

    #[test]
    fn a_step_is_good_if_any_continuation_is_right() {
        let table = vec![
            ("a\n", vec!["x\n#### 6", "#### 7"]),
            ("a\nb\n", vec!["#### 8", "#### 9"]),
        ];
        let trace = labels(table, &["a\nb\n#### 8"], &["c\n#### 7"]);
        let [wrong, right] = trace.attempts.as_slice() else {
            panic!("{trace:?}")
        };
        assert_eq!(good(wrong), [true, false, false]);
        assert_eq!(wrong.first_wrong_step(), Some(1));
        assert_eq!(
            wrong.steps[0].right_completion.as_deref(),
            Some("a\n#### 7"),
            "the good steps are kept"
        );
        assert_eq!(wrong.fresh_attempt.as_deref(), Some("c\n#### 7"));
        assert_eq!(
            (good(right), right.first_wrong_step()),
            (vec![true, true], None)
        );
        assert_eq!((trace.prompt_tokens, trace.sampled_tokens), (40, 8));
    }

    #[test]
    fn what_leads_to_a_good_step_is_good() {
        let table = vec![
            ("a\n", vec!["#### 1", "#### 2"]),
            ("a\nb\n", vec!["#### 8", "#### 7"]),
        ];
        let trace = labels(table, &["a\nb\n#### 8"], &[]);
        assert_eq!(good(&trace.attempts[0]), [true, true, false]);
        assert_eq!(
            trace.attempts[0].steps[0].right_completion.as_deref(),
            Some("a\nb\n#### 7")
        );
    }

    #[test]
    fn one_step_alone_and_right_attempts_ask_for_nothing() {
        let trace = labels(vec![], &["#### 8"], &["a\n#### 7"]);
        assert_eq!(good(&trace.attempts[0]), [false]);
        assert_eq!(
            (
                trace.prompt_tokens,
                trace.sampled_tokens,
                trace.attempts.len()
            ),
            (0, 0, 2)
        );
    }
}
