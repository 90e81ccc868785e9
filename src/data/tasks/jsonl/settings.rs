//! Settings of a task in the user's own JSONL files: the files, and the meaning of fields.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::data::GraderConfig;

/// Problems in JSONL files, one object a line.
///
/// Fields are named as they are, or by a path with dots, `meta.answer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonlTaskConfig {
    /// The file behind every split but the test split; a task that is only evaluated on needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// The file of the test split.
    pub test: PathBuf,
    /// The field of the question.
    pub question: String,
    /// The field of the answer: a text or a number.
    pub answer: String,
    /// The field of a worked solution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solution: Option<String>,
    /// The field of a name that no other problem has; the line number serves without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A regular expression whose one group takes the answer out of its field; the last match counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// How answers are read: `numeric` or `boxed-latex`.
    #[serde(default)]
    pub grader: GraderConfig,
    /// Its name in ids and reports; `jsonl` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl JsonlTaskConfig {
    /// The first fault of these settings, as field and complaint.
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        let empty = |text: &str| text.trim().is_empty();
        let files = [("test", Some(&self.test)), ("train", self.train.as_ref())];
        for (field, path) in files {
            if path.is_some_and(|path| path.as_os_str().is_empty()) {
                return Some((field, "is empty: give the place of the file".to_owned()));
            }
        }
        if self.train.as_ref() == Some(&self.test) {
            let file = self.test.display();
            return Some((
                "test",
                format!("= {file}: is the training file too; give each its own file"),
            ));
        }
        let fields = [
            ("question", Some(&self.question)),
            ("answer", Some(&self.answer)),
            ("solution", self.solution.as_ref()),
            ("id", self.id.as_ref()),
        ];
        for (field, name) in fields {
            if name.is_some_and(|name| empty(name)) {
                return Some((field, "is empty: give the name of a field".to_owned()));
            }
        }
        self.name_error()
            .or_else(|| self.grader_error())
            .or_else(|| self.answer_regex().err())
    }

    fn name_error(&self) -> Option<(&'static str, String)> {
        let name = self.name.as_ref()?;
        let fault = if name.is_empty()
            || !name
                .chars()
                .all(|c: char| c.is_alphanumeric() || "-_.".contains(c))
        {
            "use letters, digits, `-`, `_` and `.`"
        } else if RESERVED_NAMES.contains(&name.as_str()) || name.starts_with(GENERATED_PREFIX) {
            "is the name of another task"
        } else {
            return None;
        };
        Some(("name", format!("= {name:?}: {fault}")))
    }

    fn grader_error(&self) -> Option<(&'static str, String)> {
        matches!(self.grader, GraderConfig::RiseCompat(_)).then(|| {
            let fault = "= rise-compat: it reads references of its own form only; take `numeric` or `boxed-latex` \
                         here, and name it as the run's `grader`";
            ("grader", fault.to_owned())
        })
    }

    /// The pattern, if there is one, or its fault.
    pub(super) fn answer_regex(&self) -> Result<Option<Regex>, (&'static str, String)> {
        let Some(pattern) = &self.pattern else {
            return Ok(None);
        };
        let fault = |what: String| ("pattern", format!("= {pattern:?}: {what}"));
        let regex = Regex::new(pattern).map_err(|error| {
            // The message shows the pattern on several lines; its last line has the cause.
            let text = error.to_string();
            let what = text.lines().last().unwrap_or_default();
            fault(format!(
                "is no regular expression ({})",
                what.trim_start_matches("error: ")
            ))
        })?;
        match regex.captures_len() - 1 {
            1 => Ok(Some(regex)),
            0 => Err(fault(
                "has no group; put the answer in parentheses, as in `#### (.+)`".to_owned(),
            )),
            groups => Err(fault(format!(
                "has {groups} groups; keep the one around the answer, and write the others as `(?:...)`"
            ))),
        }
    }

    /// The name in ids and reports.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("jsonl")
    }

    /// The same without the folders of its files, which are not part of its identity.
    #[must_use]
    pub fn without_path(&self) -> Self {
        Self {
            train: self.train.as_deref().map(file_name),
            test: file_name(&self.test),
            ..self.clone()
        }
    }
}

fn file_name(path: &Path) -> PathBuf {
    path.file_name().map(PathBuf::from).unwrap_or_default()
}

/// The names of other tasks that are read from files.
const RESERVED_NAMES: [&str; 3] = ["gsm8k", "svamp", "math"];

/// How the names of generated tasks begin.
const GENERATED_PREFIX: &str = "word-problems";

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(more: &str) -> String {
        let task: JsonlTaskConfig = toml::from_str(&format!(
            "test = \"b.jsonl\"\nquestion = \"q\"\nanswer = \"a\"\n{more}"
        ))
        .unwrap();
        let (field, fault) = task.first_error().expect("there is a fault");
        format!("`{field}` {fault}")
    }

    #[test]
    fn senseless_settings_are_told() {
        insta::assert_snapshot!(fault("pattern = '(a'"), @r#"`pattern` = "(a": is no regular expression (unclosed group)"#);
        insta::assert_snapshot!(fault("pattern = 'a'"), @r#"`pattern` = "a": has no group; put the answer in parentheses, as in `#### (.+)`"#);
        insta::assert_snapshot!(fault("pattern = '(a)(b)'"), @r#"`pattern` = "(a)(b)": has 2 groups; keep the one around the answer, and write the others as `(?:...)`"#);
        insta::assert_snapshot!(fault("train = 'b.jsonl'"), @"`test` = b.jsonl: is the training file too; give each its own file");
        insta::assert_snapshot!(fault("train = ''"), @"`train` is empty: give the place of the file");
        insta::assert_snapshot!(fault("solution = ' '"), @"`solution` is empty: give the name of a field");
        insta::assert_snapshot!(fault("name = 'a/b'"), @r#"`name` = "a/b": use letters, digits, `-`, `_` and `.`"#);
        insta::assert_snapshot!(fault("name = 'gsm8k'"), @r#"`name` = "gsm8k": is the name of another task"#);
        insta::assert_snapshot!(fault("grader = 'rise-compat'"), @"`grader` = rise-compat: it reads references of its own form only; take `numeric` or `boxed-latex` here, and name it as the run's `grader`");
    }

    #[test]
    fn what_is_left_out_has_a_default_and_the_rest_is_required() {
        let task: JsonlTaskConfig =
            toml::from_str("test = \"d/b.jsonl\"\nquestion = \"q\"\nanswer = \"a\"").unwrap();
        assert_eq!(
            (task.first_error(), task.name(), task.grader),
            (None, "jsonl", GraderConfig::Numeric)
        );
        assert_eq!(task.without_path().test, PathBuf::from("b.jsonl"));
        let error =
            toml::from_str::<JsonlTaskConfig>("test = \"b.jsonl\"\nanswer = \"a\"").unwrap_err();
        assert_eq!(error.message(), "missing field `question`");
    }
}
