//! Which split a problem belongs to, and how large the splits are.
//!
//! Two questions are the same if their normalised texts are.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::domain::{Problem, Seed, Split};

use super::DataError;

/// Which training problems runs of several training seeds have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainDraw {
    /// All the same, so that seeds share stages; the part of a comparison that is due to these problems is
    /// then neither in its interval nor in the spread between seeds.
    #[default]
    Shared,
    /// Every training seed its own, so that the draw is among the differences between seeds.
    PerSeed,
}

impl TrainDraw {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_shared(&self) -> bool {
        *self == Self::Shared
    }
}

/// How many problems each split has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitSizes {
    /// Problems that a base model is pre-trained on.
    pub corpus: usize,
    /// Problems that RISE collects its rollouts on.
    pub train: usize,
    /// Problems that settings may be chosen by.
    pub validation: usize,
    /// Problems that reports are made from.
    pub test: usize,
    /// Picks other problems of a generated task. A problem keeps its split under every seed, and
    /// tasks that are read from files are dealt out in one way for all seeds, so that a base
    /// model of one seed has never seen the test problems of another.
    pub seed: u64,
    /// Whether the problems of a generated task that are trained on are the same for every training seed.
    #[serde(skip_serializing_if = "TrainDraw::is_shared")]
    pub train_draw: TrainDraw,
    /// Whether a question may be both trained on and evaluated on; without this, such a run is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_leaks: bool,
}

impl Default for SplitSizes {
    fn default() -> Self {
        Self {
            train: 3000,
            validation: 200,
            test: 500,
            ..Self::empty(0)
        }
    }
}

impl SplitSizes {
    /// No problem in any split.
    #[must_use]
    pub const fn empty(seed: u64) -> Self {
        Self {
            corpus: 0,
            train: 0,
            validation: 0,
            test: 0,
            seed,
            train_draw: TrainDraw::Shared,
            allow_leaks: false,
        }
    }

    /// Problems in one split.
    #[must_use]
    pub const fn get(&self, split: Split) -> usize {
        match split {
            Split::Corpus => self.corpus,
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Test => self.test,
        }
    }

    /// The same with another number of problems in one split.
    #[must_use]
    pub const fn with_split(mut self, split: Split, count: usize) -> Self {
        match split {
            Split::Corpus => self.corpus = count,
            Split::Train => self.train = count,
            Split::Validation => self.validation = count,
            Split::Test => self.test = count,
        }
        self
    }
}

/// A task's problems; no question is in two splits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSplits {
    /// Base models are pre-trained on it.
    pub corpus: Vec<Problem>,
    /// RISE collects its rollouts on it.
    pub train: Vec<Problem>,
    /// Settings may be chosen by it.
    pub validation: Vec<Problem>,
    /// Reports are made from it.
    pub test: Vec<Problem>,
}

impl TaskSplits {
    /// The problems of one split.
    #[must_use]
    pub fn problems(&self, split: Split) -> &[Problem] {
        match split {
            Split::Corpus => &self.corpus,
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }

    pub(super) fn set_problems(&mut self, split: Split, problems: Vec<Problem>) {
        match split {
            Split::Corpus => self.corpus = problems,
            Split::Train => self.train = problems,
            Split::Validation => self.validation = problems,
            Split::Test => self.test = problems,
        }
    }

    /// Checks that no question occurs twice, in one split or in two.
    pub(super) fn validate(&self, sizes: &SplitSizes) -> Result<(), DataError> {
        let mut questions = SeenQuestions::new(sizes);
        Split::ALL
            .into_iter()
            .flat_map(|split| self.problems(split))
            .try_for_each(|problem| questions.add(&problem.question, || problem.id.clone()))
    }
}

/// The questions met so far, and where.
#[derive(Debug, Default)]
pub(super) struct SeenQuestions {
    seen: HashMap<String, String>,
    allow_repeats: bool,
}

impl SeenQuestions {
    /// None so far; repeats are refused unless leaks are allowed.
    pub(super) fn new(sizes: &SplitSizes) -> Self {
        Self {
            seen: HashMap::new(),
            allow_repeats: sizes.allow_leaks,
        }
    }

