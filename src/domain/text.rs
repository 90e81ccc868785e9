//! Words for people that several parts of the program write: plurals and likely names.

/// `1 run`, `3 runs`.
#[must_use]
pub fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The name that was most likely meant, if any is close.
#[must_use]
pub fn nearest_name<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Just enough for one wrong letter of three.
    const MIN_SIMILARITY: f64 = 0.79;
    let name = fold_case(name);
    let scored = names
        .into_iter()
        .map(|other| (strsim::jaro_winkler(&name, &fold_case(other)), other));
    // The earliest of equals.
    scored
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, name)| name)
}

fn fold_case(text: &str) -> String {
    text.to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(
            (plural(1, "run"), plural(0, "run")),
            ("1 run".into(), "0 runs".into())
        );
    }

    #[test]
    fn only_close_names_are_suggested() {
        let names = ["uniform", "exp", "success-only"];
        assert_eq!(nearest_name("unifrom", names), Some("uniform"));
        assert_eq!(nearest_name("success_only", names), Some("success-only"));
        assert_eq!(nearest_name("zebra", names), None);
        let experiments = ["quickstart", "ablations"];
        assert_eq!(nearest_name("quikstart", experiments), Some("quickstart"));
        assert_eq!(nearest_name("ome", ["one"]), Some("one"));
    }
}
