//! The official environment for MATH: the last box of attempt and solution, spelled alike.

use crate::data::graders::boxed;
use crate::data::graders::latex::{
    AFTER_UNITS, BEFORE_UNITS, PythonException, UNIT_PREFIX, brace_fractions, brace_roots,
    replace_all, right_side,
};
use crate::domain::{Grade, GradeVerdict, Problem};

use super::{RiseCompat, python};

/// The grade of one attempt; the answer is in the spelling that is compared.
pub(super) fn grade(settings: RiseCompat, problem: &Problem, text: &str) -> Grade {
    let content = last_box(settings, text).or_else(|| settings.answer_after_marker(text));
    let gold = match problem.solution.as_deref() {
        Some(solution) => last_box(settings, solution),
        None => Some(problem.answer.as_str()),
    };
    let verdict = match (content, gold) {
        (Some(content), Some(gold)) if same_spelling(content, gold) => GradeVerdict::Right,
        (None, None) if settings.none_equals_none => GradeVerdict::Right,
        (None, _) if !settings.unreadable_is_wrong => GradeVerdict::Unreadable,
        _ => GradeVerdict::Wrong,
    };
    let answer = content.map(|content| {
        normalize_spelling(content).unwrap_or_else(|PythonException| content.to_owned())
    });
    Grade { answer, verdict }
}

fn last_box(settings: RiseCompat, text: &str) -> Option<&str> {
    if settings.flat_braces {
        last_flat_box(text)
    } else {
        boxed::last_boxed(text, &["boxed"], false)
    }
}

/// The last match of `boxed\{((?:[^{}]|(?:{[^}]*}))*)\}`: a `{` in the box reaches to the next `}`,
/// whatever is between.
fn last_flat_box(text: &str) -> Option<&str> {
    let (mut last, mut rest) = (None, text);
    while let Some((_, after)) = rest.split_once("boxed{") {
        rest = match flat_box_end(after) {
            Some(end) => {
                last = Some(&after[..end]);
                &after[end + 1..]
            }
            None => after,
        };
    }
    last
}

fn flat_box_end(inside: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(step) = inside[at..].find(['{', '}']) {
        at += step;
        if inside[at..].starts_with('}') {
            return Some(at);
        }
        at += inside[at..].find('}')? + 1;
    }
    None
}

