//! Why a report could not be written.

use std::path::PathBuf;

use crate::store::StoreError;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The name cannot be a folder.
    #[error(
        "'{0}' cannot name the report's folder; rename the experiment with letters, digits, '-' and '_'"
    )]
    InvalidName(String),
    /// The `[report]` part of the experiment file is not understood.
    #[error(
        "the report wishes of '{experiment}' are not understood: {problem}; see `[report]` in the experiment file"
    )]
    InvalidOptions {
        /// The experiment.
        experiment: String,
        /// What is wrong.
        problem: String,
    },
    /// A `context.json` that this program cannot render.
    #[error(
        "cannot read {}: {problem}; write it again with `rise-lab report EXPERIMENT`",
        path.display()
    )]
    InvalidContext {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The place is taken by something else.
    #[error("{} exists and is not a report (it has no {mark}); move it away or choose another place", place.display())]
    FolderOccupied {
        /// The place.
        place: PathBuf,
        /// The file by which such a report is told.
        mark: String,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; check that the place exists, is writable and has room", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A figure could not be drawn.
    #[error("figure '{figure}' could not be drawn: {problem}")]
    Figure {
        /// The figure.
        figure: String,
        /// What is wrong.
        problem: String,
    },
    /// A template could not be rendered.
    #[error("a report template could not be rendered: {0:#}")]
    Template(#[from] minijinja::Error),
}
