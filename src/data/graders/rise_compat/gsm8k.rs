//! The official environment for GSM8K: an integer in the last box against the number after `####`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::data::graders::boxed;
use crate::data::numeric_answer::{self, ANSWER_MARKER};
use crate::domain::{Grade, GradeVerdict, Key, Problem};

use super::{RiseCompat, python};

/// The problems of GSM8K whose answer is written with a thousands comma; see its first lines.
const COMMA_ANSWERS: &str = include_str!("commas.txt");

/// The grade of one attempt.
pub(super) fn grade(settings: RiseCompat, problem: &Problem, text: &str) -> Grade {
    let answer = extract_answer(settings, text);
    let verdict = match &answer {
        None => GradeVerdict::Unreadable,
        Some(answer) if answers_equal(answer, gold_answer(settings, problem)) => {
            GradeVerdict::Right
        }
        Some(_) => GradeVerdict::Wrong,
    };
    Grade { answer, verdict }
}

/// The attempt's answer: the content of the last box, commas deleted, as an integer.
fn extract_answer(settings: RiseCompat, text: &str) -> Option<String> {
    let content = if settings.flat_braces {
        last_box(text)
    } else {
        boxed::last_boxed(text, &["boxed"], false)
    };
    let content = content
        .or_else(|| settings.answer_after_marker(text))?
        .replace(',', "");
    let integer = python::parse_int(&content);
    if settings.integers_only {
        integer
    } else {
        integer.or_else(|| numeric_answer::canonical_number(&content))
    }
}

/// The content of the last `boxed{…}` that holds at least one character and ends at the first `}`.
fn last_box(text: &str) -> Option<&str> {
    let (mut last, mut rest) = (None, text);
    while let Some((_, after)) = rest.split_once("boxed{") {
        match after.find('}') {
            // Without a character in it there is no match here; the search continues behind its name.
            Some(0) => rest = after,
            Some(end) => {
                last = Some(&after[..end]);
                rest = &after[end + 1..];
            }
            None => break,
        }
    }
    last
}

/// `float(answer) == float(gold)`; a number beyond all floats is equal to none.
fn answers_equal(answer: &str, gold: Option<f64>) -> bool {
    let answer: f64 = answer.parse().expect("digits are a number");
    answer.is_finite() && gold == Some(answer)
}

/// The reference: the first `####` followed by a sign, digits and decimals, up to a comma; the
/// canonical answer where the solution has none.
fn gold_answer(settings: RiseCompat, problem: &Problem) -> Option<f64> {
    let solution = problem.solution.as_deref().unwrap_or_default();
    let comma_answer = comma_answer(problem);
    let mut solution = match comma_answer {
        Some(written) => format!("{ANSWER_MARKER} {written}"),
        None => solution.to_owned(),
    };
    if !settings.gold_comma {
        solution = without_commas(&solution);
    }
    let gold = answer_after_marker(&solution);
    if gold.is_none() && comma_answer.is_none() {
        return numeric_answer::canonical_number(&problem.answer)?
            .parse()
            .ok();
    }
    gold?.parse().ok()
}

/// The first match of `####\s*([-+]?\d+(?:\.\d+)?)`, in ASCII.
fn answer_after_marker(solution: &str) -> Option<String> {
    let places = solution
        .match_indices('#')
        .filter(|(at, _)| solution[*at..].starts_with(ANSWER_MARKER));
    places
        .map(|(at, _)| &solution[at + ANSWER_MARKER.len()..])
        .find_map(|after| {
            let after = after.trim_start_matches(python::is_space);
            let (sign, rest) = match after.strip_prefix('-') {
                Some(rest) => ("-", rest),
                None => ("", after.strip_prefix('+').unwrap_or(after)),
            };
            let whole = leading_digits(rest);
            let point = rest
                .char_indices()
                .nth(whole.len())
                .filter(|(_, c)| *c == '.');
            let decimals = point
                .map(|(at, _)| leading_digits(&rest[at + 1..]))
                .filter(|decimals| !decimals.is_empty());
            let decimals = decimals
                .map(|decimals| format!(".{decimals}"))
                .unwrap_or_default();
            (!whole.is_empty()).then(|| format!("{sign}{whole}{decimals}"))
        })
}

