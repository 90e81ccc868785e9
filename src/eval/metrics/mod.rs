//! One file per family of metrics. To add a family, write its file and name it in
//! [`METRIC_FAMILIES`].

mod attempts;
mod changes;
mod equal_tokens;
mod parallel;
mod sequential;

use crate::domain::EvalShape;

use super::metric::MetricFn;

/// The metrics of every family for an evaluation of a shape.
pub(super) const METRIC_FAMILIES: [fn(EvalShape) -> Vec<MetricFn>; 5] = [
    sequential::metric_fns,
    parallel::metric_fns,
    equal_tokens::metric_fns,
    changes::metric_fns,
    attempts::metric_fns,
];
