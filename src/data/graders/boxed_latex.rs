//! `boxed-latex`: the last box of an attempt, for problems whose answers are LaTeX, as in MATH.
//!
//! The answer is the content of the last complete `\boxed{…}` or `\fbox{…}`, braces balanced, or after
//! `\boxed` without braces; without one, the attempt is unreadable. The reference is read from the
//! problem's solution in the same way, or is its answer where the solution has no box. Two answers
//! are equal if their canonical forms are:
//!
//! - Spelling as in the normaliser that comes with MATH: spaces, `\!`, `\left`, `\right`, `\$`, `$`, `\%`
//!   and degree marks go; `\dfrac` and `\tfrac` are `\frac`; `\frac12` is `\frac{1}{2}`, `\sqrt3` is `\sqrt{3}`,
//!   `.5` is `0.5`; a unit `\text{ cm}`, which begins with a space, goes with all after it; of `x = 5`
//!   the right side stays.
//! - A number is its value, exactly: `5` = `5.0` = `10/2`, `0.5` = `1/2` = `\frac12`,
//!   `-\frac{1}{2}` = `\frac{-1}{2}` = `\frac{1}{-2}`, `10,000` = `10{,}000` = `10000`.
//! - Tuples, intervals and lists are compared part by part in their order, with their brackets:
//!   `(0.5, 1)` = `(\frac12, 1.0)`, but `(1,2)` is not `[1,2]` nor `(2,1)`. Outside brackets, `1,234` is one
//!   number rather than two; inside, every comma separates.
//!
//! All else is compared letter by letter. Not equal are `50\%` and `0.5`, `\text{A}` and `A`, `5\text{cm}`
//! and `5`, `1\frac12` and `\frac32`, `x+1` and `1+x`, `\sqrt{4}` and `2`, `\{1,2\}` and `\{2,1\}`. Fractions of
//! numbers with more than 18 digits are not reduced.

use crate::data::numeric_answer;
use crate::domain::{Grade, GradeVerdict, Problem};

use super::boxed;
use super::latex::{
    AFTER_UNITS, BEFORE_UNITS, UNIT_PREFIX, brace_fractions, brace_roots, replace_all, right_side,
};

/// Digits, decimals included, of the longest number that is taken as a fraction.
const MAX_DIGITS: usize = 18;

/// The grade of one attempt.
pub(super) fn grade(problem: &Problem, text: &str) -> Grade {
    let answer = last_boxed(text).map(canonical_answer);
    let gold = problem
        .solution
        .as_deref()
        .and_then(last_boxed)
        .unwrap_or(&problem.answer);
    let verdict = match &answer {
        None => GradeVerdict::Unreadable,
        Some(answer) if *answer == canonical_answer(gold) => GradeVerdict::Right,
        Some(_) => GradeVerdict::Wrong,
    };
    Grade { answer, verdict }
}

/// The content of the last complete box.
pub(in crate::data) fn last_boxed(text: &str) -> Option<&str> {
    boxed::last_boxed(text, &["\\boxed", "\\fbox"], true)
}

/// The one form of all equal answers.
fn canonical_answer(text: &str) -> String {
    let text = normalize_spelling(text);
    for (open, close) in [('(', ')'), ('[', ']'), ('(', ']'), ('[', ')')] {
        let Some(parts) = text
            .strip_prefix(open)
            .and_then(|text| text.strip_suffix(close))
            .and_then(split_list)
            .filter(|parts| parts.len() > 1)
        else {
            continue;
        };
        return format!("{open}{}{close}", join_list(&parts));
    }
    match (canonical_number(&text), split_list(&text)) {
        (Some(number), _) => number,
        (None, Some(parts)) => join_list(&parts),
        (None, None) => text,
    }
}

fn join_list(parts: &[&str]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|part| canonical_number(part).unwrap_or_else(|| (*part).to_owned()))
        .collect();
    parts.join(",")
}

/// The spelling; steps that cannot be taken are left out.
fn normalize_spelling(text: &str) -> String {
    let text = replace_all(text, &BEFORE_UNITS)
        .replace('$', "")
        .replace("{,}", ",");
    let number = text.split(UNIT_PREFIX).next().unwrap_or_default();
    let mut text = replace_all(number, &AFTER_UNITS).trim().to_owned();
    if text.starts_with('.') {
        text.insert(0, '0');
    }
    let right = right_side(&text);
    let text = brace_roots(right)
        .unwrap_or_else(|_| right.to_owned())
        .replace(' ', "");
    brace_fractions(&text).unwrap_or(text)
}

