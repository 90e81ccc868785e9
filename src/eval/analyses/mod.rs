//! The paper's analyses beyond the metrics of one evaluation: what sequences solve where parallel
//! samples do not, and how likely a reference is after own attempts.
//!
//! Responsible for what each number means and for its value on one problem. Must not know how
//! attempts or likelihoods are made.

mod likelihood;
mod unsolved;

pub use likelihood::{ReferenceLikelihoods, likelihood_metrics};
pub use unsolved::{UnsolvedSamples, unsolved_metrics};
