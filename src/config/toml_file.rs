//! Any TOML file as settings that remember where each of them is written.
//!
//! For files that are neither experiments nor base models.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::deserialize::deserialize_all;
use super::diagnostic::{ConfigError, Diagnostic, suggestions};
use super::experiment::read_text_file;
use super::spanned_value::SpannedValue;

/// A TOML file, or a part of one.
#[derive(Clone, Debug)]
pub struct TomlFile {
    path: String,
    node: SpannedValue,
}

impl TomlFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or is not TOML.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text_file(path, "is this the right path?")?;
        Ok(Self::parse(&path.display().to_string(), &text)?)
    }

    /// Reads a text that people know under a name.
    ///
    /// # Errors
    /// If it is not TOML.
    pub fn parse(name: &str, text: &str) -> Result<Self, Diagnostic> {
        Ok(Self {
            path: String::new(),
            node: SpannedValue::parse(name, text)?,
        })
    }

    /// A file without settings.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            path: String::new(),
            node: SpannedValue::empty(),
        }
    }

    /// The settings.
    ///
    /// # Errors
    /// All separate faults, each with its place.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, Vec<Diagnostic>> {
        deserialize_all(&self.node, &self.path)
    }

    /// The items of a list at the top of this part, each as a part; empty without such a list.
    #[must_use]
    pub fn items(&self, name: &str) -> Vec<Self> {
        let items = self
            .node
            .get(name)
            .map(SpannedValue::items)
            .unwrap_or_default();
        items
            .iter()
            .enumerate()
            .map(|(at, node): (usize, &SpannedValue)| Self {
                path: super::spanned_value::join_path(&self.path, &format!("{name}[{at}]")),
                node: node.clone(),
            })
            .collect()
    }

    /// Whether there is a value at the end of these steps.
    #[must_use]
    pub fn contains(&self, steps: &[&str]) -> bool {
        self.walk(steps, |_| {}).is_some()
    }

    /// A fault of the value at the end of these steps (names of members, numbers of items), or of the
    /// innermost part around it.
    #[must_use]
    pub fn diagnostic(&self, steps: &[&str], complaint: impl Into<String>) -> Diagnostic {
        let mut span = self.node.span.as_ref();
        self.walk(steps, |node| span = node.span.as_ref().or(span));
        Diagnostic::new(self.dotted_path(steps), complaint).with_span(span)
    }

    /// A fault of the value at the end of these steps, which is not one of the possible values.
    #[must_use]
    pub fn unknown_value(
        &self,
        steps: &[&str],
        complaint: impl Into<String>,
        given: &str,
        known: &[&str],
    ) -> Diagnostic {
        let diagnostic = self.diagnostic(steps, complaint);
        suggestions(given, known)
            .into_iter()
            .fold(diagnostic, Diagnostic::with_hint)
    }

    /// The same of the *name* of a member, which does not exist.
    #[must_use]
    pub fn unknown_key(
        &self,
        steps: &[&str],
        complaint: impl Into<String>,
        known: &[&str],
    ) -> Diagnostic {
        let node = self.walk(steps, |_| {});
        let given = steps.last().copied().unwrap_or_default();
        let diagnostic = Diagnostic::new(self.dotted_path(steps), complaint)
            .with_span(node.and_then(|node| node.key_span.as_ref()))
            .with_span(self.node.span.as_ref());
        suggestions(given, known)
            .into_iter()
            .fold(diagnostic, Diagnostic::with_hint)
    }

    /// The node at the end of the steps, telling of each one on the way.
    fn walk<'n>(
        &'n self,
        steps: &[&str],
        mut on_the_way: impl FnMut(&'n SpannedValue),
    ) -> Option<&'n SpannedValue> {
        steps.iter().try_fold(&self.node, |node, step| {
            let next = node.get(step)?;
            on_the_way(next);
            Some(next)
        })
    }

    fn dotted_path(&self, steps: &[&str]) -> String {
        steps.iter().fold(self.path.clone(), |path, step| {
            match step.parse::<usize>() {
                Ok(item) => format!("{path}[{item}]"),
                Err(_) => super::spanned_value::join_path(&path, step),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SizeRow {
        size: u32,
    }

    fn rows(text: &str) -> Vec<TomlFile> {
        TomlFile::parse("rows.toml", text).unwrap().items("row")
    }

    #[test]
    fn items_are_read_one_by_one_and_know_their_number() {
        let rows = rows("[[row]]\nsize = 1\n[[row]]\nszie = 2\n");
        assert_eq!(rows[0].deserialize::<SizeRow>().unwrap().size, 1);
        insta::assert_snapshot!(rows[1].deserialize::<SizeRow>().unwrap_err()[0], @r"
        rows.toml:4:1: `row[1].szie`: unknown field
          |
        4 | szie = 2
          | ^^^^
          = did you mean `size`?
          = valid here: `size`.
        ");
    }

    #[test]
    fn a_value_and_a_name_are_shown_where_they_are_written() {
        let rows = rows("[[row]]\nright = [{ where = { \"a.b\" = \"exp\" } }]\n");
        let steps = ["right", "0", "where", "a.b"];
        insta::assert_snapshot!(rows[0].unknown_value(&steps, "no such value", "exp", &["exp(0.4)", "uniform"]), @r#"
        rows.toml:2:30: `row[0].right[0].where.a.b`: no such value
          |
        2 | right = [{ where = { "a.b" = "exp" } }]
          |                              ^^^^^
          = did you mean `exp(0.4)`?
          = valid here: `exp(0.4)`, `uniform`.
        "#);
        insta::assert_snapshot!(rows[0].unknown_key(&steps, "no such axis", &["a.c"]), @r#"
        rows.toml:2:22: `row[0].right[0].where.a.b`: no such axis
          |
        2 | right = [{ where = { "a.b" = "exp" } }]
          |                      ^^^^^
          = did you mean `a.c`?
          = valid here: `a.c`.
        "#);
        insta::assert_snapshot!(rows[0].diagnostic(&["right", "0", "metric"], "is required"), @r#"
        rows.toml:2:10: `row[0].right[0].metric`: is required
          |
        2 | right = [{ where = { "a.b" = "exp" } }]
          |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#);
    }
}
