//! Reading a number from text, in one canonical form.
//!
//! Numbers stay text from end to end: no floating point and no evaluation, so that `0.1` and `1080`
//! are compared exactly and an attempt can never run anything.

/// The mark before the final answer, as GSM8K's solutions have it (Cobbe et al. 2021).
pub(super) const ANSWER_MARKER: &str = "####";

/// The answer that a text states: the first number after the last `####`, on the same line.
///
/// Currency signs, thousands commas, units, a percent sign and a trailing full stop are passed
/// over. A fraction such as `1/2` is no decimal number and counts as no answer, rather than as 1.
pub(super) fn extract_answer(text: &str) -> Option<String> {
    let (_, after) = text.rsplit_once(ANSWER_MARKER)?;
    let line = after.split('\n').next().unwrap_or_default();
    let start = number_start(line)?;
    let (number, rest) = leading_number(&line[start..])?;
    let rest = rest.trim_start_matches(' ');
    if rest
        .strip_prefix('/')
        .is_some_and(|below| below.trim_start().starts_with(|c: char| c.is_ascii_digit()))
    {
        return None;
    }
    Some(with_sign(is_negative(&line[..start]), number))
}

/// The canonical form of a text that is a number and nothing else: no plus sign, no commas, no
/// leading zeros, no zeros at the end of the decimals, no `-0`.
pub(super) fn canonical_number(text: &str) -> Option<String> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if number_start(digits)? != 0 {
        return None;
    }
    let (number, rest) = leading_number(digits)?;
    (rest.is_empty() || rest == ".").then(|| with_sign(negative, number))
}

/// Where the first number begins: at a digit, or at a decimal point before one.
fn number_start(line: &str) -> Option<usize> {
    let digit = line.find(|c: char| c.is_ascii_digit())?;
    Some(if line[..digit].ends_with('.') {
        digit - 1
    } else {
        digit
    })
}

/// The number at the beginning of a text, without sign and in canonical form, and the rest.
fn leading_number(text: &str) -> Option<(String, &str)> {
    let (mut whole, mut rest) = split_digits(text);
    let mut digits = whole.to_owned();
    while let Some(group) = thousands_group(rest) {
        digits.push_str(group);
        rest = &rest[4..];
    }
    whole = digits.trim_start_matches('0');
    let decimals = match rest.strip_prefix('.').map(split_digits) {
        Some((decimals, after)) if !decimals.is_empty() => {
            rest = after;
            decimals.trim_end_matches('0')
        }
        _ if digits.is_empty() => return None,
        _ => "",
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    let number = if decimals.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{decimals}")
    };
    Some((number, rest))
}

/// The digits at the beginning of a text, and the rest.
fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

/// The three digits after a thousands comma; `3, 4` and `1,0805` have none.
fn thousands_group(text: &str) -> Option<&str> {
    let (digits, _) = split_digits(text.strip_prefix(',')?);
    (digits.len() == 3).then_some(digits)
}

/// Whether the text before a number makes it negative: `-5`, `-$5`, `$-5`, `- 5`, but not the
/// hyphen of `catch-22`.
fn is_negative(before: &str) -> bool {
    let minus = ['-', '\u{2212}'];
    let attached = before.trim_end_matches(['$', '€', '£']);
    if let Some(ahead) = attached.strip_suffix(minus) {
        return !ahead.ends_with(char::is_alphanumeric);
    }
    attached
        .trim_end()
        .strip_suffix(minus)
        .is_some_and(|ahead| ahead.trim().is_empty())
}