    /// Takes a question in, unless it was met before.
    pub(super) fn add(
        &mut self,
        question: &str,
        place: impl FnOnce() -> String,
    ) -> Result<(), DataError> {
        let place = place();
        match self.seen.insert(question_identity(question), place.clone()) {
            Some(first) if !self.allow_repeats => Err(DataError::Overlap {
                first,
                second: place,
                question: question.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// A question's content: its words in lower case and the signs that mean something in mathematics, one
/// space between them, without punctuation. Two questions are the same if this is.
pub(super) fn question_identity(question: &str) -> String {
    let tokens = question_tokens(question);
    let kept = (0..tokens.len()).filter(|&index| !is_dash(&tokens, index));
    kept.map(|index| tokens[index].to_lowercase())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a token is a hyphen or a dash of prose, which is between words; a minus sign is at a
/// number or a variable.
fn is_dash(tokens: &[&str], index: usize) -> bool {
    let before = index.checked_sub(1).and_then(|index| tokens.get(index));
    let after = tokens.get(index + 1);
    let doubled = before == Some(&"-") || after == Some(&"-");
    let between_words = [before, after].into_iter().all(|token| {
        token.is_some_and(|token| token.len() > 1 && token.chars().all(char::is_alphabetic))
    });
    tokens[index] == "-" && (doubled || after.is_none() || between_words)
}

/// Signs that make another question in mathematics; all else that is no letter or digit is punctuation.
const MATH_SIGNS: &str = "+-*/^=<>%|()[]";

fn is_math_sign(c: char) -> bool {
    MATH_SIGNS.contains(c)
}

/// The words and signs of a text.
fn question_tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_alphanumeric() || is_math_sign(c)) {
        let begun = &rest[start..];
        let word = begun
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(begun.len());
        // Every sign is one byte.
        let end = if begun.starts_with(is_math_sign) {
            1
        } else {
            word
        };
        tokens.push(&begun[..end]);
        rest = &begun[end..];
    }
    tokens
}

/// A question's words in lower case with one space between them, without punctuation.
pub(super) fn normalize_question(question: &str) -> String {
    let mut text = String::with_capacity(question.len());
    for word in question
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        if !text.is_empty() {
            text.push(' ');
        }
        text.extend(word.chars().flat_map(char::to_lowercase));
    }
    text
}

/// The split that a generated question belongs to, in every task and under every seed: half of
/// all questions are corpus, a quarter train, and an eighth each validation and test.
pub(super) fn assigned_split(normalised: &str) -> Split {
    match shuffle_key(normalised) % 8 {
        0..4 => Split::Corpus,
        4..6 => Split::Train,
        6 => Split::Validation,
        _ => Split::Test,
    }
}

/// A fixed number for a question, unrelated to its content.
pub(super) fn shuffle_key(normalised: &str) -> u64 {
    Seed(0).derive(normalised).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(id: &str, question: &str) -> Problem {
        Problem {
            id: id.into(),
            question: question.into(),
            answer: "1".into(),
            solution: None,
        }
    }

    #[test]
    fn punctuation_case_and_spacing_do_not_make_another_question() {
        assert_eq!(
            normalize_question("  How  MANY\npens -- ?"),
            "how many pens"
        );
        assert_eq!(normalize_question("Élan: 3 pens"), "élan 3 pens");
        assert_eq!(normalize_question("?!"), "");
        assert_ne!(normalize_question("3 pens"), normalize_question("4 pens"));
    }

    #[test]
    fn what_is_asked_keeps_the_signs_of_mathematics() {
        for (one, other) in [
            ("  How  MANY\npens -- ?", "how many pens"),
            (
                "How many half-price pens - all new?",
                "how many HALF PRICE pens all new",
            ),
            ("What is $2+3$?", "What is 2 + 3"),
            ("Find $x^{2}$.", "Find x^2"),
            ("Élan: 3 pens, 4 cups", "élan 3 pens 4 cups"),
        ] {
            assert_eq!(question_identity(one), question_identity(other), "{one}");
        }
        for (one, other) in [
            ("What is 2+3?", "What is 2-3?"),
            ("What is -5?", "What is 5?"),
            ("Find x-y.", "Find x+y."),
            ("Find 5% of 3.", "Find 5 of 3."),
            ("3 pens", "4 pens"),
        ] {
            assert_ne!(question_identity(one), question_identity(other), "{one}");
        }
        assert_eq!(question_identity("x - y"), "x - y");
        assert_eq!(question_identity("?!"), "");
    }

    #[test]
    fn a_question_in_two_splits_is_refused_with_both_ids() {
        let mut splits = TaskSplits {
            train: vec![problem("t/train/0", "How many pens?")],
            test: vec![
                problem("t/test/0", "How many cards?"),
                problem("t/test/1", "how many pens"),
            ],
            ..TaskSplits::default()
        };
        let text = splits
            .validate(&SplitSizes::default())
            .unwrap_err()
            .to_string();
        insta::assert_snapshot!(text, @r#"t/train/0 and t/test/1 ask the same question, "how many pens"; take one of them out"#);
        splits
            .validate(&SplitSizes {
                allow_leaks: true,
                ..SplitSizes::default()
            })
            .unwrap();
        splits.test.pop();
        splits.validate(&SplitSizes::default()).unwrap();
    }

    #[test]
    fn homes_have_their_shares() {
        let mut counts = std::collections::BTreeMap::new();
        for index in 0..8000 {
            *counts
                .entry(assigned_split(&format!("question {index}")))
                .or_insert(0) += 1;
        }
        for (split, share) in [
            (Split::Corpus, 4000),
            (Split::Train, 2000),
            (Split::Validation, 1000),
            (Split::Test, 1000),
        ] {
            let off: i32 = counts[&split] - share;
            assert!(off.abs() < 150, "{split:?} {}", counts[&split]);
        }
    }

    #[test]
    fn sizes_left_out_have_defaults_and_unknown_ones_are_refused() {
        let sizes: SplitSizes = toml::from_str("test = 7").unwrap();
        assert_eq!(
            sizes,
            SplitSizes {
                test: 7,
                ..SplitSizes::default()
            }
        );
        assert!(toml::from_str::<SplitSizes>("tets = 7").is_err());
    }
}
