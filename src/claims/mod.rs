//! Claims in a file, and the verdicts of the stored runs on them.
//!
//! Responsible for the way from a claim to its verdict. `file` reads the claims, `select` finds
//! their runs, `compare` pairs and tests the scores, and `evaluate` corrects the p values and
//! decides. `outcome` is the result as plain data; `render` writes the report from it alone.
//! Hides how runs are matched. Must not know how runs are made, and never changes the store.

mod compare;
mod evaluate;
mod file;
#[cfg(test)]
pub(crate) mod fixtures;
mod outcome;
mod render;
mod select;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::config::ConfigError;
use crate::report::{ReportData, ReportError, publish, read_measurements};
use crate::store::{StoreError, StoreReader};

pub use evaluate::evaluate_claims;
pub use file::{CLAIM_GROUPS, Claim, ClaimsFile, Comparator, MeasuredQuantity};
pub use outcome::{
    ClaimComparison, ClaimGroup, ClaimOutcome, ClaimResult, ClaimVerdict, ClaimsReport,
    ExperimentRunCounts, Operand, SourceRun,
};
pub use render::{OutcomeText, SENTINEL, render};

/// The name of the folder of the claims' report.
pub const REPORT_FOLDER: &str = "claims";

/// Why claims could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The file of claims is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An experiment could not be read, or the report not written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// An experiment without claims.
    #[error(
        "no claim is about the experiment `{given}`{}; claims name: {}",
        nearest.as_ref().map_or(String::new(), |name| format!(" (did you mean `{name}`?)")),
        known.join(", ")
    )]
    UnknownExperiment {
        /// The name that was given.
        given: String,
        /// The most similar name.
        nearest: Option<String>,
        /// The experiments with claims.
        known: Vec<String>,
    },
}

/// Evaluates the claims of a file on the stored runs.
///
/// # Errors
/// If a claim is wrong, or the database cannot be read.
pub fn evaluate_file(reader: &StoreReader, file: &ClaimsFile) -> Result<ClaimsReport, ClaimError> {
    let named: BTreeSet<&str> = file
        .claims
        .iter()
        .map(|claim| claim.experiment.as_str())
        .collect();
    let mut experiments: BTreeMap<String, ReportData> = BTreeMap::new();
    for progress in reader.experiment_progress()? {
        let name = progress.experiment;
        if named.contains(name.as_str()) {
            let data = read_measurements(reader, &name)?;
            experiments.insert(name, data);
        }
    }
    Ok(evaluate_claims(&file.claims, &experiments)?.json_round_trip())
}

/// Writes the report of the claims into `out/claims/`, in place of an earlier one.
///
/// # Errors
/// If it cannot be drawn or written.
pub fn write_report(report: &ClaimsReport, out: &Path) -> Result<PathBuf, ClaimError> {
    Ok(publish(&render(report)?, REPORT_FOLDER, out, SENTINEL)?)
}
