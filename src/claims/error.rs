//! Why claims could not be settled.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::report::ReportError;
use crate::store::StoreError;

/// Why claims could not be settled.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The file of claims cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An experiment could not be read, or the report not written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// An earlier report that cannot be used.
    #[error("{}: {why}; give the claims.json of an earlier report", path.display())]
    UnusableEarlierReport {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An experiment that no claim is about.
    #[error("no claim is about the experiment `{given}`{}; claims name: {}", meant(nearest.as_deref()), known.join(", "))]
    UnknownExperiment {
        /// The name that was given.
        given: String,
        /// The name that was probably meant.
        nearest: Option<String>,
        /// The experiments that claims are about.
        known: Vec<String>,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default()
}
