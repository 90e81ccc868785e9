//! One row of a JSONL file as a problem.

use regex::Regex;
use serde_json::Value;

use crate::data::graders::last_boxed;
use crate::data::numeric_answer::{ANSWER_MARKER, canonical_number, extract_answer};
use crate::data::tasks::file_task::RowLocation;
use crate::data::{DataError, GraderConfig};
use crate::domain::Problem;

use super::JsonlTaskConfig;

/// Reads rows by the settings of a task.
pub(super) struct JsonlRowParser<'a> {
    task: &'a JsonlTaskConfig,
    pattern: Option<Regex>,
}

impl<'a> JsonlRowParser<'a> {
    /// A reader, or the fault of the pattern, as field and complaint.
    pub(super) fn new(task: &'a JsonlTaskConfig) -> Result<Self, (&'static str, String)> {
        Ok(Self {
            task,
            pattern: task.answer_regex()?,
        })
    }

    /// The problem in a row.
    pub(super) fn parse_problem(
        &self,
        row: &Value,
        location: RowLocation<'_>,
        file: &str,
    ) -> Result<Problem, DataError> {
        let question = required_text(row, &self.task.question, location)?
            .trim()
            .to_owned();
        let answer =
            self.extract_answer(&required_text(row, &self.task.answer, location)?, location)?;
        let solution = self
            .task
            .solution
            .as_ref()
            .map(|field| required_text(row, field, location))
            .transpose()?;
        let solution = solution.map(|solution| self.solution_with_answer(&solution, &answer));
        let name = match &self.task.id {
            Some(field) => required_text(row, field, location)?.trim().to_owned(),
            None => format!("{file}/{}", location.number),
        };
        Ok(Problem {
            id: format!("{}/{name}", self.task.name()),
            question,
            answer,
            solution,
        })
    }

    /// The answer that a field's text holds.
    fn extract_answer(&self, whole: &str, location: RowLocation<'_>) -> Result<String, DataError> {
        let field = &self.task.answer;
        let found = match &self.pattern {
            None => whole,
            Some(pattern) => last_match(pattern, whole).ok_or_else(|| {
                location.row_error(format!(
                    "`{field}` is {}, where the pattern `{pattern}` matches nothing; mend the pattern or the row",
                    truncate(whole)
                ))
            })?,
        };
        let found = found.trim();
        let unreadable = |what: &str| {
            let remedy = if self.pattern.is_none() {
                ", give a `pattern` that takes the answer out"
            } else {
                ""
            };
            location.row_error(format!(
                "the answer {} in `{field}` {what}; mend it{remedy}, or take the row out",
                truncate(found)
            ))
        };
        match self.task.grader {
            GraderConfig::Numeric => {
                canonical_number(found).ok_or_else(|| unreadable("is not a number"))
            }
            GraderConfig::BoxedLatex | GraderConfig::RiseCompat(_) => {
                let found = last_boxed(found).unwrap_or(found).trim();
                if found.is_empty() {
                    Err(unreadable("is empty"))
                } else {
                    Ok(found.to_owned())
                }
            }
        }
    }

    /// The solution with the answer at its end in the form that the grader reads.
    fn solution_with_answer(&self, solution: &str, answer: &str) -> String {
        let solution = solution.trim_end();
        match self.task.grader {
            GraderConfig::Numeric => match extract_answer(solution) {
                Some(stated) if stated == answer => solution.to_owned(),
                _ => format!("{solution}\n{ANSWER_MARKER} {answer}"),
            },
            GraderConfig::BoxedLatex | GraderConfig::RiseCompat(_) => match last_boxed(solution) {
                Some(stated) if stated.trim() == answer => solution.to_owned(),
                _ => format!("{solution}\n\\boxed{{{answer}}}"),
            },
        }
    }
}

/// The first group of a pattern's last match.
fn last_match<'t>(pattern: &Regex, text: &'t str) -> Option<&'t str> {
    let group = pattern.captures_iter(text).last()?;
    Some(group.get(1).map_or("", |found| found.as_str()))
}

/// The text of a field that a row must have; a number is its own text.
fn required_text(row: &Value, field: &str, location: RowLocation<'_>) -> Result<String, DataError> {
    match lookup_field(row, field) {
        Some(Value::String(text)) => location.required_text(field, Some(text.clone())),
        Some(Value::Number(number)) => Ok(number.to_string()),
        None | Some(Value::Null) => Err(location.row_error(format!(
            "the row has no `{field}` (it has {}); name another field, fill it in, or take the row out",
            field_names(row)
        ))),
        Some(_) => Err(location.row_error(format!("`{field}` is neither a text nor a number; name another field"))),
    }
}

/// The field of this name, or at the end of this path with dots.
fn lookup_field<'r>(row: &'r Value, field: &str) -> Option<&'r Value> {
    row.get(field).or_else(|| {
        let steps = field
            .split('.')
            .map(|part| part.replace('~', "~0").replace('/', "~1"));
        let path: Vec<String> = [String::new()].into_iter().chain(steps).collect();
        row.pointer(&path.join("/"))
    })
}

/// The names of a row's fields, for a message.
fn field_names(row: &Value) -> String {
    let names = row.as_object().into_iter().flat_map(|row| row.keys());
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// A text for a message, cut short.
fn truncate(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    let start: String = text.chars().take(MAX_CHARS).collect();
    if start.len() < text.len() {
        format!("{start:?}...")
    } else {
        format!("{start:?}")
    }
}
