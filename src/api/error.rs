//! Why a server's answers cannot be had.

use std::io;
use std::path::PathBuf;

use crate::domain::PolicyError;

/// Why a server's answers cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A stop was asked for; what was answered is in the cache.
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
        /// Where it was asked.
        url: String,
        /// What was said, and what to do.
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
        /// Where it was asked.
        url: String,
        /// How often.
        tries: u32,
        /// What was wrong the last time.
        said: String,
        /// Where every try is recorded.
        record: PathBuf,
    },
    /// The cache, the record or the ledger cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
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
