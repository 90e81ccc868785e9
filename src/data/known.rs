//! Facts about data sets as their authors ship them: the SHA-256 of their files, and the problems
//! whose reference is wrong or looks wrong.
//!
//! Files. GSM8K: openai/grade-school-math at 3101c7d5072418e28b9008a6636bde82a006892c. SVAMP:
//! arkilpatel/SVAMP at 689d7ccac74b9983a2ac7cc3b264f441b99e7c53. MATH: the SHA-256 of the lines that
//! `sha256sum` prints for its 12,500 files, in order of their names; the Git LFS pointers in
//! molumolua/Math-Generator at 43165c3351345401d0b1e1fb3f8cad7ac1ac5706 hold the files' own.
//!
//! Errors. A program compared worked solutions with final answers (GSM8K) and equations with answers
//! (SVAMP), and a person read each row that differs. This finds no wrong working with a matching
//! final answer. Others have longer lists for GSM8K's test file: openai/grade-school-math issue 25,
//! and GSM8K-Platinum (arXiv 2502.03461), which keeps 1,209 of the 1,319. The list changes no
//! problem; it is for people.

use serde::Serialize;

use crate::domain::Key;

/// Task, file and SHA-256.
const OFFICIAL_FILES: [(&str, &str, &str); 4] = [
    (
        "gsm8k",
        "train.jsonl",
        "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
    ),
    (
        "gsm8k",
        "test.jsonl",
        "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
    ),
    (
        "svamp",
        "SVAMP.json",
        "5be77703a6d891ae476d7c082787ad361392aa02453b132516cdd5f4e7934e3e",
    ),
    (
        "math",
        "MATH",
        "c00a767878ffca6f7de268acb9882b0f96d423e06d0ae39ede77fd9fbe26ff74",
    ),
];

/// Whether a file is the official one; `None` where no official one exists.
#[must_use]
pub fn is_official(task: &str, file: &str, sha256: &Key) -> Option<bool> {
    let known = OFFICIAL_FILES
        .iter()
        .find(|known| (known.0, known.1) == (task, file))?;
    Some(known.2 == sha256.as_str())
}

/// A problem whose reference is wrong, or looks wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownError {
    /// The problem's id.
    pub id: String,
    /// The sort of error.
    pub kind: KnownErrorKind,
    /// The final answer, and the result of the working.
    pub about: String,
}

/// The sort of error in a reference.
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

/// Rows of GSM8K's files, counted from 1, with their final answer and the result of their working.
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

/// The known errors of a data set as its authors ship it, by the name of its task.
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
    let cents = "the final answer is in cents, as asked, the working in dollars";
    let (train, test) = ("train.jsonl", "test.jsonl");
    let mut known = Vec::new();
    known.extend(TRAIN_LABELS.map(|row| of(train, row.0, KnownErrorKind::Label, given(row))));
    known.extend(TRAIN_WORKINGS.map(|row| of(train, row.0, KnownErrorKind::Working, given(row))));
    known.extend(TRAIN_CENTS.map(|row| of(train, row, KnownErrorKind::Unit, cents.to_owned())));
    known.extend(TEST_LABELS.map(|row| of(test, row.0, KnownErrorKind::Label, given(row))));
    known.extend(TEST_CENTS.map(|row| of(test, row, KnownErrorKind::Unit, cents.to_owned())));
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

    #[test]
    fn a_file_is_known_by_its_content() {
        let official = Key::from(OFFICIAL_FILES[2].2.to_owned());
        assert_eq!(is_official("svamp", "SVAMP.json", &official), Some(true));
        assert_eq!(
            is_official("svamp", "SVAMP.json", &Key::from_bytes(b"")),
            Some(false)
        );
        assert_eq!(is_official("jsonl", "train", &official), None);
    }
}