/// Whether both are spelled alike; where the spelling of one raises an exception, whether they are
/// the same raw text.
fn same_spelling(one: &str, other: &str) -> bool {
    match (normalize_spelling(one), normalize_spelling(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// The one spelling, by the official code's steps in its order.
fn normalize_spelling(text: &str) -> Result<String, PythonException> {
    let text = replace_all(text, &BEFORE_UNITS);
    let mut text = replace_all(strip_unit(&text)?, &AFTER_UNITS);
    if text.is_empty() {
        return Ok(text);
    }
    if text.starts_with('.') {
        text.insert(0, '0');
    }
    let text = brace_roots(right_side(&text))?.replace(' ', "");
    let text = brace_fractions(&text)?;
    let half = text == "0.5";
    Ok(slash_to_frac(if half { "\\frac{1}{2}" } else { &text }))
}

/// The text before the unit; two units raise an exception.
fn strip_unit(text: &str) -> Result<&str, PythonException> {
    match text.split_once(UNIT_PREFIX) {
        None => Ok(text),
        Some((number, rest)) if !rest.contains(UNIT_PREFIX) => Ok(number),
        Some(_) => Err(PythonException),
    }
}

/// `3/4` as `\frac{3}{4}`, if both are integers as Python writes them.
fn slash_to_frac(text: &str) -> String {
    match text.split_once('/') {
        Some((above, below)) if [above, below].into_iter().all(is_python_integer) => {
            format!("\\frac{{{above}}}{{{below}}}")
        }
        _ => text.to_owned(),
    }
}

fn is_python_integer(text: &str) -> bool {
    python::parse_int(text).is_some_and(|integer| integer == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(one: &str, other: &str) -> bool {
        assert_eq!(same_spelling(one, other), same_spelling(other, one));
        same_spelling(one, other)
    }

    #[test]
    fn a_box_ends_where_one_level_of_braces_ends() {
        for (text, content) in [
            ("\\boxed{5}", Some("5")),
            ("\\boxed{\\frac{1}{2}}", Some("\\frac{1}{2}")),
            ("\\boxed{\\frac{\\sqrt{3}}{2}}", Some("\\frac{\\sqrt{3}")),
            ("\\boxed{1} \\boxed{2}", Some("2")),
            ("\\boxed{1} \\boxed{2", Some("1")),
            ("\\boxed{ { boxed{5}", Some("5")),
            ("\\boxed{}", Some("")),
            ("\\boxed 5", None),
            ("\\fbox{5}", None),
            ("5", None),
        ] {
            assert_eq!(last_flat_box(text), content, "{text:?}");
        }
    }

    #[test]
    fn what_is_equal() {
        for (one, other) in [
            ("1/2", "\\frac12"),
            ("0.5", "\\frac{1}{2}"),
            (".5", "\\frac{1}{2}"),
            ("-1/2", "\\frac{-1}{2}"),
            ("5\\text{ cm}", "5"),
            ("50\\%", "50"),
            ("(1,2)", "(1, 2)"),
            ("90^\\circ", "90"),
            ("90^{\\circ}", "90"),
            ("\\$5", "5"),
            ("x = 5", "5"),
            ("k=5", "5"),
            ("\\sqrt3", "\\sqrt{3}"),
            ("\\dfrac{1}{2}", "\\tfrac{1}{2}"),
            ("\\frac1{72}", "\\frac{1}{72}"),
            ("\\left(1,2\\right)", "(1,2)"),
            ("1\\!000", "1000"),
            ("a\nb", "ab"),
            ("\\\\pi", "\\pi"),
            ("{.5}", "{0.5}"),
            ("1 + .5", "1+0.5"),
            ("\\sqrt", "\\sqrt"),
        ] {
            assert!(alike(one, other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_not_equal() {
        for (one, other) in [
            ("5", "5.0"),
            ("10,000", "10000"),
            ("10{,}000", "10,000"),
            ("0.25", "\\frac{1}{4}"),
            ("-\\frac{1}{2}", "\\frac{-1}{2}"),
            ("\\text{A}", "A"),
            ("5\\text{cm}", "5"),
            ("x^2+1", "1+x^2"),
            ("1,2", "2,1"),
            ("01/2", "\\frac{1}{2}"),
            ("+1/2", "\\frac{1}{2}"),
            ("\\frac{72}1", "\\frac{72}{1}"),
            ("xyz=5", "5"),
            // Two units, and a root or a fraction of nothing, raise exceptions: raw texts are compared.
            ("5\\text{ a}\\text{ b}", "5"),
            ("2\\sqrt", "2 \\sqrt"),
            ("2\\frac", "2 \\frac"),
        ] {
            assert!(!alike(one, other), "{one} {other}");
        }
    }

    fn problem(solution: Option<&str>) -> Problem {
        let (id, question) = ("p/1".to_owned(), "Evaluate.".to_owned());
        Problem {
            id,
            question,
            answer: "x^2".to_owned(),
            solution: solution.map(str::to_owned),
        }
    }

    #[test]
    fn each_fault_can_be_switched_off() {
        use GradeVerdict::{Right, Unreadable, Wrong};
        let official = RiseCompat::OFFICIAL;
        let nested = RiseCompat {
            flat_braces: false,
            ..official
        };
        let strict = RiseCompat {
            none_equals_none: false,
            ..official
        };
        let unread = RiseCompat {
            unreadable_is_wrong: false,
            none_equals_none: false,
            ..official
        };
        let root = Some("\\boxed{\\frac{\\sqrt{3}}{2}}");
        for (settings, solution, text, with, without) in [
            (nested, root, "\\boxed{\\frac{\\sqrt{3}}{5}}", Right, Wrong),
            (nested, root, "\\boxed{\\frac{\\sqrt3}{2}}", Wrong, Right),
            (strict, Some("no box"), "none either", Right, Wrong),
            (unread, Some("no box"), "none either", Right, Unreadable),
            (unread, Some("\\boxed{5}"), "none", Wrong, Unreadable),
            (unread, Some("no box"), "\\boxed{5}", Wrong, Wrong),
            (unread, None, "\\boxed{x^2}", Right, Right),
        ] {
            let verdict = |settings| grade(settings, &problem(solution), text).verdict;
            assert_eq!(verdict(official), with, "{text:?}");
            assert_eq!(verdict(settings), without, "{settings:?} {text:?}");
        }
    }
}
