//! What a stage's work came to, in tokens and operations: the entries of the compute ledger.
//!
//! Operations are counted as 2 per parameter and token read or sampled, and 6 per parameter and
//! token trained (Kaplan et al. 2020, section 2.1), as if nothing that was read once were kept:
//! what a plain implementation would spend. Must not know where the numbers are shown.

use serde_json::{Value, json};

use crate::domain::Episode;
use crate::model::LanguageModel;
use crate::remote::{Client, Ledger, Price};

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
        let mut cost = Self {
            parameters: model.decoder.weights().count() as u64,
            ..Self::default()
        };
        for turn in episodes.iter().flat_map(|episode| &episode.turns) {
            let spoken = turn
                .candidates
                .iter()
                .map(|candidate| (candidate.prompt, candidate.tokens));
            let reviewed = turn
                .review
                .iter()
                .map(|review| (review.prompt, review.tokens));
            for (prompt, tokens) in spoken.chain(reviewed) {
                cost.prompt += u64::from(prompt);
                cost.sampled += u64::from(tokens);
            }
        }
        cost
    }

    /// Floating-point operations.
    pub const fn operations(self) -> u64 {
        2 * self.parameters * (self.prompt + self.sampled + self.scored)
            + 6 * self.parameters * self.trained
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

/// What was asked of a model behind an API. Its operations are not known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked {
    /// Tokens of the dialogues that were shown.
    pub prompt: u64,
    /// Tokens of the answers.
    pub completion: u64,
    /// Requests of this stage; answers from the cache need none.
    pub ledger: Ledger,
    /// What a million tokens cost.
    pub price: Option<Price>,
}

impl Asked {
    /// What these episodes took from a model behind an API.
    pub fn of(episodes: &[Episode], client: &Client) -> Self {
        let turns = episodes.iter().flat_map(|episode| &episode.turns);
        let candidates = turns.flat_map(|turn| &turn.candidates);
        let (prompt, completion) = candidates.fold((0, 0), |(prompt, completion), candidate| {
            (
                prompt + u64::from(candidate.prompt),
                completion + u64::from(candidate.tokens),
            )
        });
        Self {
            prompt,
            completion,
            ledger: client.ledger(),
            price: client.endpoint().price,
        }
    }

    /// Writes it among a stage's counts. The price is that of all tokens, wherever their answers came
    /// from; what was paid is that of the answers which this stage asked for itself.
    pub fn write(self, counts: &mut Value) {
        let Self {
            prompt,
            completion,
            ledger,
            price,
        } = self;
        let all = [
            ("remote_calls", ledger.calls),
            ("remote_retries", ledger.retries),
            ("remote_cached", ledger.cached),
            ("remote_prompt_tokens", prompt),
            ("remote_completion_tokens", completion),
            ("remote_uncounted", ledger.uncounted),
        ];
        for (name, count) in all {
            counts[name] = json!(count);
        }
        if let Some(price) = price {
            counts["remote_price"] = json!(price.of(prompt, completion));
            counts["remote_paid"] = json!(price.of(ledger.prompt_tokens, ledger.completion_tokens));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_counts_all_tokens_and_what_was_paid_only_those_asked_for() {
        let ledger = Ledger {
            calls: 3,
            retries: 1,
            cached: 2,
            prompt_tokens: 1_000,
            completion_tokens: 500,
            uncounted: 0,
        };
        let price = Some(Price {
            input: 1.0,
            output: 4.0,
        });
        let mut counts = json!({});
        Asked {
            prompt: 2_000,
            completion: 1_000,
            ledger,
            price,
        }
        .write(&mut counts);
        let expected = json!({
            "remote_calls": 3, "remote_retries": 1, "remote_cached": 2, "remote_prompt_tokens": 2_000,
            "remote_completion_tokens": 1_000, "remote_uncounted": 0, "remote_price": 0.006, "remote_paid": 0.003,
        });
        assert_eq!(counts, expected);
    }

    #[test]
    fn operations_by_hand() {
        let cost = Cost {
            parameters: 1_000,
            prompt: 20,
            sampled: 30,
            scored: 50,
            trained: 10,
        };
        assert_eq!(cost.operations(), 2 * 1_000 * 100 + 6 * 1_000 * 10);
        let mut counts = json!({ "episodes": 1 });
        Cost {
            scored: 0,
            trained: 0,
            ..cost
        }
        .write(&mut counts);
        let expected = json!({
            "episodes": 1, "parameters": 1_000, "prompt_tokens": 20, "sampled_tokens": 30, "flops": 100_000
        });
        assert_eq!(counts, expected);
    }
}
