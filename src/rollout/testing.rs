//! Toy problems, a grader and a policy that answers from its seed, for the tests of this module.

use crate::data::{Prompt, Retry};
use crate::domain::{
    Attempt, Author, Candidate, Dialogue, Grade, Policy, PolicyError, Problem, Request, Sampling,
    Turn, Verdict,
};

use super::Unroll;

/// A problem whose answer is its number.
pub(super) fn problem(number: u32) -> Problem {
    Problem {
        id: format!("toy/{number}"),
        question: format!("What is the number {number}?"),
        answer: number.to_string(),
        solution: Some(format!("It says so. #### {number}")),
    }
}

/// Reads what follows the last `####`.
pub(super) fn grade(problem: &Problem, text: &str) -> Grade {
    let answer = text
        .rsplit_once("####")
        .map(|(_, answer)| answer.trim().to_owned());
    let verdict = match &answer {
        None => Verdict::Unreadable,
        Some(answer) if *answer == problem.answer => Verdict::Right,
        Some(_) => Verdict::Wrong,
    };
    Grade { answer, verdict }
}

/// A finished attempt of the policy, graded.
pub(super) fn candidate(problem: &Problem, text: &str) -> Candidate {
    let grade = grade(problem, text);
    Candidate {
        author: Author::Policy,
        text: text.to_owned(),
        tokens: 3,
        prompt: 9,
        finished: true,
        grade,
    }
}

/// A turn of one attempt.
pub(super) fn turn(problem: &Problem, text: &str) -> Turn {
    Turn::single(candidate(problem, text))
}

/// The official retry text, with the question repeated.
pub(super) fn prompt() -> Prompt {
    Prompt {
        retry: Retry::Incorrect,
        ..Prompt::default()
    }
}

/// So many turns with the whole history and without a stop rule.
pub(super) fn plan(turns: u32) -> Unroll {
    Unroll::new(turns, prompt(), Sampling::default())
}

/// What a scripted policy finds this problem under: the first user message.
pub(super) fn key(problem: &Problem) -> String {
    prompt().dialogue(&problem.question, &[]).0[0].text.clone()
}

/// A policy whose answer is a function of its seed and of all that it is shown.
pub(super) struct Dice;

impl Policy for Dice {
    fn respond(
        &mut self,
        requests: &[Request],
        _: &Sampling,
    ) -> Result<Vec<Vec<Attempt>>, PolicyError> {
        let answers = |request: &Request| {
            request
                .seeds
                .iter()
                .map(|seed| roll(seed.0, &request.dialogue))
                .collect::<Vec<_>>()
        };
        Ok(requests.iter().map(answers).collect())
    }
}

fn roll(seed: u64, dialogue: &Dialogue) -> Attempt {
    let shown: usize = dialogue.0.iter().map(|message| message.text.len()).sum();
    let text = format!(
        "{seed} after {shown} letters #### {}",
        (seed ^ shown as u64) % 4
    );
    Attempt {
        text,
        tokens: (seed % 50) as u32,
        prompt: 9,
        finished: !seed.is_multiple_of(7),
    }
}
