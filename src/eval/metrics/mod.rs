//! One file per family of metrics. To add a family, write its file and name it in [`FAMILIES`].

mod attempts;
mod flips;
mod parallel;
mod sequential;

use super::metric::{Extent, Measure};

/// Every family: what it measures over an evaluation of the given extent.
pub(super) const FAMILIES: [fn(Extent) -> Vec<Measure>; 4] =
    [sequential::measures, parallel::measures, flips::measures, attempts::measures];
