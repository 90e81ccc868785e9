//! Generated word problems with one running total; needs no files.
//!
//! A sample, with its solution:
//!
//! ```text
//! Ann has 8 cards. She gives away 6. She buys 16 more. She doubles them. How many cards does Ann have now?
//! 8-6=2
//! 2+16=18
//! 18*2=36
//! #### 36
//! ```
//!
//! The solution states every step as an equation, because a small model that skips the operands
//! does not learn the task, and ends the way GSM8K's solutions do.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize};

use crate::data::DataError;
use crate::data::numeric_answer::ANSWER_MARKER;
use crate::data::split::{SplitSizes, TaskSplits, assigned_split, normalize_question};
use crate::domain::{Problem, Seed, SeededRng, Split};

use super::wording::{NAMES_AND_PRONOUNS, NOUNS, StoryScene, StoryWording, TotalChange};

/// Steps beyond which the running total might outgrow 64 bits.
const MAX_STEPS: u32 = 16;

/// After this many draws in a row without a new problem, there are no more.
const MAX_FAILED_DRAWS: usize = 20_000;

/// Settings of the generated task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WordProblems {
    /// Fewest and most steps of a problem in the train, validation and test splits.
    pub steps: [u32; 2],
    /// Fewest and most steps of a problem in the corpus.
    pub corpus_steps: [u32; 2],
    /// The largest number in a question; the running total may outgrow it.
    pub largest: u32,
}

impl Default for WordProblems {
    fn default() -> Self {
        Self {
            steps: [3, 4],
            corpus_steps: [1, 4],
            largest: 20,
        }
    }
}

/// The settings that a file names; the task gives the others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartialWordProblems {
    steps: Option<[u32; 2]>,
    corpus_steps: Option<[u32; 2]>,
    largest: Option<u32>,
}

impl PartialWordProblems {
    fn with_defaults(self, defaults: WordProblems) -> WordProblems {
        WordProblems {
            steps: self.steps.unwrap_or(defaults.steps),
            corpus_steps: self.corpus_steps.unwrap_or(defaults.corpus_steps),
            largest: self.largest.unwrap_or(defaults.largest),
        }
    }
}

impl WordProblems {
    /// The settings of the task with larger numbers, where nothing else is said.
    #[must_use]
    pub fn larger() -> Self {
        Self {
            largest: 60,
            ..Self::default()
        }
    }

    /// The settings of the task with more steps, where nothing else is said.
    #[must_use]
    pub fn longer() -> Self {
        Self {
            steps: [5, 6],
            corpus_steps: [1, 6],
            ..Self::default()
        }
    }

    pub(in crate::data) fn over_larger<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Self, D::Error> {
        PartialWordProblems::deserialize(deserializer)
            .map(|named| named.with_defaults(Self::larger()))
    }

    pub(in crate::data) fn over_longer<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Self, D::Error> {
        PartialWordProblems::deserialize(deserializer)
            .map(|named| named.with_defaults(Self::longer()))
    }

