//! Questions that are both trained on and evaluated on. Case, punctuation and white space do not count
//! in a comparison; signs of mathematics do.

use std::collections::HashMap;

use serde::Serialize;

use crate::domain::{Key, Problem};

use super::split::question_identity;

/// The problems of a split, under the name that messages have for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedProblems {
    /// Split and task, e.g. `the train split of gsm8k`.
    pub name: String,
    /// Its problems.
    pub problems: Vec<Problem>,
}

/// A question that is in two parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct LeakedQuestion {
    /// The part that is trained on.
    pub trained: String,
    /// The problem's id there.
    pub trained_id: String,
    /// The part that is evaluated on.
    pub evaluated: String,
    /// The problem's id there.
    pub evaluated_id: String,
    /// The question as it is evaluated on.
    pub question: String,
}

/// The identity of a question.
#[must_use]
pub fn question_key(question: &str) -> Key {
    Key::from_bytes(question_identity(question).as_bytes())
}

/// The questions of `evaluated` that are in `trained` too, in order of `evaluated`.
#[must_use]
pub fn find_leaks(trained: &[NamedProblems], evaluated: &NamedProblems) -> Vec<LeakedQuestion> {
    let mut met: HashMap<Key, (&NamedProblems, &Problem)> = HashMap::new();
    for part in trained {
        for problem in &part.problems {
            met.entry(question_key(&problem.question))
                .or_insert((part, problem));
        }
    }
    evaluated
        .problems
        .iter()
        .filter_map(|problem: &Problem| {
            let (part, first) = met.get(&question_key(&problem.question))?;
            Some(LeakedQuestion {
                trained: part.name.clone(),
                trained_id: first.id.clone(),
                evaluated: evaluated.name.clone(),
                evaluated_id: problem.id.clone(),
                question: problem.question.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, questions: &[&str]) -> NamedProblems {
        let problem = |(index, question): (usize, &&str)| Problem {
            id: format!("{name}/{index}"),
            question: (*question).to_owned(),
            answer: "1".to_owned(),
            solution: None,
        };
        NamedProblems {
            name: name.to_owned(),
            problems: questions.iter().enumerate().map(problem).collect(),
        }
    }

    #[test]
    fn the_same_question_in_other_letters_is_a_leak_and_another_sum_is_not() {
        let trained = [
            part("a", &["How many pens?", "What is 2+3?"]),
            part("b", &["How many cups?"]),
        ];
        let test = part(
            "c",
            &[
                "What is 2 - 3?",
                "how  many CUPS",
                "What is $2 + 3$?",
                "How many hats?",
            ],
        );
        let found = find_leaks(&trained, &test);
        let pairs: Vec<_> = found
            .iter()
            .map(|leak| (&*leak.trained_id, &*leak.evaluated_id))
            .collect();
        assert_eq!(pairs, [("b/0", "c/1"), ("a/1", "c/2")]);
        assert_eq!(
            (found[0].trained.as_str(), found[0].evaluated.as_str()),
            ("b", "c")
        );
    }
}
