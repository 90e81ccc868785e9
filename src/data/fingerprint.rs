//! Fingerprints of problems, so that two people can tell whether they have the same ones.
//!
//! A problem's is the SHA-256 of one line, a JSON array of its id, its normalised question and its
//! answer with a line's end; that of several problems is the SHA-256 of their lines in order. Nothing
//! that is reused depends on them.

use crate::domain::{Key, Problem};

use super::split::normalize_question;

/// The fingerprint of one problem.
#[must_use]
pub fn problem_fingerprint(problem: &Problem) -> Key {
    Key::from_bytes(canonical_line(problem).as_bytes())
}

/// The fingerprint of problems in their order.
#[must_use]
pub fn problems_fingerprint(problems: &[Problem]) -> Key {
    Key::from_bytes(
        problems
            .iter()
            .map(canonical_line)
            .collect::<String>()
            .as_bytes(),
    )
}

fn canonical_line(problem: &Problem) -> String {
    let parts = [
        &problem.id,
        &normalize_question(&problem.question),
        &problem.answer,
    ];
    serde_json::to_string(&parts).expect("texts are plain data") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(id: &str, question: &str, answer: &str) -> Problem {
        let [id, question, answer] = [id, question, answer].map(str::to_owned);
        Problem {
            id,
            question,
            answer,
            solution: None,
        }
    }

    /// `printf '["a/1","how many","3"]\n' | sha256sum`, and the same with a second line.
    #[test]
    fn prints_are_those_of_sha256sum() {
        let (one, two) = (
            problem("a/1", " How  many?", "3"),
            problem("a/2", "Who?", "4"),
        );
        let print = problem_fingerprint(&one);
        assert_eq!(
            print.as_str(),
            "3563c6fe23bf9c902682129f8ca4896cbe96ccddde4680c0bca918c89ad08769"
        );
        assert_eq!(
            problems_fingerprint(&[one.clone(), two.clone()]).as_str(),
            "a84c13b38964d388b806e6df115d4b7213a62c2e4c009c52b656af72e8ce3ae9"
        );
        assert_eq!(problems_fingerprint(std::slice::from_ref(&one)), print);
        assert_ne!(problems_fingerprint(&[two, one]), problems_fingerprint(&[]));
        for other in [
            problem("a/2", "How many?", "3"),
            problem("a/1", "How much?", "3"),
            problem("a/1", "How many?", "4"),
        ] {
            assert_ne!(problem_fingerprint(&other), print);
        }
    }
}