    /// The first fault of these settings, as field and complaint.
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        for (field, [fewest, most]) in [("steps", self.steps), ("corpus_steps", self.corpus_steps)]
        {
            let complaint = if fewest == 0 {
                "a problem has at least 1 step"
            } else if fewest > most {
                "write the smaller number first"
            } else if most > MAX_STEPS {
                "a problem has at most 16 steps"
            } else {
                continue;
            };
            return Some((field, format!("= [{fewest}, {most}]: {complaint}")));
        }
        (self.largest < 2).then(|| ("largest", format!("= {}: numbers start at 2", self.largest)))
    }

    /// Generates all splits of the task called `task`.
    pub(in crate::data) fn load(
        &self,
        task: &'static str,
        wording: StoryWording,
        sizes: &SplitSizes,
    ) -> Result<TaskSplits, DataError> {
        let mut splits = TaskSplits::default();
        for split in Split::ALL {
            splits.set_problems(split, self.generate(task, wording, split, sizes)?);
        }
        Ok(splits)
    }

    /// The problems of one split, from its own random stream: draws whose question is at home in
    /// another split, or was drawn before, are passed over.
    fn generate(
        &self,
        task: &'static str,
        wording: StoryWording,
        split: Split,
        sizes: &SplitSizes,
    ) -> Result<Vec<Problem>, DataError> {
        let steps = if split == Split::Corpus {
            self.corpus_steps
        } else {
            self.steps
        };
        let mut draws = Seed(sizes.seed).derive(task).derive(split.name()).rng();
        let mut seen = HashSet::new();
        let mut problems = Vec::with_capacity(sizes.get(split));
        let mut failed_draws = 0;
        while problems.len() < sizes.get(split) {
            let story = WordProblemStory::draw(&mut draws, steps, i64::from(self.largest));
            let question = story.question(wording);
            let key = normalize_question(&question);
            if assigned_split(&key) == split && seen.insert(key) {
                let id = format!("{task}/{}/{}", split.name(), problems.len());
                problems.push(story.problem(id, question));
                failed_draws = 0;
            } else {
                failed_draws += 1;
            }
            if failed_draws == MAX_FAILED_DRAWS {
                return Err(DataError::TooFew {
                    split,
                    requested: sizes.get(split),
                    available: problems.len(),
                    place: format!("task `{task}` with these settings"),
                    remedy: "ask for fewer, or raise `largest` or the number of steps",
                });
            }
        }
        Ok(problems)
    }
}

/// A starting number and its changes.
struct WordProblemStory {
    scene: StoryScene,
    start: i64,
    /// Each change, and whether the story has it in the second phrasing.
    changes: Vec<(TotalChange, bool)>,
}

impl WordProblemStory {
    fn draw(draws: &mut SeededRng, [fewest, most]: [u32; 2], largest: i64) -> Self {
        let &(name, pronoun) = draws.choose(&NAMES_AND_PRONOUNS);
        let &thing = draws.choose(&NOUNS);
        let scene = StoryScene {
            name,
            pronoun,
            noun: thing,
        };
        let start = draws.int_between(2, largest);
        let steps = draws.int_between(i64::from(fewest), i64::from(most));
        let mut total = start;
        let changes = (0..steps)
            .map(|_| {
                let change = draw_change(draws, total, largest);
                total = apply_change(total, change).1;
                (change, draws.uniform() < 0.5)
            })
            .collect();
        Self {
            scene,
            start,
            changes,
        }
    }

    fn question(&self, wording: StoryWording) -> String {
        let mut text = wording.opening(self.scene, self.start);
        for &(change, second) in &self.changes {
            text.push(' ');
            text.push_str(&wording.change_sentence(self.scene, change, second));
        }
        text.push(' ');
        text.push_str(&wording.question(self.scene));
        text
    }

    /// The problem, solved.
    fn problem(&self, id: String, question: String) -> Problem {
        let mut solution = String::new();
        let mut total = self.start;
        for &(change, _) in &self.changes {
            let (sign, result) = apply_change(total, change);
            let (TotalChange::Add(y) | TotalChange::Subtract(y) | TotalChange::Multiply(y)) =
                change;
            writeln!(solution, "{total}{sign}{y}={result}")
                .expect("writing to a string does not fail");
            total = result;
        }
        write!(solution, "{ANSWER_MARKER} {total}").expect("writing to a string does not fail");
        Problem {
            id,
            question,
            answer: total.to_string(),
            solution: Some(solution),
        }
    }
}

/// A change of a running total: 45 % add, 35 % take away (from more than 3, leaving at least 1),
/// and the others double or triple.
fn draw_change(draws: &mut SeededRng, total: i64, largest: i64) -> TotalChange {
    let kind = draws.uniform();
    if kind < 0.45 {
        TotalChange::Add(draws.int_between(2, largest))
    } else if kind < 0.8 && total > 3 {
        TotalChange::Subtract(draws.int_between(2, largest.min(total - 1)))
    } else {
        TotalChange::Multiply(draws.int_between(2, 3))
    }
}

