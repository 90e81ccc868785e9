//! The cost of a stage in tokens and operations.
//!
//! Operations count 2 per parameter and token read or sampled, and 6 per parameter and token
//! trained (Kaplan et al. 2020, section 2.1), without a cache: the cost of a plain implementation.

use serde_json::{Value, json};

use crate::api::{ApiClient, ApiUsage, TokenPrice};
use crate::domain::{Episode, Turn};
use crate::model::Decoder;

/// Tokens by use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ComputeCost {
    /// Parameters of the model.
    pub parameters: u64,
    /// Tokens of the dialogues that were shown.
    pub prompt_tokens: u64,
    /// Tokens sampled.
    pub sampled_tokens: u64,
    /// Tokens passed forward only, to be scored.
    pub scored_tokens: u64,
    /// Tokens passed forward and back.
    pub trained_tokens: u64,
}

impl ComputeCost {
    /// No tokens of this model yet.
    pub fn for_model(decoder: &Decoder) -> Self {
        Self {
            parameters: decoder.weights().parameter_count() as u64,
            ..Self::default()
        }
    }

    /// The cost of sampling these episodes.
    pub fn for_sampling(episodes: &[Episode], decoder: &Decoder) -> Self {
        let mut cost = Self::for_model(decoder);
        for turn in episodes.iter().flat_map(|episode| &episode.turns) {
            let attempts = turn
                .candidates
                .iter()
                .map(|candidate| (candidate.prompt_tokens, candidate.tokens));
            let reviews = turn
                .review
                .iter()
                .map(|review| (review.prompt_tokens, review.tokens));
            for (prompt, tokens) in attempts.chain(reviews) {
                cost.prompt_tokens += u64::from(prompt);
                cost.sampled_tokens += u64::from(tokens);
            }
        }
        cost
    }

    /// Floating-point operations.
    pub const fn flops(self) -> u64 {
        2 * self.parameters * (self.prompt_tokens + self.sampled_tokens + self.scored_tokens)
            + 6 * self.parameters * self.trained_tokens
    }

    /// Adds the numbers above 0 to a stage's counts.
    pub fn add_to_counts(self, counts: &mut Value) {
        let all = [
            ("parameters", self.parameters),
            ("prompt_tokens", self.prompt_tokens),
            ("sampled_tokens", self.sampled_tokens),
            ("scored_tokens", self.scored_tokens),
            ("trained_tokens", self.trained_tokens),
            ("flops", self.flops()),
        ];
        for (name, count) in all.into_iter().filter(|(_, count)| *count > 0) {
            counts[name] = json!(count);
        }
    }
}

/// The usage of an API model. Its operations are unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ApiCost {
    /// Tokens of the dialogues that were shown.
    pub prompt_tokens: u64,
    /// Tokens of the answers.
    pub completion_tokens: u64,
    /// Requests of this stage; answers from the cache need none.
    pub usage: ApiUsage,
    /// The price of a million tokens.
    pub price: Option<TokenPrice>,
}

impl ApiCost {
    /// The usage of an API model for these episodes.
    pub fn for_episodes(episodes: &[Episode], client: &ApiClient) -> Self {
        let turns = episodes.iter().flat_map(|episode| &episode.turns);
        let candidates = turns.flat_map(|turn| &turn.candidates);
        let (prompt, completion) = candidates.fold((0, 0), |(prompt, completion), candidate| {
            (
                prompt + u64::from(candidate.prompt_tokens),
                completion + u64::from(candidate.tokens),
            )
        });
        Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            usage: client.usage(),
            price: client.endpoint().price,
        }
    }

    /// Adds it to a stage's counts. The price covers all tokens, cached answers included; the paid
    /// amount covers only the requests of this stage.
    pub fn add_to_counts(self, counts: &mut Value) {
        let Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            usage,
            price,
        } = self;
        let all = [
            ("remote_calls", usage.calls),
            ("remote_retries", usage.retries),
            ("remote_cached", usage.cache_hits),
            ("remote_prompt_tokens", prompt),
            ("remote_completion_tokens", completion),
            ("remote_uncounted", usage.uncounted_answers),
        ];
        for (name, count) in all {
            counts[name] = json!(count);
        }
        if let Some(price) = price {
            counts["remote_price"] = json!(price.cost(prompt, completion));
            counts["remote_paid"] = json!(price.cost(usage.prompt_tokens, usage.completion_tokens));
        }
    }
}

/// Tokens sampled for these episodes, reviews included.
pub fn sampled_tokens(episodes: &[Episode]) -> u64 {
    let turns = episodes.iter().flat_map(|episode| &episode.turns);
    turns.map(turn_tokens).sum()
}

fn turn_tokens(turn: &Turn) -> u64 {
    let attempts = turn.candidates.iter().map(|candidate| candidate.tokens);
    let review = turn.review.iter().map(|review| review.tokens);
    attempts.chain(review).map(u64::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_counts_all_tokens_and_the_paid_amount_only_own_requests() {
        let usage = ApiUsage {
            calls: 3,
            retries: 1,
            cache_hits: 2,
            prompt_tokens: 1_000,
            completion_tokens: 500,
            uncounted_answers: 0,
        };
        let price = Some(TokenPrice {
            input: 1.0,
            output: 4.0,
        });
        let mut counts = json!({});
        ApiCost {
            prompt_tokens: 2_000,
            completion_tokens: 1_000,
            usage,
            price,
        }
        .add_to_counts(&mut counts);
        let expected = json!({
            "remote_calls": 3, "remote_retries": 1, "remote_cached": 2, "remote_prompt_tokens": 2_000,
            "remote_completion_tokens": 1_000, "remote_uncounted": 0, "remote_price": 0.006, "remote_paid": 0.003,
        });
        assert_eq!(counts, expected);
    }

    #[test]
    fn operations_by_hand() {
        let cost = ComputeCost {
            parameters: 1_000,
            prompt_tokens: 20,
            sampled_tokens: 30,
            scored_tokens: 50,
            trained_tokens: 10,
        };
        assert_eq!(cost.flops(), 2 * 1_000 * 100 + 6 * 1_000 * 10);
        let mut counts = json!({ "episodes": 1 });
        ComputeCost {
            scored_tokens: 0,
            trained_tokens: 0,
            ..cost
        }
        .add_to_counts(&mut counts);
        let expected = json!({
            "episodes": 1, "parameters": 1_000, "prompt_tokens": 20, "sampled_tokens": 30, "flops": 100_000
        });
        assert_eq!(counts, expected);
    }
}
