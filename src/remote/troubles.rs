//! The record of whatever was no answer: lines of JSON that a person can read.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;

use crate::domain::Key;

use super::RemoteError;
use super::retry::Trouble;

/// The record's name, in the folder of a model's answers.
const FILE: &str = "troubles.jsonl";
/// As much of a reply is kept.
const SHOWN: usize = 2_000;

/// The record of one model.
#[derive(Debug)]
pub struct Troubles {
    path: PathBuf,
}

impl Troubles {
    /// The record in the folder of a model's answers.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a try that brought no answer. A line is written at once, so that processes do not mix theirs.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add(&self, question: &Key, tries: u32, trouble: &Trouble) -> Result<(), RemoteError> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let line = json!({
            "time": now.as_secs(),
            "question": question.short(),
            "try": tries,
            "said": trouble.said,
            "status": trouble.status,
            "reply": trouble.body.chars().take(SHOWN).collect::<String>(),
        });
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path);
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(RemoteError::disk("write", &self.path))
    }
}
