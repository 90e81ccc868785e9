//! Problems in the user's own JSONL files, whose fields are named in the settings.
//!
//! Rows are dealt out as GSM8K's: the test file gives the test split, the training file all others.
//! A problem's id names its split's file and its line, `jsonl/train/7`, or has the row's own name.
//! The reference solution states the answer in the form that the task's grader reads; where the
//! user's does not, the answer follows on a separate line.

mod row_parser;
mod settings;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::DataError;
use crate::data::fingerprint::{file_sha256, read_text};
use crate::data::split::{SeenQuestions, SplitSizes, TaskSplits};
use crate::data::split_assignment::assign_splits;
use crate::domain::{Key, Problem, Split};

use self::row_parser::JsonlRowParser;
pub use self::settings::JsonlTaskConfig;

use super::file_task::{RowLocation, TEST_FILE_LAYOUT, TRAIN_FILE_LAYOUT, numbered_lines};

const EXPECTED: &str = "a JSONL file, one object a line";

/// JSONL files with these settings.
pub(in crate::data) struct JsonlReader<'a>(pub(in crate::data) &'a JsonlTaskConfig);

impl JsonlReader<'_> {
    /// Reads, checks and deals out both files.
    pub(in crate::data) fn load(&self, sizes: &SplitSizes) -> Result<TaskSplits, DataError> {
        let mut files = JsonlFiles {
            parser: JsonlRowParser::new(self.0).map_err(|(field, fault)| DataError::Setting {
                task: "jsonl",
                field,
                fault,
            })?,
            questions: SeenQuestions::new(sizes),
            ids: HashMap::new(),
        };
        let mut splits = match &self.0.train {
            Some(path) => assign_splits(
                files.read(path, "train")?,
                &TRAIN_FILE_LAYOUT,
                sizes,
                &path.display().to_string(),
            )?,
            None => self.load_test_only(sizes)?,
        };
        let test = files.read(&self.0.test, "test")?;
        splits.test = assign_splits(
            test,
            &TEST_FILE_LAYOUT,
            sizes,
            &self.0.test.display().to_string(),
        )?
        .test;
        Ok(splits)
    }

    /// Each file's name and place, and the SHA-256 of its bytes.
    pub(in crate::data) fn files(&self) -> Result<Vec<(&'static str, PathBuf, Key)>, DataError> {
        let files = [
            ("train", self.0.train.as_ref()),
            ("test", Some(&self.0.test)),
        ];
        files
            .into_iter()
            .filter_map(|(name, path): (&'static str, Option<&PathBuf>)| {
                path.map(|path| Ok((name, path.clone(), file_sha256(path, EXPECTED)?)))
            })
            .collect()
    }

    fn load_test_only(&self, sizes: &SplitSizes) -> Result<TaskSplits, DataError> {
        let requested = [Split::Corpus, Split::Train, Split::Validation].into_iter();
        match requested
            .map(|split| (split, sizes.get(split)))
            .find(|(_, requested)| *requested > 0)
        {
            None => Ok(TaskSplits::default()),
            Some((split, requested)) => Err(DataError::TooFew {
                split,
                requested,
                available: 0,
                place: format!("task `{}`, which has no `train` file,", self.0.name()),
                remedy: "name its `train` file, or ask for none",
            }),
        }
    }
}

/// The files as they are read, one after the other.
struct JsonlFiles<'a> {
    parser: JsonlRowParser<'a>,
    questions: SeenQuestions,
    /// Where each id was met.
    ids: HashMap<String, String>,
}

impl JsonlFiles<'_> {
    /// All problems of one file; `name` goes into ids.
    fn read(&mut self, path: &Path, name: &str) -> Result<Vec<Problem>, DataError> {
        let text = read_text(path, EXPECTED)?;
        numbered_lines(path, &text)
            .map(|(location, line)| {
                let problem =
                    self.parser
                        .parse_problem(&parse_object(line, location)?, location, name)?;
                self.questions
                    .add(&problem.question, || location.describe())?;
                match self.ids.insert(problem.id.clone(), location.describe()) {
                    None => Ok(problem),
                    Some(first) => Err(location.row_error(format!(
                        "{} is the id of {first} too; give it another",
                        problem.id
                    ))),
                }
            })
            .collect()
    }
}

/// The object on a line.
fn parse_object(line: &str, location: RowLocation<'_>) -> Result<Value, DataError> {
    match serde_json::from_str(line) {
        Ok(row @ Value::Object(_)) => Ok(row),
        Err(_) if line.trim_start().starts_with('[') => Err(location.row_error(
            "a JSON array begins here; write one object a line instead, e.g. with `jq -c '.[]' file.json`",
        )),
        Ok(_) => Err(location.row_error("the line is not a JSON object; write one object a line")),
        Err(_) if line.trim() == "{" => Err(location.row_error(
            "an object goes on over several lines; write one object a line instead, e.g. with `jq -c . file.json`",
        )),
        Err(error) => Err(location.json_error(&error)),
    }
}

#[cfg(test)]
mod tests;
