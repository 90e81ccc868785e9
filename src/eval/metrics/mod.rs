//! One file per family of metrics. To add a family, write its file and name it in [`FAMILIES`].

mod attempts;
mod edits;
mod flips;
mod parallel;
mod sequential;
mod tokens;
mod verifications;

use super::metric::{Extent, Measure};

/// Every family: what it measures over an evaluation of the given extent.
pub(super) const FAMILIES: [fn(Extent) -> Vec<Measure>; 7] = [
    sequential::measures,
    parallel::measures,
    tokens::measures,
    flips::measures,
    edits::measures,
    verifications::measures,
    attempts::measures,
];
