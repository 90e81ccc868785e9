//! Documents that a base model is pre-trained on.
//!
//! Half of them are several solved problems in a row. The others are one problem with its attempt
//! repeated after each retry text: a base model that knows the dialogue and stubbornly repeats
//! itself behaves as the paper's base models do. Without such documents a small model breaks down
//! at its second turn, and RISE has nothing to build on. Half of the repeated attempts are wrong,
//! and a first wrong attempt is never a target: the model learns to stay with a mistake, not to
//! make one.

use serde::{Deserialize, Serialize};

use crate::domain::{Message, Problem, Role, Seed, SeededRng, TrainingExample};

use super::PromptConfig;

/// The form of the pre-training documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorpusConfig {
    /// Part of the documents that are one problem with retries, in [0, 1].
    pub dialogue_share: f64,
    /// Part of those whose attempt is wrong, in [0, 1].
    pub corrupt_share: f64,
    /// Digits of a wrong attempt that are not the solution's, each entry equally likely. Attempts
    /// that are wrong all over can only be repeated by copying, which teaches stubbornness sooner.
    pub corrupt_digits: Vec<u32>,
    /// Chance that the attempt after a wrong one is the solution rather than a repeat, in [0, 1];
    /// above 0 the base model is less stubborn.
    pub resolve_share: f64,
    /// Problems of a document without retries; at least 1.
    pub solved_in_a_row: u32,
    /// Attempts of a document with retries, each entry equally likely; at least 1 each.
    pub repeats: Vec<u32>,
}

impl Default for CorpusConfig {
    fn default() -> Self {
        Self {
            dialogue_share: 0.5,
            corrupt_share: 0.5,
            corrupt_digits: vec![1, 1, 2],
            resolve_share: 0.0,
            solved_in_a_row: 3,
            repeats: vec![2, 3, 3],
        }
    }
}

impl CorpusConfig {
    /// The first fault of these settings, as field and complaint.
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        let shares = [
            ("dialogue_share", self.dialogue_share),
            ("corrupt_share", self.corrupt_share),
            ("resolve_share", self.resolve_share),
        ];
        if let Some((field, share)) = shares
            .into_iter()
            .find(|(_, share)| !(0.0..=1.0).contains(share))
        {
            return Some((field, format!("{share} is not in [0, 1]")));
        }
        if self.solved_in_a_row == 0 {
            return Some(("solved_in_a_row", "must be at least 1".to_owned()));
        }
        if self.corrupt_digits.is_empty() || self.corrupt_digits.contains(&0) {
            let given = &self.corrupt_digits;
            return Some((
                "corrupt_digits",
                format!("{given:?} must be one or more numbers of at least 1"),
            ));
        }
        (self.repeats.is_empty() || self.repeats.contains(&0)).then(|| {
            (
                "repeats",
                format!(
                    "{:?} must be one or more numbers of at least 1",
                    self.repeats
                ),
            )
        })
    }
}

/// Makes documents of the problems, in order, each problem used once; those without a solution
/// are passed over.
///
/// # Panics
/// If the settings have a [`first_error`](CorpusConfig::fault).
#[must_use]
pub fn corpus_documents(
    problems: &[Problem],
    config: &CorpusConfig,
    prompt: &PromptConfig,
    seed: Seed,
) -> Vec<TrainingExample> {
    assert_eq!(
        config.first_error(),
        None,
        "settings are checked before they are used"
    );
    let solved: Vec<SolvedProblem<'_>> = problems.iter().filter_map(SolvedProblem::new).collect();
    let mut documents = Vec::new();
    let mut left = solved.as_slice();
    while let Some(&first) = left.first() {
        let mut draws = seed.derive_indexed(documents.len() as u64).rng();
        let mut document = CorpusDocument::default();
        let used = if draws.uniform() < config.dialogue_share {
            document.push_repeats(first, config, *prompt, &mut draws);
            1
        } else {
            let used = left.len().min(config.solved_in_a_row as usize);
            left[..used]
                .iter()
                .for_each(|&solved| document.push_solved(solved, *prompt));
            used
        };
        documents.push(document.0);
        left = &left[used..];
    }
    documents
}

/// A question with its worked solution.
#[derive(Clone, Copy)]
struct SolvedProblem<'a> {
    question: &'a str,
    solution: &'a str,
}

impl<'a> SolvedProblem<'a> {
    fn new(problem: &'a Problem) -> Option<Self> {
        Some(Self {
            question: &problem.question,
            solution: problem.solution.as_deref()?,
        })
    }
}

/// A document in the making.
struct CorpusDocument(TrainingExample);

impl Default for CorpusDocument {
    fn default() -> Self {
        Self(TrainingExample {
            messages: Vec::new(),
            weights: Vec::new(),
        })
    }
}

