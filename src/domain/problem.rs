//! A problem to solve, and the split it belongs to.

use serde::{Deserialize, Serialize};

/// One problem with its reference answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Unique within its task, stable across runs, e.g. `word-problems/test/17`.
    pub id: String,
    /// The question, as plain text.
    pub question: String,
    /// The reference answer: a number in canonical form, e.g. `35` or `-1080`, or LaTeX.
    pub answer: String,
    /// A worked reference solution that states the answer as the task's grader reads it, e.g. ends with
    /// `#### answer`, where the task has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solution: Option<String>,
}

/// Which part of a task a problem belongs to; no problem belongs to two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Base models are pre-trained on it.
    Corpus,
    /// RISE collects its rollouts on it.
    Train,
    /// Settings may be chosen by it.
    Validation,
    /// Reports are made from it; nothing may be chosen by it.
    Test,
}

impl Split {
    /// Every split, in the order in which problems are dealt out.
    pub const ALL: [Self; 4] = [Self::Corpus, Self::Train, Self::Validation, Self::Test];

    /// The name as written in files, ids and the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Corpus => "corpus",
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}
