//! Policies, which turn dialogues into attempts.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Dialogue, Seed};

/// How tokens are drawn from the model's distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// Softmax temperature; 0 is greedy. The official code evaluates at 1.0.
    pub temperature: f64,
    /// Keep only the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens with this much probability; 1 keeps all.
    pub top_p: f64,
    /// The most tokens of one attempt.
    pub max_tokens: usize,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            max_tokens: 96,
        }
    }
}

impl SamplingConfig {
    /// The first fault of these settings, as field and complaint.
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, String)> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Some((
                "temperature",
                format!("{} is not a number of at least 0", self.temperature),
            ));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Some(("top_p", format!("{} is not in (0, 1]", self.top_p)));
        }
        (self.max_tokens == 0).then(|| ("max_tokens", "0 leaves no room for an answer".to_owned()))
    }
}

/// One dialogue to answer, once per seed.
#[derive(Clone, Debug)]
pub struct PolicyRequest {
    /// The policy's input; ends with a user message.
    pub dialogue: Dialogue,
    /// One seed per wanted sample.
    pub seeds: Vec<Seed>,
    /// The beginning of the answer, which the policy continues. Mostly empty.
    pub prefix: String,
}

impl PolicyRequest {
    /// A dialogue to answer from the beginning.
    #[must_use]
    pub const fn new(dialogue: Dialogue, seeds: Vec<Seed>) -> Self {
        Self {
            dialogue,
            seeds,
            prefix: String::new(),
        }
    }
}

/// One sampled answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampledAttempt {
    /// The text, without control tokens and without the request's prefix.
    pub text: String,
    /// Tokens sampled, the end token included.
    pub tokens: u32,
    /// Tokens of the dialogue that was shown, the prefix included.
    pub prompt_tokens: u32,
    /// Whether it ended by itself rather than at the token limit.
    pub finished: bool,
}

/// Why a policy could not answer.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The dialogue leaves no room for an answer.
    #[error(
        "a dialogue of {tokens} tokens and {room} tokens of answer do not fit the model's {limit} positions; shorten `window` or `max_tokens`"
    )]
    TooLong {
        /// Tokens of the dialogue.
        tokens: usize,
        /// Tokens of answer that the caller wants.
        room: usize,
        /// Positions of the model.
        limit: usize,
    },
    /// The caller wants a stop.
    #[error("stopped on request")]
    Stopped,
    /// A script has no line for this dialogue.
    #[error("the script has no answer to {0:?}")]
    Unscripted(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Turns dialogues into attempts.
///
/// Samples are independent: each depends only on its dialogue and its seed, never on the others
/// in the batch.
pub trait Policy {
    /// Answers every request once per seed, in order.
    ///
    /// # Errors
    /// If a dialogue does not fit the model, or the policy was stopped.
    fn respond(
        &mut self,
        requests: &[PolicyRequest],
        sampling: &SamplingConfig,
    ) -> Result<Vec<Vec<SampledAttempt>>, PolicyError>;
}

/// A policy that answers from a table; for tests of whatever uses a policy.
///
/// The answer is looked up by (first message, number of earlier attempts); the samples of one
/// request take the scripted lines in turn.
#[derive(Clone, Debug, Default)]
pub struct ScriptedPolicy {
    lines: HashMap<(String, usize), Vec<String>>,
    /// Number of attempts so far.
    pub attempts_requested: usize,
}

impl ScriptedPolicy {
    /// A policy without lines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the answers to give to `question` (the first user message) after `earlier` attempts.
    #[must_use]
    pub fn with_answers(mut self, question: &str, earlier: usize, answers: &[&str]) -> Self {
        let answers = answers.iter().map(|&answer| answer.to_owned()).collect();
        self.lines.insert((question.to_owned(), earlier), answers);
        self
    }
}

impl Policy for ScriptedPolicy {
    fn respond(
        &mut self,
        requests: &[PolicyRequest],
        _: &SamplingConfig,
    ) -> Result<Vec<Vec<SampledAttempt>>, PolicyError> {
        requests
            .iter()
            .map(|request| {
                let question = request
                    .dialogue
                    .0
                    .first()
                    .map_or("", |message| message.text.as_str());
                let earlier = request.dialogue.0.len() / 2;
                let answers = self
                    .lines
                    .get(&(question.to_owned(), earlier))
                    .ok_or_else(|| PolicyError::Unscripted(question.to_owned()))?;
                self.attempts_requested += request.seeds.len();
                Ok((0..request.seeds.len())
                    .map(|sample| {
                        let text = answers[sample % answers.len()].clone();
                        let count = |text: &str| text.split_whitespace().count() as u32 + 1;
                        let prompt = request
                            .dialogue
                            .0
                            .iter()
                            .map(|message| count(&message.text))
                            .sum();
                        SampledAttempt {
                            tokens: count(&text),
                            text,
                            prompt_tokens: prompt,
                            finished: true,
                        }
                    })
                    .collect())
            })
            .collect()
    }
}