impl CorpusDocument {
    fn push(&mut self, message: Message, weight: f64) {
        self.0.messages.push(message);
        self.0.weights.push(weight);
    }

    fn push_attempt(&mut self, text: &str, weight: f64) {
        self.push(
            Message {
                role: Role::Assistant,
                text: text.to_owned(),
            },
            weight,
        );
    }

    /// A question and its solution.
    fn push_solved(
        &mut self,
        SolvedProblem { question, solution }: SolvedProblem<'_>,
        prompt: PromptConfig,
    ) {
        self.push(prompt.opening_message(question), 0.0);
        self.push_attempt(solution, 1.0);
    }

    /// A question, and an attempt that is given again after each retry text.
    fn push_repeats(
        &mut self,
        solved: SolvedProblem<'_>,
        config: &CorpusConfig,
        prompt: PromptConfig,
        draws: &mut SeededRng,
    ) {
        let SolvedProblem { question, solution } = solved;
        let repeats = *draws.choose(&config.repeats);
        let mut wrong = (draws.uniform() < config.corrupt_share)
            .then(|| corrupt_digits(solution, &config.corrupt_digits, draws));
        self.push(prompt.opening_message(question), 0.0);
        self.push_attempt(
            wrong.as_deref().unwrap_or(solution),
            if wrong.is_some() { 0.0 } else { 1.0 },
        );
        for _ in 1..repeats {
            wrong = wrong.filter(|_| draws.uniform() >= config.resolve_share);
            self.push(prompt.retry_message(question), 0.0);
            self.push_attempt(wrong.as_deref().unwrap_or(solution), 1.0);
        }
    }
}