/// The decimal digits that a text begins with, in ASCII.
fn leading_digits(text: &str) -> String {
    text.chars().map_while(python::ascii_digit).collect()
}

/// The text without commas between digits.
fn without_commas(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let between = kept.ends_with(|c: char| c.is_ascii_digit())
            && letters.peek().is_some_and(char::is_ascii_digit);
        if c != ',' || !between {
            kept.push(c);
        }
    }
    kept
}

/// A problem's answer as GSM8K's own file has it, where it is written with a comma there: solutions
/// are loaded with the canonical answer in its place.
fn comma_answer(problem: &Problem) -> Option<&'static str> {
    static ANSWERS: LazyLock<BTreeMap<&str, &str>> = LazyLock::new(|| {
        comma_answer_rows()
            .map(|(_, question, answer)| (question, answer))
            .collect()
    });
    // Anything shorter has no thousands.
    if problem.answer.len() < 4 {
        return None;
    }
    let question = Key::from_bytes(problem.question.trim().as_bytes());
    let written = ANSWERS.get(question.short()).copied()?;
    (numeric_answer::canonical_number(written) == numeric_answer::canonical_number(&problem.answer))
        .then_some(written)
}

/// The rows of [`COMMA_ANSWERS`]: (file and line, digits of the question's hash, answer as written).
fn comma_answer_rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    COMMA_ANSWERS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (rest, answer) = line.rsplit_once(' ')?;
            let (place, question) = rest.rsplit_once(' ')?;
            Some((place, question, answer))
        })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::data::{FileTaskConfig, GraderConfig, SplitSizes, TaskConfig};
    use crate::domain::Split;

    use super::*;

    fn problem(solution: &str) -> Problem {
        let (id, question) = ("p/1".to_owned(), "How many?".to_owned());
        Problem {
            id,
            question,
            answer: "18".to_owned(),
            solution: Some(solution.to_owned()),
        }
    }

    fn verdict(settings: RiseCompat, solution: &str, text: &str) -> GradeVerdict {
        grade(settings, &problem(solution), text).verdict
    }

    fn verdict_on_18(text: &str) -> GradeVerdict {
        verdict(RiseCompat::OFFICIAL, "9*2=18\n#### 18", text)
    }

    #[test]
    fn only_an_integer_in_the_last_box_counts() {
        for text in [
            "\\boxed{18}",
            "boxed{18}",
            "\\boxed{17} no, \\boxed{18}",
            "\\boxed{ 18 }",
            "\\boxed{1_8}",
            "\\boxed{+18}",
            "\\boxed{1,8}",
            "\\boxed{18} \\boxed{}",
            "\\boxed{18} \\boxed{19",
            "\\boxed{18\n}",
        ] {
            assert_eq!(verdict_on_18(text), GradeVerdict::Right, "{text:?}");
        }
        let huge = format!("\\boxed{{{}}}", "9".repeat(400));
        for text in [
            "\\boxed{17}",
            "\\boxed{18} \\boxed{17}",
            "\\boxed{-18}",
            &huge,
        ] {
            assert_eq!(verdict_on_18(text), GradeVerdict::Wrong, "{text:?}");
        }
    }

    #[test]
    fn nothing_else_can_be_read() {
        for text in [
            "18",
            "#### 18",
            "\\boxed{}",
            "\\boxed{18.0}",
            "\\boxed{\\$18}",
            "\\boxed{18 eggs}",
            "\\boxed{36/2}",
            "\\boxed{18\\text{ eggs}}",
            "\\boxed{\\text{18}}",
            "\\boxed{18",
            "\\boxed{18} \\boxed{x}",
            "\\boxed 18",
            "\\fbox{18}",
            "\\boxed{boxed{18}}",
        ] {
            assert_eq!(verdict_on_18(text), GradeVerdict::Unreadable, "{text:?}");
        }
    }

    #[test]
    fn the_reference_is_the_first_number_after_the_marks_up_to_a_comma() {
        let gold = |solution| gold_answer(RiseCompat::OFFICIAL, &problem(solution));
        for (solution, value) in [
            ("#### 18", 18.0),
            ("####18", 18.0),
            ("#### \n -5", -5.0),
            ("#### +5", 5.0),
            ("#### 2.50", 2.5),
            ("#### 2.", 2.0),
            ("#### 2,125", 2.0),
            ("#### 114,200", 114.0),
            ("#### 5\n#### 6", 5.0),
            ("#### none\n#### 6", 6.0),
            ("##### 7", 7.0),
            ("#### \u{663}", 3.0),
            ("no mark", 18.0),
            ("#### $5", 18.0),
        ] {
            assert_eq!(gold(solution), Some(value), "{solution:?}");
        }
    }

    #[test]
    fn each_fault_can_be_switched_off() {
        use GradeVerdict::{Right, Unreadable, Wrong};
        let official = RiseCompat::OFFICIAL;
        let whole = RiseCompat {
            gold_comma: false,
            ..official
        };
        let nested = RiseCompat {
            flat_braces: false,
            ..official
        };
        let decimals = RiseCompat {
            integers_only: false,
            ..official
        };
        for (settings, answer, text, verdicts) in [
            (whole, "2,125", "\\boxed{2,125}", [Wrong, Right]),
            (whole, "2,125", "\\boxed{2}", [Right, Wrong]),
            (nested, "18", "\\boxed{18}, boxed{{18}}", [Unreadable; 2]),
            (nested, "18", "\\boxed{18} and \\boxed{1{8", [Right; 2]),
            (nested, "18", "\\boxed{\\boxed{18}}", [Unreadable, Right]),
            (decimals, "18", "\\boxed{18.0}", [Unreadable, Right]),
            (decimals, "2.5", "\\boxed{2.50}", [Unreadable, Right]),
            (decimals, "18", "\\boxed{18 eggs}", [Unreadable; 2]),
        ] {
            let solution = format!("#### {answer}");
            let found = [official, settings].map(|settings| verdict(settings, &solution, text));
            assert_eq!(found, verdicts, "{settings:?} {solution:?} {text:?}");
        }
    }

    #[test]
    fn commas_are_listed_for_14_test_and_79_training_problems() {
        let of = |file: &str| {
            comma_answer_rows()
                .filter(|(place, ..)| place.starts_with(file))
                .count()
        };
        assert_eq!(
            (
                of("test.jsonl "),
                of("train.jsonl "),
                comma_answer_rows().count()
            ),
            (14, 79, 93)
        );
        for (place, question, answer) in comma_answer_rows() {
            assert!(
                answer.contains(',') && numeric_answer::canonical_number(answer).is_some(),
                "{place}: {answer}"
            );
            assert!(
                question.len() == 12 && question.chars().all(|c| c.is_ascii_hexdigit()),
                "{place}"
            );
        }
    }

    /// The sample of GSM8K in the repository has three such problems.
    #[test]
    fn no_right_attempt_is_right_where_the_reference_has_a_comma() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gsm8k");
        let sizes = SplitSizes {
            train: 20,
            test: 10,
            ..SplitSizes::empty(0)
        };
        let splits = TaskConfig::Gsm8k(FileTaskConfig { path })
            .load(&sizes)
            .unwrap();
        let problems: Vec<&Problem> = [Split::Train, Split::Test]
            .iter()
            .flat_map(|&split| splits.problems(split))
            .collect();
        let graded = |settings: RiseCompat, text: &dyn Fn(&Problem) -> String| -> Vec<&str> {
            let grader = GraderConfig::RiseCompat(settings);
            let right = problems
                .iter()
                .filter(|problem| grader.grade(problem, &text(problem)).verdict.is_right());
            right.map(|problem| problem.answer.as_str()).collect()
        };
        let correct = |problem: &Problem| format!("\\boxed{{{}}}", problem.answer);
        let whole = RiseCompat {
            gold_comma: false,
            ..RiseCompat::OFFICIAL
        };
        assert_eq!(graded(whole, &correct).len(), 30);
        assert_eq!(graded(RiseCompat::OFFICIAL, &correct).len(), 27);
        let mut missed: Vec<&str> = graded(whole, &correct);
        let found = graded(RiseCompat::OFFICIAL, &correct);
        missed.retain(|answer| !found.contains(answer));
        missed.sort_unstable();
        assert_eq!(missed, ["1080", "2125", "850000"]);
        let two = |_: &Problem| "\\boxed{2}".to_owned();
        assert!(
            graded(RiseCompat::OFFICIAL, &two).contains(&"2125"),
            "the digits before the comma are right"
        );
    }
}
