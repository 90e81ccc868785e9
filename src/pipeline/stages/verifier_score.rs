//! A verifier's probability that an attempt is right.

use crate::data::{PromptConfig, SelfReview};
use crate::domain::{Dialogue, PolicyError};
use crate::model::LanguageModel;

/// A language model that judges attempts with `yes` or `no`.
pub struct VerifierModel {
    /// The model.
    pub model: LanguageModel,
    /// The texts of its question.
    pub prompt: PromptConfig,
}

/// A verifier's judgement of an attempt, or of the beginning of one.
#[derive(Clone, Copy, Debug)]
pub struct VerifierScore {
    /// Probability of `yes` among `yes` and `no`.
    pub probability: f64,
    /// Tokens that it read.
    pub tokens: u64,
}

impl VerifierModel {
    /// The score of each (question, attempt).
    pub fn score_attempts(
        &self,
        attempts: &[(&str, &str)],
    ) -> Result<Vec<VerifierScore>, PolicyError> {
        let answers: Vec<(Dialogue, String)> = attempts
            .iter()
            .flat_map(|(question, attempt)| self.verdicts(question, attempt))
            .collect();
        let log_probs = self.model.log_likelihoods(&answers)?;
        log_probs
            .chunks_exact(2)
            .zip(answers.chunks_exact(2))
            .map(|(log_probs, answers)| {
                Ok(VerifierScore {
                    probability: 1.0 / (1.0 + (log_probs[1] - log_probs[0]).exp()),
                    tokens: self.count_tokens(&answers[0])? + self.count_tokens(&answers[1])?,
                })
            })
            .collect()
    }

    /// The dialogue about an attempt with `yes` and with `no`.
    fn verdicts(&self, question: &str, attempt: &str) -> [(Dialogue, String); 2] {
        let dialogue = self
            .prompt
            .self_review_dialogue(question, SelfReview::Verify, &[], attempt);
        [true, false].map(|right| {
            let answer = SelfReview::verification_answer(right).to_owned();
            (dialogue.clone(), answer)
        })
    }

    /// Tokens of a dialogue with its answer.
    fn count_tokens(&self, (dialogue, answer): &(Dialogue, String)) -> Result<u64, PolicyError> {
        let encoded = self
            .model
            .tokenizer
            .encode_dialogue(&dialogue.clone().assistant(answer).0)
            .map_err(|error| PolicyError::Other(error.to_string()))?;
        Ok(encoded.tokens.len() as u64)
    }
}
