//! Scores of evaluated episodes: votes and metrics.
//!
//! Responsible for what each metric means and for its value on one problem. Every metric is a
//! function of stored episodes, so a new one never needs a model. Must not know how episodes are
//! made, averaged, compared or stored.

mod analyses;
mod config;
mod metric;
mod metrics;
mod ranking;
mod refinement;
mod vote;

pub use analyses::{Likelihoods, Unsolved, likelihood_metrics, unsolved_metrics};
pub use config::AnalysesConfig;
pub use metric::{Extent, Metric, Unit, metrics, score};
pub use ranking::{Ranked, VerifierConfig, ranking, ranking_metrics};
pub use refinement::{APPROVED, Refined, refinement, refinement_metrics};
pub use vote::{Vote, majority};
