//! The analyses of every evaluated checkpoint.

use serde::{Deserialize, Serialize};

/// Analyses beyond the evaluation itself; all are off by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalysesConfig {
    /// Budgets, in sequences of turns, at which sequences are compared with parallel samples; none
    /// leaves the analysis out.
    pub unsolved: Vec<u32>,
    /// Rollouts over which the likelihood of the reference is averaged; 0 leaves the analysis out.
    pub likelihood_rollouts: u32,
    /// The last turn at which the likelihood of the reference is measured.
    pub likelihood_turns: u32,
}

impl Default for AnalysesConfig {
    fn default() -> Self {
        Self {
            unsolved: Vec::new(),
            likelihood_rollouts: 0,
            likelihood_turns: 3,
        }
    }
}

impl AnalysesConfig {
    /// The first error in these settings, as (field, complaint).
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        let unsolved = &self.unsolved;
        if unsolved.first() == Some(&0) || !unsolved.is_sorted_by(|a, b| a < b) {
            let complaint = format!("{unsolved:?} must be rising numbers of at least 1");
            return Some(("unsolved", complaint));
        }
        (self.likelihood_turns == 0)
            .then(|| ("likelihood_turns", "0 turns have no answer".to_owned()))
    }
}
