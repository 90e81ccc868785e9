//! Settings of a task that reads the user's files, its lines, and errors that name a row.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::DataError;
use crate::data::split_assignment::SplitLayout;
use crate::domain::Split;

/// Settings of a task that is read from files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileTaskConfig {
    /// The folder or file that holds the problems.
    pub path: PathBuf,
}

impl FileTaskConfig {
    /// The first fault of these settings, as field and complaint.
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
    /// The name of its places: `line` or `row`.
    pub(super) unit: &'static str,
    /// Counts from 1.
    pub(super) number: usize,
}

/// The lines of a file that hold anything, each with its place.
pub(super) fn numbered_lines<'a>(
    path: &'a Path,
    text: &'a str,
) -> impl Iterator<Item = (RowLocation<'a>, &'a str)> {
    let lines = text.split('\n').zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim().is_empty());
    lines.map(move |(line, number)| {
        let unit = "line";
        (RowLocation { path, unit, number }, line)
    })
}

/// How the rows of a training file are dealt out where the test split has its own file: up to an
/// eighth of them may be validation where there is a corpus.
pub(super) const TRAIN_FILE_LAYOUT: SplitLayout = SplitLayout {
    forward: &[(Split::Validation, 0), (Split::Corpus, 1)],
    backward: Some(Split::Train),
};
/// How the rows of that test file are dealt out.
pub(super) const TEST_FILE_LAYOUT: SplitLayout = SplitLayout {
    forward: &[(Split::Test, 0)],
    backward: None,
};

impl RowLocation<'_> {
    /// The error that something is wrong here.
    pub(super) fn row_error(self, fault: impl Into<String>) -> DataError {
        DataError::Row {
            path: self.path.to_owned(),
            place: format!("{} {}", self.unit, self.number),
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