/// The sign of a change, and the total after it.
const fn apply_change(total: i64, change: TotalChange) -> (char, i64) {
    match change {
        TotalChange::Add(y) => ('+', total + y),
        TotalChange::Subtract(y) => ('-', total - y),
        TotalChange::Multiply(y) => ('*', total * y),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn sizes(corpus: usize, train: usize, validation: usize, test: usize) -> SplitSizes {
        SplitSizes {
            corpus,
            train,
            validation,
            test,
            ..SplitSizes::empty(0)
        }
    }

    fn plain(settings: &WordProblems, sizes: &SplitSizes) -> TaskSplits {
        settings
            .load("word-problems", StoryWording::Plain, sizes)
            .unwrap()
    }

    fn story_text(wording: StoryWording) -> String {
        let changes = [
            TotalChange::Subtract(6),
            TotalChange::Add(16),
            TotalChange::Multiply(2),
            TotalChange::Add(9),
            TotalChange::Subtract(3),
            TotalChange::Multiply(3),
        ];
        let story = WordProblemStory {
            scene: StoryScene {
                name: "Ann",
                pronoun: "She",
                noun: "cards",
            },
            start: 8,
            changes: changes
                .into_iter()
                .zip([false, false, false, true, true, true])
                .collect(),
        };
        let question = story.question(wording);
        let problem = story.problem("p".into(), question);
        format!("{}\n{}", problem.question, problem.solution.unwrap())
    }

    #[test]
    fn a_story_in_plain_words() {
        insta::assert_snapshot!(story_text(StoryWording::Plain), @r"
        Ann has 8 cards. She gives away 6. She buys 16 more. She doubles them. She finds 9 more. She loses 3. She triples them. How many cards does Ann have now?
        8-6=2
        2+16=18
        18*2=36
        36+9=45
        45-3=42
        42*3=126
        #### 126
        ");
    }

    #[test]
    fn the_same_story_in_other_words() {
        insta::assert_snapshot!(story_text(StoryWording::Reworded), @r"
        Ann fills a bag with 8 cards. She takes out 6. She adds 16. Soon it holds twice as many. She puts in 9. She removes 3. Soon it holds three times as many. Give the number of cards in the bag.
        8-6=2
        2+16=18
        18*2=36
        36+9=45
        45-3=42
        42*3=126
        #### 126
        ");
    }

    fn letters(wording: StoryWording) -> BTreeSet<char> {
        let splits = WordProblems::default()
            .load("letters", wording, &sizes(2000, 0, 0, 0))
            .unwrap();
        splits
            .corpus
            .iter()
            .flat_map(|problem| problem.question.chars())
            .collect()
    }

    #[test]
    fn other_words_need_no_other_letters() {
        let plain = letters(StoryWording::Plain);
        let new: Vec<char> = letters(StoryWording::Reworded)
            .difference(&plain)
            .copied()
            .collect();
        assert_eq!(new, []);
    }

    #[test]
    fn changes_come_in_their_shares_and_keep_the_total_positive() {
        let mut draws = Seed(1).rng();
        let mut counts = [0, 0, 0];
        for _ in 0..10_000 {
            match draw_change(&mut draws, 10, 20) {
                TotalChange::Add(y) => (counts[0] += 1, assert!((2..=20).contains(&y))),
                TotalChange::Subtract(y) => (counts[1] += 1, assert!((2..=9).contains(&y))),
                TotalChange::Multiply(y) => (counts[2] += 1, assert!((2..=3).contains(&y))),
            };
        }
        for (count, share) in counts.into_iter().zip([4500_i32, 3500, 2000]) {
            assert!((share - count).abs() < 200, "{counts:?}");
        }
        assert!(
            (0..1000).all(|_| !matches!(draw_change(&mut draws, 3, 20), TotalChange::Subtract(_)))
        );
    }

    #[test]
    fn splits_have_their_own_ranges_of_steps() {
        let settings = WordProblems {
            steps: [3, 4],
            corpus_steps: [1, 2],
            largest: 20,
        };
        let splits = plain(&settings, &sizes(200, 200, 200, 200));
        let steps = |problem: &Problem| problem.solution.as_ref().unwrap().lines().count() - 1;
        let range = |problems: &[Problem]| problems.iter().map(steps).collect::<BTreeSet<_>>();
        assert_eq!(range(&splits.corpus), BTreeSet::from([1, 2]));
        for problems in [&splits.train, &splits.validation, &splits.test] {
            assert_eq!(range(problems), BTreeSet::from([3, 4]));
        }
    }

    #[test]
    fn a_split_depends_on_its_own_size_alone() {
        let settings = WordProblems::default();
        let small = plain(&settings, &sizes(0, 30, 0, 20));
        let large = plain(&settings, &sizes(500, 60, 40, 20));
        assert_eq!(small.test, large.test);
        assert_eq!(small.train, large.train[..30]);
        assert_eq!(large.test[17].id, "word-problems/test/17");
    }

    #[test]
    fn another_seed_gives_other_problems_that_stay_in_their_split() {
        let settings = WordProblems::default();
        let sizes = sizes(0, 500, 0, 500);
        let (first, second) = (
            plain(&settings, &sizes),
            plain(
                &settings,
                &SplitSizes {
                    seed: 1,
                    ..sizes.clone()
                },
            ),
        );
        let questions = |problems: &[Problem]| {
            problems
                .iter()
                .map(|p| p.question.clone())
                .collect::<BTreeSet<_>>()
        };
        assert!(
            questions(&first.test)
                .intersection(&questions(&second.test))
                .count()
                < 10
        );
        assert!(questions(&first.test).is_disjoint(&questions(&second.train)));
    }

    #[test]
    fn asking_for_more_problems_than_there_are_is_refused() {
        let settings = WordProblems {
            steps: [1, 1],
            corpus_steps: [1, 1],
            largest: 2,
        };
        let error = settings
            .load("word-problems", StoryWording::Plain, &sizes(0, 0, 0, 500))
            .unwrap_err();
        assert!(
            matches!(
                error,
                DataError::TooFew {
                    split: Split::Test,
                    requested: 500,
                    available: 20..80,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn senseless_settings_are_named() {
        let fault = |steps, corpus_steps, largest| {
            WordProblems {
                steps,
                corpus_steps,
                largest,
            }
            .first_error()
        };
        assert_eq!(fault([3, 4], [1, 4], 20), None);
        assert_eq!(
            fault([5, 2], [1, 4], 20),
            Some(("steps", "= [5, 2]: write the smaller number first".into()))
        );
        assert_eq!(
            fault([0, 2], [1, 4], 20),
            Some(("steps", "= [0, 2]: a problem has at least 1 step".into()))
        );
        assert_eq!(
            fault([3, 4], [1, 17], 20),
            Some((
                "corpus_steps",
                "= [1, 17]: a problem has at most 16 steps".into()
            ))
        );
        assert_eq!(
            fault([3, 4], [1, 4], 1),
            Some(("largest", "= 1: numbers start at 2".into()))
        );
    }

    proptest! {
        #[test]
        fn every_equation_is_true_and_leads_to_the_next(seed in any::<u64>(), largest in 2_i64..100) {
            let story = WordProblemStory::draw(&mut Seed(seed).rng(), [1, 16], largest);
            let problem = story.problem("p".into(), story.question(StoryWording::Plain));
            let solution = problem.solution.unwrap();
            let mut total = story.start;
            for line in solution.lines().take(story.changes.len()) {
                let (left, right) = line.split_once('=').unwrap();
                let (x, y) = left.split_once(['+', '-', '*']).unwrap();
                let (x, y): (i64, i64) = (x.parse().unwrap(), y.parse().unwrap());
                prop_assert_eq!(x, total);
                total = match left.as_bytes()[left.find(['+', '-', '*']).unwrap()] {
                    b'+' => x + y,
                    b'-' => x - y,
                    _ => x * y,
                };
                prop_assert_eq!(right, total.to_string());
                prop_assert!(total >= 1 && y >= 2 && y <= largest.max(3));
            }
            prop_assert_eq!(solution.lines().last().unwrap(), format!("#### {total}"));
            prop_assert_eq!(problem.answer, total.to_string());
        }
    }
}
