//! Episodes, problems and readable examples for the tests of this module.

use crate::domain::{
    Candidate, CandidateAuthor, Dialogue, Episode, Grade, GradeVerdict, Problem, TrainingExample,
    Turn,
};

/// An episode of these texts; those that end in `!` are right.
pub(super) fn episode(problem: &str, texts: &[&str]) -> Episode {
    Episode {
        problem: problem.to_owned(),
        sample: 0,
        turns: texts.iter().map(|text| turn(text)).collect(),
    }
}

fn turn(text: &str) -> Turn {
    let verdict = if text.ends_with('!') {
        GradeVerdict::Right
    } else {
        GradeVerdict::Wrong
    };
    Turn::single(Candidate {
        author: CandidateAuthor::Policy,
        text: text.to_owned(),
        tokens: 1,
        prompt_tokens: 1,
        finished: true,
        grade: Grade {
            answer: None,
            verdict,
        },
    })
}

/// A problem whose question is its id and whose solution is `id!!`.
pub(super) fn problem(id: &str) -> Problem {
    let solution = Some(format!("{id}!!"));
    Problem {
        id: id.to_owned(),
        question: id.to_owned(),
        answer: "1".to_owned(),
        solution,
    }
}

/// The messages of an example; its targets, all of weight 1, are in brackets.
pub(super) fn line(example: &TrainingExample) -> String {
    let messages = example.messages.iter().zip(&example.weights);
    let words = messages.map(|(message, &weight)| match weight {
        0.0 => message.text.clone(),
        1.0 => format!("[{}]", message.text),
        weight => format!("[{}={weight}]", message.text),
    });
    words.collect::<Vec<_>>().join(" | ")
}

/// The [`line`] of each example.
pub(super) fn lines(examples: &[TrainingExample]) -> Vec<String> {
    examples.iter().map(line).collect()
}

/// The problem id, then each attempt with the message `again`.
pub(super) fn layout(id: &str, attempts: &[&str]) -> Dialogue {
    let question = Dialogue::default().user(id);
    attempts.iter().fold(question, |dialogue, attempt| {
        dialogue.assistant(*attempt).user("again")
    })
}