/// The parts between commas outside all brackets; `None` where brackets do not fit together.
fn split_list(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (depth == 0).then_some(parts)
}

/// The canonical form of a number: `5`, `-1/2`; a decimal that is too long for a fraction stays one.
fn canonical_number(text: &str) -> Option<String> {
    let (negative, size) = split_sign(text);
    let (above, below) = match split_fraction(size) {
        Some((above, below)) => (above, below),
        None => (size, "1"),
    };
    // A second sign belongs to a part of a fraction only.
    if below == "1" && above == size && split_sign(size).1 != size {
        return None;
    }
    let (Some(above_value), Some(below_value)) = (parse_decimal(above), parse_decimal(below))
    else {
        let long = numeric_answer::canonical_number(text)?;
        return Some(long);
    };
    // (a / 10^b) / (c / 10^d) = a 10^d / (c 10^b), less than 10^36 each.
    let mut above = above_value.0 * below_value.1;
    let mut below = below_value.0 * above_value.1;
    if below == 0 {
        return None;
    }
    if negative != (below < 0) {
        above = -above;
    }
    below = below.abs();
    let common = greatest_common_divisor(above.abs(), below);
    let (above, below) = (above / common, below / common);
    Some(if below == 1 {
        above.to_string()
    } else {
        format!("{above}/{below}")
    })
}

