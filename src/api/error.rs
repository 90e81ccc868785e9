//! The errors of an API model.

use std::io;
use std::path::PathBuf;

use crate::domain::PolicyError;

/// Why a server's answers cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The user requested a stop; the answers are in the cache.
    #[error("stopped on request")]
    Stopped,
    /// The settings or the environment do not allow to ask.
    #[error("{0}")]
    InvalidSettings(String),
    /// The server says that asking again is of no use.
    #[error("`{model}` at {url}: {said}")]
    Refused {
        /// The model.
        model: String,
        /// The address of the server.
        url: String,
        /// The cause and the remedy.
        said: String,
    },
    /// Asking again and again did not help.
    #[error(
        "`{model}` at {url} gave no answer in {tries} tries, the last time because {said}; every try is in {}; the same command goes on where this one ended",
        record.display()
    )]
    GaveUp {
        /// The model.
        model: String,
        /// The address of the server.
        url: String,
        /// How often.
        tries: u32,
        /// The cause of the last failure.
        said: String,
        /// Where every try is recorded.
        record: PathBuf,
    },
    /// The cache, the record or the ledger cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl ApiError {
    /// An error builder for `map_err`.
    pub(super) fn io_error(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl From<ApiError> for PolicyError {
    fn from(error: ApiError) -> Self {
        if matches!(error, ApiError::Stopped) {
            Self::Stopped
        } else {
            Self::Other(error.to_string())
        }
    }
}
