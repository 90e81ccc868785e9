//! Machine-readable claims and what the runs in the store say of them.
//!
//! `claim` reads the file in which they are stated, `form` being how; `choice` finds the runs that are meant and `case` pairs them;
//! `draft` is a claim before p values are corrected; `kept` has what an earlier report says of experiments
//! that are gone; `settle` gives verdicts, with the arithmetic of `stats::claim`; `outcome` is the result as one value that
//! can be written as JSON; `render` turns that value, and nothing else, into files. Reads the store and
//! changes nothing in it; must not know how runs are made.

mod case;
mod choice;
mod claim;
mod draft;
mod error;
mod form;
mod kept;
mod matrix;
mod outcome;
mod render;
#[cfg(test)]
pub(crate) mod sample;
mod settle;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::report::{Frame, measured, publish};
use crate::store::Reader;

pub use claim::{Claim, ClaimsFile, Quantity, Rival};
pub use error::ClaimError;
pub use matrix::ROWS;
pub use outcome::{
    Experiment, Opposite, Outcome, Part, Row, RunBehind, Settled, Side, Verdict, Verdicts,
};
pub use render::{MARK, render, runs};
pub use settle::settle;

/// The name of the folder of the claims' report.
pub const FOLDER: &str = "claims";

/// Settles the claims of a file by the runs in the store; those about experiments that are not in it are as in
/// the `earlier` report.
///
/// # Errors
/// If the file cannot be used, or the database cannot be read.
pub fn verdicts(
    reader: &Reader,
    file: &ClaimsFile,
    earlier: Option<&Verdicts>,
) -> Result<Verdicts, ClaimError> {
    let named: BTreeSet<&str> = file
        .claims
        .iter()
        .map(|claim| claim.experiment.as_str())
        .collect();
    let stored: BTreeSet<String> = reader
        .standings()?
        .into_iter()
        .map(|standing| standing.experiment)
        .collect();
    let mut frames: BTreeMap<String, Frame> = BTreeMap::new();
    for name in stored
        .into_iter()
        .filter(|name| named.contains(name.as_str()))
    {
        frames.insert(name.clone(), measured(reader, &name)?);
    }
    Ok(settle(&file.claims, &frames, earlier)?.as_written())
}

/// Reads the verdicts of an earlier report, its `claims.json`.
///
/// # Errors
/// If the file cannot be read or is no such file of this version.
pub fn earlier(path: &Path) -> Result<Verdicts, ClaimError> {
    let unusable = |why: String| ClaimError::Earlier {
        path: path.to_owned(),
        why,
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let verdicts: Verdicts =
        serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    if verdicts.version == outcome::VERSION {
        Ok(verdicts)
    } else {
        Err(unusable(format!(
            "it has version {}, and this program reads {}",
            verdicts.version,
            outcome::VERSION
        )))
    }
}

/// Writes the report of the claims into `out/claims/`, in place of an earlier one.
///
/// # Errors
/// If it cannot be drawn or written.
pub fn write(verdicts: &Verdicts, out: &Path) -> Result<PathBuf, ClaimError> {
    Ok(publish(&render(verdicts)?, FOLDER, out, MARK)?)
}
