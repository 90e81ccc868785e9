//! Lines of JSON on disk: appended by stages that work problem by problem, and read back.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::workspace::{WorkspaceError, io_error};

/// Problems of a task's split.
pub const PROBLEMS: &str = "problems.jsonl";
/// Episodes, in the order of their problems.
pub const EPISODES: &str = "episodes.jsonl";
/// Weighted examples.
pub const EXAMPLES: &str = "examples.jsonl";
/// Pairs of examples of which one is better.
pub const PAIRS: &str = "pairs.jsonl";
/// A verifier's scores of attempts, problem by problem.
pub const RANKS: &str = "ranks.jsonl";
/// Attempts with a label per step.
pub const STEPS: &str = "steps.jsonl";
/// Verifiers' scores of drafts and their refinements.
pub const REFINEMENT_VERDICTS: &str = "refined.jsonl";
/// Training curves.
pub const POINTS: &str = "points.jsonl";
/// Scores by problem.
pub const SCORES: &str = "scores.jsonl";

/// Reads every line of a finished file.
///
/// # Errors
/// If the file cannot be read or a line is damaged.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, WorkspaceError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    let mut items = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(io_error("read", path))?;
        let item = serde_json::from_str(&line).map_err(|error| WorkspaceError::CorruptLine {
            path: path.to_owned(),
            line: number + 1,
            reason: error.to_string(),
        })?;
        items.push(item);
    }
    Ok(items)
}

/// Writes a file of lines.
///
/// # Errors
/// If the disk refuses.
pub fn write_jsonl<T: Serialize>(path: &Path, items: &[T]) -> Result<(), WorkspaceError> {
    let mut text = Vec::new();
    for item in items {
        push_line(&mut text, item);
    }
    std::fs::write(path, text).map_err(io_error("write", path))
}

/// A file of lines that grows while a stage works and survives a kill.
#[derive(Debug)]
pub struct JsonlAppender {
    path: PathBuf,
    file: File,
}

impl JsonlAppender {
    /// Opens a file for appending, with its items. Drops a last line that a kill has cut, and every
    /// line after an unreadable one.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>), WorkspaceError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io_error("read", path)(error)),
        };
        let (mut items, mut whole) = (Vec::new(), 0);
        while let Some(length) = bytes[whole..].iter().position(|&byte| byte == b'\n') {
            let Ok(item) = serde_json::from_slice(&bytes[whole..whole + length]) else {
                break;
            };
            items.push(item);
            whole += length + 1;
        }
        let options = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path);
        let mut file = options.map_err(io_error("write", path))?;
        file.set_len(whole as u64)
            .map_err(io_error("write", path))?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))
            .map_err(io_error("write", path))?;
        Ok((
            Self {
                path: path.to_owned(),
                file,
            },
            items,
        ))
    }

    /// Appends items, each as one line.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn append<T: Serialize>(&mut self, items: &[T]) -> Result<(), WorkspaceError> {
        let mut text = Vec::new();
        for item in items {
            push_line(&mut text, item);
        }
        self.file
            .write_all(&text)
            .map_err(io_error("write", &self.path))
    }
}

fn push_line<T: Serialize>(text: &mut Vec<u8>, item: &T) {
    serde_json::to_writer(&mut *text, item).expect("items are plain data");
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_is_dropped_and_appending_works() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.jsonl");
        std::fs::write(&path, "1\n2\n[3").unwrap();
        let (mut growing, items) = JsonlAppender::open::<u32>(&path).unwrap();
        assert_eq!(items, [1, 2]);
        growing.append(&[7, 8]).unwrap();
        assert_eq!(read_jsonl::<u32>(&path).unwrap(), [1, 2, 7, 8]);
    }

    #[test]
    fn a_finished_file_that_is_damaged_names_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.jsonl");
        std::fs::write(&path, "1\nx\n").unwrap();
        let error = read_jsonl::<u32>(&path).unwrap_err().to_string();
        assert!(error.contains("numbers.jsonl, line 2"), "{error}");
    }
}
