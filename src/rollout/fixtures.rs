//! Toy problems, a grader and a policy that answers from its seed, for the tests of this module.

use crate::data::{PromptConfig, RetryMessage};
use crate::domain::{
    Candidate, CandidateAuthor, Dialogue, Grade, GradeVerdict, Policy, PolicyError, PolicyRequest,
    Problem, SampledAttempt, SamplingConfig, Turn,
};

use super::RolloutConfig;

/// A problem whose answer is its number.
pub(super) fn problem(number: u32) -> Problem {
    Problem {
        id: format!("toy/{number}"),
        question: format!("What is the number {number}?"),
        answer: number.to_string(),
        solution: Some(format!("It says so. #### {number}")),
    }
}

/// Reads the text after the last `####`.
pub(super) fn grade(problem: &Problem, text: &str) -> Grade {
    let answer = text
        .rsplit_once("####")
        .map(|(_, answer)| answer.trim().to_owned());
    let verdict = match &answer {
        None => GradeVerdict::Unreadable,
        Some(answer) if *answer == problem.answer => GradeVerdict::Right,
        Some(_) => GradeVerdict::Wrong,
    };
    Grade { answer, verdict }
}

/// A finished attempt of the policy, graded.
pub(super) fn candidate(problem: &Problem, text: &str) -> Candidate {
    let grade = grade(problem, text);
    Candidate {
        author: CandidateAuthor::Policy,
        text: text.to_owned(),
        tokens: 3,
        prompt_tokens: 9,
        finished: true,
        grade,
    }
}

/// A turn of one attempt.
pub(super) fn turn(problem: &Problem, text: &str) -> Turn {
    Turn::single(candidate(problem, text))
}

/// The official retry text, with the question repeated.
pub(super) fn prompt() -> PromptConfig {
    PromptConfig {
        retry: RetryMessage::Incorrect,
        ..PromptConfig::default()
    }
}

/// A number of turns with the whole history and without a stop rule.
pub(super) fn rollout_config(turns: u32) -> RolloutConfig {
    RolloutConfig::new(turns, prompt(), SamplingConfig::default())
}

/// The key of this problem in a scripted policy: the first user message.
pub(super) fn scripted_key(problem: &Problem) -> String {
    prompt().dialogue(&problem.question, &[]).0[0].text.clone()
}

/// A policy whose answer is a function of its seed and its dialogue.
pub(super) struct SeededPolicy;

impl Policy for SeededPolicy {
    fn respond(
        &mut self,
        requests: &[PolicyRequest],
        _: &SamplingConfig,
    ) -> Result<Vec<Vec<SampledAttempt>>, PolicyError> {
        let answers = requests.iter().map(|request| {
            let seeds = request.seeds.iter();
            seeds
                .map(|seed| seeded_attempt(seed.0, &request.dialogue))
                .collect()
        });
        Ok(answers.collect())
    }
}

fn seeded_attempt(seed: u64, dialogue: &Dialogue) -> SampledAttempt {
    let shown: usize = dialogue.0.iter().map(|message| message.text.len()).sum();
    let text = format!(
        "{seed} after {shown} letters #### {}",
        (seed ^ shown as u64) % 4
    );
    SampledAttempt {
        text,
        tokens: (seed % 50) as u32,
        prompt_tokens: 9,
        finished: !seed.is_multiple_of(7),
    }
}