/// Whether a minus sign comes first, and the rest.
fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix(['-', '\u{2212}']) {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// The numerator and the denominator of `\frac{a}{b}` and of `a/b`.
fn split_fraction(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix("\\frac{") {
        Some(rest) => rest.strip_suffix('}')?.split_once("}{"),
        None => text.split_once('/'),
    }
}

/// A decimal as (digits, power of ten below them), at most [`MAX_DIGITS`] digits.
fn parse_decimal(text: &str) -> Option<(i128, i128)> {
    let plain = numeric_answer::canonical_number(text)?;
    let (whole, decimals) = plain.split_once('.').unwrap_or((&plain, ""));
    let digits = format!("{whole}{decimals}");
    if digits.trim_start_matches('-').len() > MAX_DIGITS {
        return None;
    }
    Some((digits.parse().ok()?, 10_i128.pow(decimals.len() as u32)))
}

/// Euclid's algorithm; `b` is not 0.
fn greatest_common_divisor(mut a: i128, mut b: i128) -> i128 {
    while a != 0 {
        (a, b) = (b % a, a);
    }
    b
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn equal(one: &str, other: &str) -> bool {
        canonical_answer(one) == canonical_answer(other)
    }

    fn assert_all_equal(pairs: &[(&str, &str)]) {
        for (one, other) in pairs {
            let (first, second) = (canonical_answer(one), canonical_answer(other));
            assert!(equal(one, other), "{one} {other}: {first} {second}");
        }
    }

    #[test]
    fn forms_that_the_official_code_lists_are_equal() {
        assert_all_equal(&[
            ("1/2", "\\frac12"),
            ("0.5", "\\frac{1}{2}"),
            (".5", "0.5"),
            ("5\\text{ cm}", "5"),
            ("5\\text{ cm}\\text{ long}", "5"),
            ("50\\%", "50"),
            ("(1,2)", "(1, 2)"),
            ("90^\\circ", "90"),
            ("x = 5", "5"),
            ("\\sqrt3", "\\sqrt{3}"),
            ("\\left(\\dfrac12, 3\\right)", "(\\frac{1}{2},3)"),
        ]);
    }

    #[test]
    fn more_forms_of_one_number_or_tuple_are_equal() {
        assert_all_equal(&[
            ("5", "5.0"),
            ("5", "10/2"),
            ("10,000", "10000"),
            ("10{,}000", "10000"),
            ("0.25", "\\frac{1}{4}"),
            ("-\\frac{1}{2}", "\\frac{-1}{2}"),
            ("-\\frac{1}{2}", "\\frac{1}{-2}"),
            ("\\frac{1}{2}", "-\\frac{-1}{2}"),
            ("\\frac{0.1}{0.2}", "1/2"),
            ("-0", "0"),
            ("\u{2212}5", "-5"),
            ("+5", "5"),
            ("(0.5, 1)", "(\\frac12, 1.0)"),
            ("[0,1)", "[0.0,1)"),
            ("1,2", "1.0, 2"),
            ("$5$", "5"),
            ("5.", "5"),
            (
                "0.10000000000000000000000000000000000000001",
                "0.100000000000000000000000000000000000000010",
            ),
        ]);
    }

    #[test]
    fn what_is_not_equal() {
        for (one, other) in [
            ("50\\%", "0.5"),
            ("\\text{A}", "A"),
            ("5\\text{cm}", "5"),
            ("1\\frac12", "\\frac32"),
            ("x+1", "1+x"),
            ("\\sqrt{4}", "2"),
            ("(1,2)", "[1,2]"),
            ("(1,2)", "(2,1)"),
            ("1,2", "2,1"),
            ("1,2", "(1,2)"),
            ("(5)", "5"),
            ("1,234", "(1,234)"),
            ("\\{1,2\\}", "\\{2,1\\}"),
            ("\\frac{\\sqrt{3}}{2}", "\\frac{\\sqrt{3}}{5}"),
            ("--5", "5"),
            ("1/0", "2/0"),
            ("0.10000000000000000000000000000000000000001", "0.1"),
            ("", "0"),
            ("xyz=5", "5"),
        ] {
            assert!(
                !equal(one, other),
                "{one} {other}: {}",
                canonical_answer(one)
            );
        }
    }

    #[test]
    fn the_last_box_counts_and_without_one_there_is_no_answer() {
        let (id, question) = ("p/1".to_owned(), "Evaluate.".to_owned());
        let solution = Some("$\\frac{\\sqrt{12}}{4} = \\boxed{\\frac{\\sqrt{3}}{2}}$".to_owned());
        let problem = Problem {
            id,
            question,
            answer: "0.5".to_owned(),
            solution,
        };
        let verdict = |text| grade(&problem, text).verdict;
        assert_eq!(
            verdict("\\boxed{1}, so \\boxed{\\frac{\\sqrt3}{2}}"),
            GradeVerdict::Right
        );
        assert_eq!(verdict("\\fbox{\\frac{\\sqrt3}{2}}"), GradeVerdict::Right);
        assert_eq!(
            verdict("\\boxed{\\frac{\\sqrt{3}}{5}}"),
            GradeVerdict::Wrong
        );
        assert_eq!(verdict("\\frac{\\sqrt{3}}{2}"), GradeVerdict::Unreadable);
        for solution in [None, Some("half of it".to_owned())] {
            let unsolved = Problem {
                solution,
                ..problem.clone()
            };
            let graded = grade(&unsolved, "\\boxed \\frac12");
            assert_eq!(
                (graded.verdict, graded.answer.as_deref()),
                (GradeVerdict::Right, Some("1/2"))
            );
            assert_eq!(
                grade(&unsolved, "no box").verdict,
                GradeVerdict::Unreadable,
                "nothing equals nothing"
            );
        }
    }

    proptest! {
        #[test]
        fn every_spelling_of_a_fraction_is_one_number(above in -999_i64..1000, below in 1_i64..1000, times in 1_i64..50) {
            let (a, b) = (above * times, below * times);
            let plain = canonical_answer(&format!("{above}/{below}"));
            prop_assert_eq!(&canonical_answer(&format!("\\frac{{{a}}}{{{b}}}")), &plain);
            prop_assert_eq!(&canonical_answer(&format!("\\dfrac{{{}}}{{{}}}", -a, -b)), &plain);
            prop_assert_eq!(&canonical_answer(&format!("-\\frac {{ {} }}{{{b}.0}}", -a)), &plain);
            prop_assert_eq!(&canonical_answer(&plain), &plain);
            let other = canonical_answer(&format!("{}/{below}", above + 1));
            prop_assert_ne!(other, plain);
        }

        #[test]
        fn every_answer_equals_itself_and_whatever_equals_it(
            one in "(\\\\frac|\\\\sqrt|\\\\text \\\\ |[-+0-9.,/=()x %$]){0,12}", other in "[-0-9.,/]{0,4}",
        ) {
            let verdict = |gold: &str, text: &str| {
                let (id, question, answer) = ("p/1".to_owned(), "Evaluate.".to_owned(), gold.to_owned());
                let problem = Problem { id, question, answer, solution: None };
                grade(&problem, &format!("so \\boxed{{{text}}}")).verdict
            };
            prop_assert_eq!(verdict(&one, &one), GradeVerdict::Right);
            prop_assert_eq!(verdict(&one, &other), verdict(&other, &one));
        }

        #[test]
        fn decimals_are_their_value(value in -99_999_i64..99_999, zeros in "0{0,4}") {
            let decimal = format!("{}{}.{:02}{zeros}", if value < 0 { "-" } else { "" }, value.abs() / 100, value.abs() % 100);
            prop_assert_eq!(canonical_answer(&decimal), canonical_answer(&format!("{value}/100")));
            prop_assert_eq!(canonical_answer(&format!("({decimal}, x)")), canonical_answer(&format!("({value}/100,x)")));
        }
    }
}
