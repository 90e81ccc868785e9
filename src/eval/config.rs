//! Which analyses are made of every evaluated checkpoint.

use serde::{Deserialize, Serialize};

/// Analyses beyond the evaluation itself; all are off by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalysesConfig {
    /// Budgets, in sequences of turns, at which it is asked what sequences solve that parallel
    /// samples do not; none leaves the analysis out.
    pub unsolved: Vec<u32>,
    /// Rollouts over which the likelihood of the reference is averaged; 0 leaves the analysis out.
    pub likelihood_rollouts: u32,
    /// Turns up to which the likelihood of the reference is asked for.
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
    /// What is wrong with these settings, if anything, as (field, complaint).
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        let rising = self.unsolved.windows(2).all(|pair| pair[0] < pair[1]);
        if self.unsolved.first() == Some(&0) || !rising {
            let given = &self.unsolved;
            return Some((
                "unsolved",
                format!("{given:?} must be rising numbers of at least 1"),
            ));
        }
        (self.likelihood_turns == 0)
            .then(|| ("likelihood_turns", "0 turns have no answer".to_owned()))
    }
}
