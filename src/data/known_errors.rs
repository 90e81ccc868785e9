//! Problems of known data sets whose reference is wrong, or looks as if it were.
//!
//! They were found by comparing worked solutions with final answers (GSM8K), and equations with answers
//! (SVAMP), by program, and by reading each row that differs; wrong working with a matching final
//! answer is not found that way. Others have longer lists for GSM8K's test file:
//! openai/grade-school-math issue 25, and GSM8K-Platinum (arXiv 2502.03461), which keeps 1,209 of the
//! 1,319. Nothing is changed by what stands here: the list is for people. Must not know any file.

use serde::Serialize;

/// What is known of a problem's reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownError {
    /// The problem's id.
    pub id: String,
    /// What sort of error it is.
    pub kind: KnownErrorKind,
    /// What the final answer says, and what the working gives.
    pub about: String,
}

/// What sort of error a reference has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownErrorKind {
    /// The final answer is wrong.
    Label,
    /// The final answer fits the question, but the working is wrong.
    Working,
    /// No error: the final answer is in another unit than the working, as asked.
    Unit,
}

impl KnownErrorKind {
    /// A few words for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label => "wrong answer",
            Self::Working => "wrong working",
            Self::Unit => "not an error",
        }
    }
}

/// Rows of GSM8K's files, counted from 1, with their final answer and what their working gives.
const TRAIN_LABELS: [(usize, &str, &str); 4] = [
    (357, "66", "64"),
    (2771, "106", "108"),
    (4797, "140", "120"),
    (7183, "4", "10"),
];
const TRAIN_WORKINGS: [(usize, &str, &str); 7] = [
    (787, "3", "9"),
    (1155, "1035", "207"),
    (3335, "7200", "8600"),
    (5351, "33", "45"),
    (6158, "110", "100"),
    (6761, "14", "18"),
    (7445, "280", "140"),
];
const TEST_LABELS: [(usize, &str, &str); 1] = [(1039, "4", "6")];
/// Rows whose final answer is in cents, as asked, and whose working is in dollars.
const TRAIN_CENTS: [usize; 5] = [124, 344, 1618, 2970, 3518];
const TEST_CENTS: [usize; 3] = [494, 608, 1244];

/// What is known of the problems of a data set as its authors ship it, by the name of its task.
#[must_use]
pub fn known_errors(task: &str) -> Vec<KnownError> {
    match task {
        "gsm8k" => gsm8k_errors(),
        "svamp" => vec![KnownError {
            id: "svamp/chal-680".to_owned(),
            kind: KnownErrorKind::Label,
            about: "the answer is 1, the equation (4 - 2) + 3 gives 5, and 5 is right".to_owned(),
        }],
        _ => Vec::new(),
    }
}

fn gsm8k_errors() -> Vec<KnownError> {
    let of = |file: &str, row: usize, kind, about: String| KnownError {
        id: format!("gsm8k/{file}/{row}"),
        kind,
        about,
    };
    let given = |(_, answer, working): (usize, &str, &str)| {
        format!("the final answer is {answer}, the working gives {working}")
    };
    let cents = || "the final answer is in cents, as asked, the working in dollars".to_owned();
    let (train, test) = ("train.jsonl", "test.jsonl");
    let mut known = Vec::new();
    known.extend(TRAIN_LABELS.map(|row| of(train, row.0, KnownErrorKind::Label, given(row))));
    known.extend(TRAIN_WORKINGS.map(|row| of(train, row.0, KnownErrorKind::Working, given(row))));
    known.extend(TRAIN_CENTS.map(|row| of(train, row, KnownErrorKind::Unit, cents())));
    known.extend(TEST_LABELS.map(|row| of(test, row.0, KnownErrorKind::Label, given(row))));
    known.extend(TEST_CENTS.map(|row| of(test, row, KnownErrorKind::Unit, cents())));
    known
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_problem_is_listed_once() {
        let ids: BTreeSet<String> = known_errors("gsm8k")
            .into_iter()
            .map(|known| known.id)
            .collect();
        assert_eq!((ids.len(), known_errors("gsm8k").len()), (20, 20));
        assert_eq!(known_errors("svamp").len(), 1);
        assert_eq!(known_errors("word-problems"), []);
        let first = &known_errors("gsm8k")[0];
        insta::assert_snapshot!(format!("{}: {}, {}", first.id, first.kind.name(), first.about), @"gsm8k/train.jsonl/357: wrong answer, the final answer is 66, the working gives 64");
    }
}