/// The text with some digits replaced by other ones.
fn corrupt_digits(text: &str, counts: &[u32], draws: &mut SeededRng) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut places: Vec<usize> = (0..bytes.len())
        .filter(|&at| bytes[at].is_ascii_digit())
        .collect();
    draws.shuffle(&mut places);
    let count = *draws.choose(counts);
    for at in places.into_iter().take(count as usize) {
        bytes[at] = b'0' + (bytes[at] - b'0' + draws.int_between(1, 9) as u8) % 10;
    }
    String::from_utf8(bytes).expect("a digit in place of a digit keeps the text UTF-8")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::{RetryMessage, SplitSizes, TaskConfig, WordProblems};

    fn problems(count: usize) -> Vec<Problem> {
        let sizes = SplitSizes {
            corpus: count,
            ..SplitSizes::empty(0)
        };
        TaskConfig::WordProblems(WordProblems::default())
            .load(&sizes)
            .unwrap()
            .corpus
    }

    const PROMPT: PromptConfig = PromptConfig {
        retry: RetryMessage::Incorrect,
        repeat_question: false,
        answer_form: None,
    };

    fn corpus_of(problems: &[Problem], config: &CorpusConfig) -> Vec<TrainingExample> {
        corpus_documents(problems, config, &PROMPT, Seed(3))
    }

    fn attempts(document: &TrainingExample) -> Vec<(&str, f64)> {
        let messages = document.messages.iter().zip(&document.weights);
        messages
            .filter(|(message, _)| message.role == Role::Assistant)
            .map(|(message, &weight)| (message.text.as_str(), weight))
            .collect()
    }

    fn is_dialogue(document: &TrainingExample) -> bool {
        document
            .messages
            .iter()
            .any(|message| message.text == "That is incorrect. Try again.")
    }

    #[test]
    fn without_dialogues_problems_are_solved_three_in_a_row() {
        let problems = problems(7);
        let config = CorpusConfig {
            dialogue_share: 0.0,
            ..CorpusConfig::default()
        };
        let documents = corpus_of(&problems, &config);
        assert_eq!(
            documents
                .iter()
                .map(|document| document.messages.len())
                .collect::<Vec<_>>(),
            [6, 6, 2]
        );
        let messages: Vec<_> = documents
            .iter()
            .flat_map(|document| &document.messages)
            .collect();
        for (problem, pair) in problems.iter().zip(messages.chunks(2)) {
            assert_eq!(
                (pair[0].role, &pair[0].text),
                (Role::User, &problem.question)
            );
            assert_eq!(
                (pair[1].role, Some(&pair[1].text)),
                (Role::Assistant, problem.solution.as_ref())
            );
        }
        assert!(
            documents
                .iter()
                .all(|d| d.weights.chunks(2).all(|pair| pair == [0.0, 1.0]))
        );
    }

    #[test]
    fn a_wrong_attempt_is_repeated_and_its_first_time_is_no_target() {
        let problems = problems(50);
        let config = CorpusConfig {
            dialogue_share: 1.0,
            corrupt_share: 1.0,
            ..CorpusConfig::default()
        };
        for (document, problem) in corpus_of(&problems, &config).iter().zip(&problems) {
            let attempts = attempts(document);
            let first = attempts[0].0;
            assert_ne!(Some(first), problem.solution.as_deref());
            assert!((2..=3).contains(&attempts.len()));
            assert_eq!(attempts[0], (first, 0.0));
            assert!(attempts[1..].iter().all(|&attempt| attempt == (first, 1.0)));
        }
    }

    #[test]
    fn a_wrong_attempt_can_be_resolved_and_then_stays_right() {
        let problems = problems(50);
        let config = CorpusConfig {
            dialogue_share: 1.0,
            corrupt_share: 1.0,
            resolve_share: 1.0,
            repeats: vec![3],
            ..CorpusConfig::default()
        };
        for (document, problem) in corpus_of(&problems, &config).iter().zip(&problems) {
            let solution = problem.solution.as_deref().unwrap();
            let attempts = attempts(document);
            assert_ne!(attempts[0].0, solution);
            assert_eq!(attempts[1..], [(solution, 1.0), (solution, 1.0)]);
        }
    }

    #[test]
    fn documents_come_in_their_shares() {
        let problems = problems(4000);
        let documents = corpus_of(&problems, &CorpusConfig::default());
        let dialogues: Vec<_> = documents
            .iter()
            .filter(|document| is_dialogue(document))
            .collect();
        let share = |part: usize, whole: usize| part as f64 / whole as f64;
        assert!((share(dialogues.len(), documents.len()) - 0.5).abs() < 0.04);
        let wrong = dialogues
            .iter()
            .filter(|document| attempts(document)[0].1 == 0.0)
            .count();
        assert!((share(wrong, dialogues.len()) - 0.5).abs() < 0.05);
        let twice = dialogues
            .iter()
            .filter(|document| attempts(document).len() == 2)
            .count();
        assert!((share(twice, dialogues.len()) - 1.0 / 3.0).abs() < 0.05);
        let openings: usize = documents
            .iter()
            .map(|document| {
                document
                    .messages
                    .iter()
                    .filter(|m| m.text.ends_with("now?"))
                    .count()
            })
            .sum();
        assert_eq!(openings, problems.len(), "each problem is used once");
    }

    #[test]
    fn documents_depend_on_the_seed_alone() {
        let problems = problems(40);
        let config = CorpusConfig::default();
        assert_eq!(corpus_of(&problems, &config), corpus_of(&problems, &config));
        assert_ne!(
            corpus_of(&problems, &config),
            corpus_documents(&problems, &config, &PROMPT, Seed(4))
        );
    }

    #[test]
    fn problems_without_a_solution_are_passed_over() {
        let mut problems = problems(2);
        problems[0].solution = None;
        let documents = corpus_of(
            &problems,
            &CorpusConfig {
                dialogue_share: 0.0,
                ..CorpusConfig::default()
            },
        );
        assert_eq!(
            documents,
            [TrainingExample::single_turn(
                &problems[1].question,
                problems[1].solution.as_ref().unwrap()
            )]
        );
        assert_eq!(corpus_of(&[], &CorpusConfig::default()), []);
    }

    #[test]
    fn senseless_settings_are_named() {
        let field = |config: CorpusConfig| config.first_error().map(|(field, _)| field);
        let config = CorpusConfig::default;
        assert_eq!(field(config()), None);
        assert_eq!(
            field(CorpusConfig {
                dialogue_share: 1.5,
                ..config()
            }),
            Some("dialogue_share")
        );
        assert_eq!(
            field(CorpusConfig {
                resolve_share: f64::NAN,
                ..config()
            }),
            Some("resolve_share")
        );
        assert_eq!(
            field(CorpusConfig {
                solved_in_a_row: 0,
                ..config()
            }),
            Some("solved_in_a_row")
        );
        assert_eq!(
            field(CorpusConfig {
                repeats: vec![],
                ..config()
            }),
            Some("repeats")
        );
        assert_eq!(
            field(CorpusConfig {
                repeats: vec![2, 0],
                ..config()
            }),
            Some("repeats")
        );
    }

    proptest! {
        #[test]
        fn a_corrupted_text_differs_in_one_or_two_digits(text in "[0-9]\\PC{0,20}", seed in any::<u64>()) {
            let wrong = corrupt_digits(&text, &[1, 1, 2], &mut Seed(seed).rng());
            let differing: Vec<_> = text.bytes().zip(wrong.bytes()).filter(|(a, b)| a != b).collect();
            prop_assert_eq!(text.len(), wrong.len());
            prop_assert!((1..=2).contains(&differing.len()));
            prop_assert!(differing.iter().all(|(a, b)| a.is_ascii_digit() && b.is_ascii_digit()));
        }
    }
}
