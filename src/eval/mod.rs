//! Scores of evaluated episodes: votes and metrics.
//!
//! Responsible for the meaning of each metric and for its value on one problem. Every metric is a
//! function of stored episodes, so a new one never needs a model. Must not know how episodes are
//! sampled, averaged, compared or stored.

mod analyses;
mod config;
mod metric;
mod metrics;
mod ranking;
mod refinement;
mod vote;

pub use analyses::{ReferenceLikelihoods, UnsolvedSamples, likelihood_metrics, unsolved_metrics};
pub use config::AnalysesConfig;
pub use metric::{Metric, MetricUnit, NamedScore, evaluation_metrics, score_problem};
pub use ranking::{RankedAttempt, VerifierConfig, ranking_metrics, ranking_scores};
pub use refinement::{ACCEPT_THRESHOLD, RefinedDraft, refinement_metrics, refinement_scores};
pub use vote::{MajorityVote, majority_vote};
