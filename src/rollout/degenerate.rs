//! Attempts that repeat themselves, by the criterion of the official code.

use std::collections::HashMap;

/// A word that occurs more often than this makes an attempt degenerate.
const MAX_WORD_REPEATS: usize = 150;
/// A word of more characters than this does too.
const MAX_WORD_LENGTH: usize = 300;

/// Whether the official code would throw an attempt away: a word (lower case, between white space)
/// that occurs more than 150 times, or one of more than 300 characters.
#[must_use]
pub fn is_degenerate(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    text.split_whitespace().any(|word| {
        let count = counts.entry(word).or_default();
        *count += 1;
        *count > MAX_WORD_REPEATS || word.chars().count() > MAX_WORD_LENGTH
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_the_official_code() {
        assert!(!is_degenerate(&"Again\tagain ".repeat(75)));
        assert!(is_degenerate(&("Again\tagain ".repeat(75) + "again")));
        assert!(!is_degenerate(&"é".repeat(300)));
        assert!(is_degenerate(&"é".repeat(301)));
        assert!(!is_degenerate(""));
        assert!(!is_degenerate("8-6=2\n2+16=18\n#### 18"));
    }
}
