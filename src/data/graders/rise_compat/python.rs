//! Integers as Python 3.11 reads them: `int(text)` and the classes of characters behind it.
//!
//! Knows characters and digits; nothing of problems.

/// The zeros of all runs of decimal digits (general category Nd) in Unicode 14, which Python 3.11 has.
/// Each is followed by the digits 1 to 9.
const DIGIT_ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// More digits than this, leading zeros included, are refused (`sys.get_int_max_str_digits`).
const MAX_INT_DIGITS: usize = 4300;

/// The value of a decimal digit of any script, as an ASCII digit.
pub(super) fn ascii_digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let zero = DIGIT_ZEROS[..DIGIT_ZEROS.partition_point(|&zero| zero <= code)].last()?;
    char::from_digit(code - zero, 10)
}

/// Whether `str.isspace` and the class `\s` of regular expressions take a character for space.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `int(text)` in decimal digits without leading zeros, or none where it raises `ValueError`.
///
/// Space around the number is skipped, one sign is read, single underscores may stand between
/// digits, and digits of any script count.
pub(super) fn parse_int(text: &str) -> Option<String> {
    // Python skips the separators 1c to 1f in no text, although it takes them for space elsewhere.
    let text = text.trim_matches(|c: char| c.is_whitespace());
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut whole = String::new();
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for c in group.chars() {
            whole.push(ascii_digit(c)?);
        }
    }
    if whole.len() > MAX_INT_DIGITS {
        return None;
    }
    match whole.trim_start_matches('0') {
        "" => Some("0".to_owned()),
        whole => Some(format!("{}{whole}", if negative { "-" } else { "" })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_python() {
        for (text, value) in [
            ("18", "18"),
            ("  18\n", "18"),
            ("+18", "18"),
            ("-18", "-18"),
            ("-0", "0"),
            ("007", "7"),
            ("1_080", "1080"),
            ("1_0_8", "108"),
            ("\u{663}5", "35"),
            ("\u{1d7d9}", "1"),
            ("\u{a0}5\u{2028}", "5"),
            ("\u{85}5", "5"),
        ] {
            assert_eq!(parse_int(text).as_deref(), Some(value), "{text:?}");
        }
    }

    #[test]
    fn other_texts_are_no_integers() {
        for text in [
            "",
            " ",
            "18.0",
            "$18",
            "1 8",
            "- 5",
            "--5",
            "+-5",
            "_5",
            "5_",
            "5__0",
            "-_5",
            "1e3",
            "1/2",
            "\u{2212}5",
            "\u{200b}5",
            "\u{180e}5",
            "\x1c5",
            "5\0",
            "\u{bd}",
            "\u{b2}",
            "0x10",
            "five",
        ] {
            assert_eq!(parse_int(text), None, "{text:?}");
        }
    }

    #[test]
    fn more_digits_than_python_takes_are_refused() {
        assert!(parse_int(&"1".repeat(MAX_INT_DIGITS)).is_some());
        assert!(parse_int(&"1".repeat(MAX_INT_DIGITS + 1)).is_none());
        assert!(parse_int(&"0".repeat(MAX_INT_DIGITS + 1)).is_none());
    }

    #[test]
    fn digits_of_other_scripts_come_in_tens() {
        assert!(DIGIT_ZEROS.windows(2).all(|pair| pair[0] + 10 <= pair[1]));
        assert_eq!(
            ('0'..='9').filter_map(ascii_digit).collect::<String>(),
            "0123456789"
        );
        assert_eq!(
            ['/', ':', '\u{bd}', '\u{b2}', 'a'].map(ascii_digit),
            [None; 5]
        );
    }
}
