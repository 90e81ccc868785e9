//! Finding `\boxed{…}` with balanced braces.
//!
//! Knows braces and nothing of their content.

/// The argument of the last of `commands` that is complete: `{…}` with balanced braces, or, where
/// `bare` is set, the text without braces up to the next space, `$` or end of line.
///
/// A box that is never closed, as in a text that was cut off, is passed over.
pub(super) fn last_boxed<'t>(text: &'t str, commands: &[&str], bare: bool) -> Option<&'t str> {
    let mut places: Vec<(usize, usize)> = commands
        .iter()
        .flat_map(|command| {
            text.match_indices(command)
                .map(|(at, found)| (at, at + found.len()))
        })
        .collect();
    places.sort_unstable();
    places
        .into_iter()
        .rev()
        .find_map(|(_, after)| box_content(&text[after..], bare))
}

fn box_content(rest: &str, bare: bool) -> Option<&str> {
    let trimmed = rest.trim_start_matches(' ');
    match trimmed.strip_prefix('{') {
        Some(inside) => balanced_content(inside),
        // `\boxedfive` is another command, `\boxed5` and `\boxed 5` are boxes.
        None if bare && !rest.starts_with(char::is_alphabetic) => {
            let end = trimmed
                .find(|c: char| c.is_whitespace() || c == '$')
                .unwrap_or(trimmed.len());
            let bare = trimmed[..end].trim_end_matches(['.', ',', ';']);
            (!bare.is_empty()).then_some(bare)
        }
        None => None,
    }
}

/// The text before the brace that closes an open one; `\{` and `\}` are no braces.
fn balanced_content(inside: &str) -> Option<&str> {
    let (mut depth, mut escaped) = (1_usize, false);
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&inside[..at]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complete_box_is_found_with_all_its_braces() {
        let found = |text| last_boxed(text, &["\\boxed", "\\fbox"], true);
        for (text, content) in [
            ("so \\boxed{5}.", Some("5")),
            ("\\boxed{5} or \\boxed{6}", Some("6")),
            ("\\fbox{7}", Some("7")),
            ("\\boxed {7}", Some("7")),
            (
                "\\boxed{\\frac{\\sqrt{3}}{2}} done",
                Some("\\frac{\\sqrt{3}}{2}"),
            ),
            ("\\boxed{\\{1, 2\\}}", Some("\\{1, 2\\}")),
            ("\\boxed{1\\\\}", Some("1\\\\")),
            ("\\boxed{\\boxed{8}}", Some("8")),
            ("$\\boxed 5$ apples", Some("5")),
            ("\\boxed5.", Some("5")),
            ("\\boxed \\frac12 of it", Some("\\frac12")),
            ("\\boxed{5} and then \\boxed{6", Some("5")),
            ("\\boxed{}", Some("")),
            ("\\boxedfive", None),
            ("boxed{5}", None),
            ("\\boxed $", None),
            ("\\boxed{5", None),
            ("", None),
        ] {
            assert_eq!(found(text), content, "{text:?}");
        }
        assert_eq!(last_boxed("boxed 5", &["boxed"], false), None);
    }
}
