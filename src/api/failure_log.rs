//! The log of failed tries: readable lines of JSON.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;

use crate::domain::Key;

use super::ApiError;
use super::retry::RequestFailure;

/// The record's name, in the folder of a model's answers.
const LOG_FILE: &str = "troubles.jsonl";
/// As much of a reply is kept.
const MAX_BODY_CHARS: usize = 2_000;

/// The record of one model.
#[derive(Debug)]
pub struct FailureLog {
    path: PathBuf,
}

impl FailureLog {
    /// The record in the folder of a model's answers.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join(LOG_FILE),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a failed try. One write per line keeps the lines of processes apart.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add(
        &self,
        question: &Key,
        tries: u32,
        trouble: &RequestFailure,
    ) -> Result<(), ApiError> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let line = json!({
            "time": now.as_secs(),
            "question": question.short(),
            "try": tries,
            "said": trouble.message,
            "status": trouble.status,
            "reply": trouble.body.chars().take(MAX_BODY_CHARS).collect::<String>(),
        });
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path);
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(ApiError::io_error("write", &self.path))
    }
}
