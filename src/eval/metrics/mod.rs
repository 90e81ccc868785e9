//! One file per family of metrics. To add a family, write its file and name it in [`METRIC_FAMILIES`].

mod attempts;
mod edits;
mod equal_tokens;
mod parallel;
mod sequential;
mod transitions;
mod verifications;

use super::metric::{EvalShape, MetricFn};

/// Every family: what it measures over an evaluation of the given extent.
pub(super) const METRIC_FAMILIES: [fn(EvalShape) -> Vec<MetricFn>; 7] = [
    sequential::metric_fns,
    parallel::metric_fns,
    equal_tokens::metric_fns,
    transitions::metric_fns,
    edits::metric_fns,
    verifications::metric_fns,
    attempts::metric_fns,
];
