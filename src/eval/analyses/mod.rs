//! The paper's analyses beyond the metrics of one evaluation: problems that only sequences solve,
//! and the likelihood of a reference after own attempts.

mod likelihood;
mod unsolved;

pub use likelihood::{ReferenceLikelihoods, likelihood_metrics};
pub use unsolved::{UnsolvedSamples, unsolved_metrics};
