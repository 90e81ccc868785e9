//! Settings of a task that is read from the user's files, and errors that name a row.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::DataError;

/// Settings of a task that is read from files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileTaskConfig {
    /// The folder or file that holds the problems.
    pub path: PathBuf,
}

impl FileTaskConfig {
    /// What is wrong with these settings, if anything, as (field, complaint).
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        self.path
            .as_os_str()
            .is_empty()
            .then(|| ("path", "is empty: give the place of the data".to_owned()))
    }
}

/// A place in a file, for errors about it.
#[derive(Clone, Copy)]
pub(super) struct RowLocation<'a> {
    /// The file.
    pub(super) path: &'a Path,
    /// What its places are called: `line` or `row`.
    pub(super) unit: &'static str,
    /// Counts from 1.
    pub(super) number: usize,
}

impl RowLocation<'_> {
    /// The error that something is wrong here.
    pub(super) fn row_error(self, fault: impl Into<String>) -> DataError {
        let place = format!("{} {}", self.unit, self.number);
        DataError::Row {
            path: self.path.to_owned(),
            place,
            fault: fault.into(),
        }
    }

    /// The error that this is not the JSON it should be.
    pub(super) fn json_error(self, error: &serde_json::Error) -> DataError {
        if error.is_eof() {
            return self.row_error(
                "the text ends in the middle of a row; the file is cut, fetch it again",
            );
        }
        // The position that serde_json appends counts from the start of this row.
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        let column = if error.column() > 0 {
            format!(" at column {}", error.column())
        } else {
            String::new()
        };
        self.row_error(format!("{what}{column}; mend it, or fetch the file again"))
    }

    /// The text of a field that a row must have.
    pub(super) fn required_text(
        self,
        field: &str,
        value: Option<String>,
    ) -> Result<String, DataError> {
        match value {
            Some(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(self.row_error(format!(
                "the row has no `{field}`; fill it in, or take the row out"
            ))),
        }
    }

    /// `train.jsonl line 7`, for messages about two places.
    pub(super) fn describe(self) -> String {
        format!("{} {} {}", self.path.display(), self.unit, self.number)
    }
}
