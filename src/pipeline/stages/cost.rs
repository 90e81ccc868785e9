//! What a stage's work came to, in tokens and operations: the entries of the compute ledger.
//!
//! Operations are counted as 2 per parameter and token read or sampled, and 6 per parameter and
//! token trained (Kaplan et al. 2020, section 2.1), as if nothing that was read once were kept:
//! what a plain implementation would spend. Must not know where the numbers are shown.

use serde_json::{Value, json};

use crate::domain::Episode;
use crate::model::LanguageModel;

/// Tokens by what was done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Parameters of the model.
    pub parameters: u64,
    /// Tokens of the dialogues that were shown.
    pub prompt: u64,
    /// Tokens sampled.
    pub sampled: u64,
    /// Tokens passed forward only, to be scored.
    pub scored: u64,
    /// Tokens passed forward and back.
    pub trained: u64,
}

impl Cost {
    /// What sampling these episodes cost.
    pub fn of_sampling(episodes: &[Episode], model: &LanguageModel) -> Self {
        let mut cost = Self { parameters: model.decoder.weights().count() as u64, ..Self::default() };
        for turn in episodes.iter().flat_map(|episode| &episode.turns) {
            let spoken = turn.candidates.iter().map(|candidate| (candidate.prompt, candidate.tokens));
            let reviewed = turn.review.iter().map(|review| (review.prompt, review.tokens));
            for (prompt, tokens) in spoken.chain(reviewed) {
                cost.prompt += u64::from(prompt);
                cost.sampled += u64::from(tokens);
            }
        }
        cost
    }

    /// Floating-point operations.
    pub const fn operations(self) -> u64 {
        2 * self.parameters * (self.prompt + self.sampled + self.scored) + 6 * self.parameters * self.trained
    }

    /// Writes what is not 0 among a stage's counts.
    pub fn write(self, counts: &mut Value) {
        let all = [
            ("parameters", self.parameters),
            ("prompt_tokens", self.prompt),
            ("sampled_tokens", self.sampled),
            ("scored_tokens", self.scored),
            ("trained_tokens", self.trained),
            ("flops", self.operations()),
        ];
        for (name, count) in all.into_iter().filter(|(_, count)| *count > 0) {
            counts[name] = json!(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_by_hand() {
        let cost = Cost { parameters: 1_000, prompt: 20, sampled: 30, scored: 50, trained: 10 };
        assert_eq!(cost.operations(), 2 * 1_000 * 100 + 6 * 1_000 * 10);
        let mut counts = json!({ "episodes": 1 });
        Cost { scored: 0, trained: 0, ..cost }.write(&mut counts);
        let expected = json!({
            "episodes": 1, "parameters": 1_000, "prompt_tokens": 20, "sampled_tokens": 30, "flops": 100_000
        });
        assert_eq!(counts, expected);
    }
}
