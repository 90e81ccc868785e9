//! Machine-readable claims and what the runs in the store say of them.
//!
//! `claim` reads the file in which they are stated, `form` being how; `choice` finds the runs that are meant and `case` pairs them;
//! `draft` is a claim before p values are corrected; `kept` has what an earlier report says of experiments
//! that are gone; `settle` gives verdicts, with the arithmetic of `stats::claim`; `outcome` is the result as one value that
//! can be written as JSON; `render` turns that value, and nothing else, into files. Reads the store and
//! changes nothing in it; must not know how runs are made.

mod claim;
mod compare;
mod draft;
mod error;
mod evaluate;
mod file;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod format;
mod groups;
mod kept;
mod outcome;
mod render;
mod select;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::report::{ReportData, publish, read_measurements};
use crate::store::StoreReader;

pub use claim::{Claim, ClaimsFile, Comparator, MeasuredQuantity};
pub use error::ClaimError;
pub use evaluate::evaluate_claims;
pub use groups::CLAIM_GROUPS;
pub use outcome::{
    ClaimComparison, ClaimGroup, ClaimOutcome, ClaimResult, ClaimVerdict, ClaimsReport,
    ExperimentRunCounts, Operand, ResolvedComparator, SourceRun,
};
pub use render::{SENTINEL, render, short_run_keys};

/// The name of the folder of the claims' report.
pub const REPORT_FOLDER: &str = "claims";

/// Settles the claims of a file by the runs in the store; those about experiments that are not in it are as in
/// the `read_earlier_report` report.
///
/// # Errors
/// If the file cannot be used, or the database cannot be read.
pub fn evaluate_file(
    reader: &StoreReader,
    file: &ClaimsFile,
    earlier: Option<&ClaimsReport>,
) -> Result<ClaimsReport, ClaimError> {
    let named: BTreeSet<&str> = file
        .claims
        .iter()
        .map(|claim| claim.experiment.as_str())
        .collect();
    let stored: BTreeSet<String> = reader
        .experiment_progress()?
        .into_iter()
        .map(|standing| standing.experiment)
        .collect();
    let mut frames: BTreeMap<String, ReportData> = BTreeMap::new();
    for name in stored
        .into_iter()
        .filter(|name| named.contains(name.as_str()))
    {
        frames.insert(name.clone(), read_measurements(reader, &name)?);
    }
    Ok(evaluate_claims(&file.claims, &frames, earlier)?.json_round_trip())
}

/// Reads the verdicts of an earlier report, its `claims.json`.
///
/// # Errors
/// If the file cannot be read or is no such file of this version.
pub fn read_earlier_report(path: &Path) -> Result<ClaimsReport, ClaimError> {
    let unusable = |why: String| ClaimError::UnusableEarlierReport {
        path: path.to_owned(),
        why,
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let verdicts: ClaimsReport =
        serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    if verdicts.version == outcome::FORMAT_VERSION {
        Ok(verdicts)
    } else {
        Err(unusable(format!(
            "it has version {}, and this program reads {}",
            verdicts.version,
            outcome::FORMAT_VERSION
        )))
    }
}

/// Writes the report of the claims into `out/claims/`, in place of an earlier one.
///
/// # Errors
/// If it cannot be drawn or written.
pub fn write_report(verdicts: &ClaimsReport, out: &Path) -> Result<PathBuf, ClaimError> {
    Ok(publish(&render(verdicts)?, REPORT_FOLDER, out, SENTINEL)?)
}
