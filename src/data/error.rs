//! Why a task cannot give its problems: the file, the place in it, the cause, the way out.

use std::io;
use std::path::PathBuf;

use crate::domain::Split;

/// Why a task cannot give its problems.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A setting makes no sense, whatever the files hold.
    #[error("task `{task}`: `{field}` {fault}")]
    Setting {
        /// Name of the task.
        task: &'static str,
        /// The setting.
        field: &'static str,
        /// The value and its fault.
        fault: String,
    },
    /// A file cannot be read at all.
    #[error("cannot read {path}: {source}; `path` must be {expected}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The meaning of the task's path.
        expected: &'static str,
        /// The system's message.
        source: io::Error,
    },
    /// A file is not text.
    #[error("{path} is not UTF-8 from byte {offset} on; convert it, or fetch it again")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Bytes before the first bad one.
        offset: usize,
    },
    /// A file holds no row.
    #[error("{path} holds no row; fetch it again")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A row is cut or lacks something.
    #[error("{path}, {place}: {fault}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Where in the file, e.g. `line 7`.
        place: String,
        /// The cause and the way out.
        fault: String,
    },
    /// Two problems have the same question, so that one split could give away another's answers.
    #[error("{first} and {second} ask the same question, {question:?}; take one of them out")]
    Overlap {
        /// File and place, or id, of the one.
        first: String,
        /// File and place, or id, of the other.
        second: String,
        /// The question as the second has it.
        question: String,
    },
    /// A folder lacks a part.
    #[error("{}: {fault}", path.display())]
    Layout {
        /// The folder.
        path: PathBuf,
        /// The missing part and the way out.
        fault: String,
    },
    /// A question is both trained on and evaluated on, in two sets.
    #[error(
        "{trained} and {evaluated} ask the same question, {question:?}{}; take such questions out of one of the two, or accept them with `data.allow_leaks = true`; `rise-lab data` lists them",
        more(*others)
    )]
    Leak {
        /// Set, split and id of the one that is trained on.
        trained: String,
        /// Set, split and id of the one that is evaluated on.
        evaluated: String,
        /// The question as it is evaluated on.
        question: String,
        /// Other questions that are in both.
        others: usize,
    },
    /// A split is larger than its source.
    #[error("split `{}` asks for {requested} problems, and {place} has {available} for it; {remedy}", split.name())]
    TooFew {
        /// The split.
        split: Split,
        /// Size of the split in the settings.
        requested: usize,
        /// Problems that the source has for it.
        available: usize,
        /// The task or file that they come from.
        place: String,
        /// The way out.
        remedy: &'static str,
    },
}

fn more(others: usize) -> String {
    if others == 0 {
        String::new()
    } else {
        format!(", as do {others} others")
    }
}