fn with_sign(negative: bool, number: String) -> String {
    if negative && number != "0" {
        format!("-{number}")
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (line, answer) in [
            (" 36", "36"),
            ("36", "36"),
            (" 36.", "36"),
            (" 36 cards", "36"),
            (" 1,080", "1080"),
            (" $1,080.00", "1080"),
            (" 109,200,000", "109200000"),
            (" 5.50", "5.5"),
            (" .5", "0.5"),
            (" $.50", "0.5"),
            (" 007", "7"),
            (" 0.0", "0"),
            (" -0", "0"),
            (" 15%", "15"),
            (" -5", "-5"),
            (" - 5", "-5"),
            (" -$5", "-5"),
            (" $-5", "-5"),
            (" \u{2212}5", "-5"),
            (" **-5**", "-5"),
            (" a loss: -5 dollars", "-5"),
            (" catch-22", "22"),
            (" 3, 4", "3"),
            (" 1,0805", "1"),
            (" 2+16=18", "2"),
            (" The answer is 18.", "18"),
        ] {
            assert_eq!(
                extract_answer(&format!("8-6=2\n####{line}\n99")).as_deref(),
                Some(answer),
                "{line:?}"
            );
        }
    }

    #[test]
    fn the_last_mark_counts_and_only_its_own_line() {
        assert_eq!(
            extract_answer("#### 5\n2+2=4\n#### 4").as_deref(),
            Some("4")
        );
        assert_eq!(extract_answer("#### 5\n####\n4"), None);
        assert_eq!(extract_answer("the answer is 4"), None);
        assert_eq!(extract_answer("#### none"), None);
        assert_eq!(extract_answer("#### 1/2"), None);
        assert_eq!(extract_answer("#### 3 / 4 of it"), None);
        assert_eq!(extract_answer("#### ."), None);
        assert_eq!(extract_answer(""), None);
    }

    #[test]
    fn a_reference_answer_is_a_number_and_nothing_else() {
        assert_eq!(canonical_number(" 1,080 ").as_deref(), Some("1080"));
        assert_eq!(canonical_number("-10").as_deref(), Some("-10"));
        assert_eq!(canonical_number("+51.0").as_deref(), Some("51"));
        for text in [
            "", "ten", "$5", "5 cards", "1/2", "--5", "1e20", "-", ".", "3-4", "1,08",
        ] {
            assert_eq!(canonical_number(text), None, "{text:?}");
        }
    }

    fn with_commas(digits: &str) -> String {
        let first = (digits.len() + 2) % 3 + 1;
        let groups: Vec<_> = std::iter::once(&digits[..first])
            .chain(
                (first..digits.len())
                    .step_by(3)
                    .map(|at| &digits[at..at + 3]),
            )
            .collect();
        groups.join(",")
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,40}", line in "[-#$€0-9.,/ a−]{0,20}") {
            for text in [&text, &line, &format!("####{text}"), &format!("####{line}")] {
                if let Some(answer) = extract_answer(text) {
                    prop_assert_eq!(canonical_number(&answer), Some(answer.clone()), "{:?}", text);
                }
                if let Some(number) = canonical_number(text) {
                    prop_assert_eq!(canonical_number(&number), Some(number.clone()), "{:?}", text);
                }
            }
        }

        #[test]
        fn every_spelling_of_a_number_is_one_number(
            value in any::<i64>(), sign in prop::sample::select(vec!["", "$", "€"]),
            zeros in "0{0,3}", decimals in "(\\.0{0,3})?", unit in "(%| cards| dollars\\.)?",
        ) {
            let minus = if value < 0 { "-" } else { "" };
            let digits = value.unsigned_abs().to_string();
            for number in [format!("{zeros}{digits}"), with_commas(&digits)] {
                let text = format!("so it is\n#### {minus}{sign}{number}{decimals}{unit}");
                prop_assert_eq!(extract_answer(&text), Some(value.to_string()), "{:?}", text);
            }
        }

        #[test]
        fn decimals_are_kept_exactly(whole in 0_u32.., decimals in "[0-9]{0,20}[1-9]", zeros in "0{0,3}") {
            let number = format!("{whole}.{decimals}");
            prop_assert_eq!(extract_answer(&format!("#### {number}{zeros}")), Some(number));
        }
    }
}
