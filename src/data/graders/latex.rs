//! Spelling of short LaTeX answers: the steps that two graders have in common.
//!
//! The steps and their order are those of the normaliser that comes with MATH (Hendrycks et al.
//! 2021) and that the official RISE code uses. Where that code would end in an exception, a step
//! returns [`PythonException`]; the grader decides its effect.

/// The official code ends in an exception here, which it answers by comparing the raw texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PythonException;

/// Replacements before the search for units, in this order: line ends and thin spaces go, double
/// backslashes become single ones, all fractions have one size, brackets none, and degrees and
/// dollars go.
pub(super) const BEFORE_UNITS: [(&str, &str); 10] = [
    ("\n", ""),
    ("\\!", ""),
    ("\\\\", "\\"),
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    ("\\left", ""),
    ("\\right", ""),
    ("^{\\circ}", ""),
    ("^\\circ", ""),
    ("\\$", ""),
];

/// Replacements after units: percent signs go, and decimals get a digit before their point.
pub(super) const AFTER_UNITS: [(&str, &str); 3] = [("\\%", ""), (" .", " 0."), ("{.", "{0.")];

/// The beginning of a unit on the right.
pub(super) const UNIT_PREFIX: &str = "\\text{ ";

/// Replaces one thing after the other.
pub(super) fn replace_all(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The text right of the only `=`, if no more than two characters are left of it (`x = 5`).
pub(super) fn right_side(text: &str) -> &str {
    match text.split_once('=') {
        Some((left, right)) if !right.contains('=') && left.chars().count() <= 2 => right,
        _ => text,
    }
}

/// `\sqrt3` as `\sqrt{3}`: the next character gets braces if it is none.
pub(super) fn brace_roots(text: &str) -> Result<String, PythonException> {
    let mut pieces = text.split("\\sqrt");
    let mut spelled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        spelled.push_str("\\sqrt");
        let mut rest = piece.chars();
        match rest.next().ok_or(PythonException)? {
            '{' => spelled.push_str(piece),
            first => spelled.extend(["{", &first.to_string(), "}", rest.as_str()]),
        }
    }
    Ok(spelled)
}

/// `\frac12` as `\frac{1}{2}` and `\frac1{72}` as `\frac{1}{72}`; `\frac{72}1` stays, and so does the
/// whole text where a fraction has fewer than two characters left.
pub(super) fn brace_fractions(text: &str) -> Result<String, PythonException> {
    let mut pieces = text.split("\\frac");
    let mut spelled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        spelled.push_str("\\frac");
        let mut rest = piece.chars();
        let above = rest.next().ok_or(PythonException)?;
        if above == '{' {
            spelled.push_str(piece);
            continue;
        }
        spelled.extend(["{", &above.to_string(), "}"]);
        match rest.next() {
            None => return Ok(text.to_owned()),
            Some('{') => spelled.extend(["{", rest.as_str()]),
            Some(below) => spelled.extend(["{", &below.to_string(), "}", rest.as_str()]),
        }
    }
    Ok(spelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_and_roots_get_their_braces() {
        for (text, spelled) in [
            ("\\frac12", "\\frac{1}{2}"),
            ("\\frac1{72}", "\\frac{1}{72}"),
            ("\\frac{72}1", "\\frac{72}1"),
            ("\\frac34x+\\frac1b", "\\frac{3}{4}x+\\frac{1}{b}"),
            ("\\frac12+\\frac1", "\\frac12+\\frac1"),
            ("5", "5"),
        ] {
            assert_eq!(brace_fractions(text).as_deref(), Ok(spelled), "{text}");
        }
        assert_eq!(brace_fractions("2\\frac"), Err(PythonException));
        assert_eq!(
            brace_roots("2\\sqrt3+\\sqrt{5}\\sqrtx").as_deref(),
            Ok("2\\sqrt{3}+\\sqrt{5}\\sqrt{x}")
        );
        assert_eq!(brace_roots("\\sqrt"), Err(PythonException));
    }

    #[test]
    fn only_a_short_left_side_goes() {
        for (text, right) in [
            ("x=5", "5"),
            ("k =5", "5"),
            ("=5", "5"),
            ("xyz=5", "xyz=5"),
            ("a=b=c", "a=b=c"),
        ] {
            assert_eq!(right_side(text), right, "{text}");
        }
    }
}
