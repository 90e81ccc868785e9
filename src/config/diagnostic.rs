//! Faults of files as people see them: place, excerpt, cause, nearest name.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::nearest_name;

/// Why a file or a setting cannot be used. The file is at fault, never the program.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read at all.
    #[error("{}: {cause}; {advice}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's message.
        cause: String,
        /// The way out.
        advice: String,
    },
    /// The file is wrong in one or more places.
    #[error("{}", listed(.0))]
    Invalid(Vec<Diagnostic>),
}

impl ConfigError {
    /// The faults found, in the order in which they should be mended.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid(diagnostics) => diagnostics,
        }
    }
}

impl From<Diagnostic> for ConfigError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Invalid(vec![diagnostic])
    }
}

fn listed(diagnostics: &[Diagnostic]) -> String {
    diagnostics
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A text and the name under which people know it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourceText {
    pub(super) name: String,
    pub(super) text: String,
}

/// Some bytes of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceSpan {
    pub(super) source: Arc<SourceText>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl SourceSpan {
    /// Line and column, both counted from 1, and the line itself.
    fn line_and_column(&self) -> (usize, usize, &str) {
        let text = &self.source.text;
        let start = text.floor_char_boundary(self.start.min(text.len()));
        let begin = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let number = text[..begin].matches('\n').count() + 1;
        let line = text[begin..].lines().next().unwrap_or_default();
        (number, text[begin..start].chars().count() + 1, line)
    }

    /// The line with carets under the bytes meant, as far as they lie on it.
    fn excerpt(&self) -> String {
        let (number, column, line) = self.line_and_column();
        let rest = line.chars().count().saturating_sub(column - 1);
        let meant = self
            .source
            .text
            .get(self.start..self.end)
            .unwrap_or_default();
        let length = meant
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            .clamp(1, rest.max(1));
        let margin = " ".repeat(number.to_string().len());
        let indent = " ".repeat(column - 1);
        let line = redact_url(line);
        format!(
            "{margin} |\n{number} | {line}\n{margin} | {indent}{}",
            "^".repeat(length)
        )
    }
}

/// A line of a file without the parts of a URL that may be a key: those before its host and behind
/// its path.
fn redact_url(line: &str) -> String {
    let quotes = ['"', '\''];
    let url = line
        .find("base_url")
        .and_then(|name| Some(name + line[name..].find(quotes)? + 1));
    let Some(from) = url else {
        return line.to_owned();
    };
    let to = line[from..]
        .find(quotes)
        .map_or(line.len(), |end| from + end);
    let url = &line[from..to];
    let behind = url.find(['?', '#']).map_or(url.len(), |at| at + 1);
    let before = url[..behind].rfind('@').unwrap_or(0);
    let scheme = url.find("://").map_or(0, |at| at + 3).min(before);
    let parts = [
        &url[..scheme],
        &hide(&url[scheme..before]),
        &url[before..behind],
        &hide(&url[behind..]),
    ];
    format!("{}{}{}", &line[..from], parts.concat(), &line[to..])
}

fn hide(text: &str) -> String {
    "*".repeat(text.chars().count())
}

impl fmt::Display for SourceSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column, _) = self.line_and_column();
        write!(f, "{}:{line}:{column}", self.source.name)
    }
}

/// The sort of fault, where it decides the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiagnosticKind {
    /// A field that does not exist at this place.
    UnknownField,
    /// A choice that does not exist.
    UnknownVariant,
    /// A required field is not there.
    MissingField,
    /// Anything else.
    Other,
}

/// One fault: its field, cause and place, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The field, as a dotted path; empty where no field is meant.
    pub path: String,
    /// The cause.
    pub message: String,
    /// Ways out, or other places to look; one sentence each.
    pub hints: Vec<String>,
    pub(super) kind: DiagnosticKind,
    pub(super) span: Option<SourceSpan>,
}

impl Diagnostic {
    /// A fault of the field at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, complaint: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: complaint.into(),
            hints: vec![],
            kind: DiagnosticKind::Other,
            span: None,
        }
    }

    /// The same fault with one more hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(super) fn with_kind(mut self, kind: DiagnosticKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says where it is written, unless a more exact place is known already.
    pub(super) fn with_span(mut self, span: Option<&SourceSpan>) -> Self {
        self.span = self.span.or_else(|| span.cloned());
        self
    }

    /// Whether another fault is the same one, met again by another way.
    #[must_use]
    pub fn has_same_cause(&self, other: &Self) -> bool {
        (&self.path, &self.message, &self.span) == (&other.path, &other.message, &other.span)
    }

    /// Puts a step in front of the path, on the way up from the value.
    pub(super) fn prefix_path(mut self, step: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{step}{joint}{}", self.path);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = &self.span {
            write!(f, "{span}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        if let Some(span) = &self.span {
            write!(f, "\n{}", span.excerpt())?;
        }
        let margin = self
            .span
            .as_ref()
            .map_or(1, |span| span.line_and_column().0.to_string().len());
        self.hints
            .iter()
            .try_for_each(|hint| write!(f, "\n{} = {hint}", " ".repeat(margin)))
    }
}

impl std::error::Error for Diagnostic {}

/// Hints for a name that does not exist: the nearest one, and all of them.
pub(super) fn suggestions(name: &str, names: &[&str]) -> Vec<String> {
    let meant =
        nearest_name(name, names.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
    let all = names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let valid = (!names.is_empty()).then(|| format!("valid here: {all}."));
    meant.into_iter().chain(valid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_url_is_not_repeated() {
        for (line, message) in [
            (
                "base_url = \"http://host/v1?key=SECRET\", model = \"m?\"",
                "base_url = \"http://host/v1?**********\", model = \"m?\"",
            ),
            (
                "base_url = 'http://me:SECRET@host/v1'",
                "base_url = 'http://*********@host/v1'",
            ),
            ("base_url = \"host/v1#SECRET", "base_url = \"host/v1#******"),
            (
                "base_url = \"http://host/v1\"",
                "base_url = \"http://host/v1\"",
            ),
            ("base = \"a?b\"", "base = \"a?b\""),
        ] {
            assert_eq!(redact_url(line), message);
        }
    }

    fn span(text: &str, start: usize, end: usize) -> SourceSpan {
        let source = SourceText {
            name: "a.toml".to_owned(),
            text: text.to_owned(),
        };
        SourceSpan {
            source: Arc::new(source),
            start,
            end,
        }
    }

    #[test]
    fn a_fault_shows_its_line_and_the_nearest_name() {
        let mut diagnostic =
            Diagnostic::new("run.colect", "unknown field").with_hint("did you mean `collect`?");
        diagnostic.span = Some(span("name = \"ä\"\n[run.colect]\n", 16, 22));
        insta::assert_snapshot!(diagnostic, @r"
        a.toml:2:5: `run.colect`: unknown field
          |
        2 | [run.colect]
          |     ^^^^^^
          = did you mean `collect`?
        ");
    }

    #[test]
    fn carets_stay_on_the_line() {
        let long = span("a = [\n 1,\n 2]", 4, 14);
        assert_eq!(long.excerpt(), "  |\n1 | a = [\n  |     ^");
        let end = span("a =", 3, 3);
        assert_eq!(end.excerpt(), "  |\n1 | a =\n  |    ^");
    }
}
