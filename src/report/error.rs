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
    #[error("cannot name a folder '{0}'; rename the experiment with letters, digits, '-' and '_'")]
    InvalidName(String),
    /// The `[report]` table of the experiment file is invalid.
    #[error(
        "cannot read the `[report]` table of '{experiment}': {problem}; correct it in the experiment file"
    )]
    InvalidOptions {
        /// The experiment.
        experiment: String,
        /// The reason.
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
        /// The reason.
        problem: String,
    },
    /// The folder holds something else.
    #[error("cannot replace {}: it is not a report (it has no {mark}); move it away or choose another folder", place.display())]
    FolderOccupied {
        /// The folder.
        place: PathBuf,
        /// The file that every such report has.
        mark: String,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; check that the folder exists, is writable and has room", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A figure could not be drawn.
    #[error("cannot draw figure '{figure}': {problem}; please report it")]
    Figure {
        /// The figure.
        figure: String,
        /// The reason.
        problem: String,
    },
    /// A template could not be rendered.
    #[error("cannot render a report template: {0:#}; please report it")]
    Template(#[from] minijinja::Error),
}
