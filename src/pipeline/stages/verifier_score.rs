//! How sure a verifier is of an attempt.

use crate::data::{PromptConfig, SelfReview};
use crate::domain::{Dialogue, PolicyError};
use crate::model::LanguageModel;

/// A language model that is asked whether attempts are right.
pub struct VerifierModel {
    /// The model.
    pub model: LanguageModel,
    /// How it is asked.
    pub prompt: PromptConfig,
}

/// What a verifier says of an attempt, or of the beginning of one.
#[derive(Clone, Copy, Debug)]
pub struct VerifierScore {
    /// Its chance of `yes` among `yes` and `no`.
    pub probability: f64,
    /// Tokens that were read for it.
    pub tokens: u64,
}

impl VerifierModel {
    /// What it says of each (question, attempt).
    pub fn score_attempts(
        &self,
        asked: &[(&str, &str)],
    ) -> Result<Vec<VerifierScore>, PolicyError> {
        let said = |&(question, attempt): &(&str, &str)| {
            let dialogue =
                self.prompt
                    .self_review_dialogue(question, SelfReview::Verify, &[], attempt);
            [true, false].map(|right| {
                (
                    dialogue.clone(),
                    SelfReview::verification_answer(right).to_owned(),
                )
            })
        };
        let answers: Vec<(Dialogue, String)> = asked.iter().flat_map(said).collect();
        let values = self.model.log_likelihoods(&answers)?;
        let approval = |(values, answers): (&[f64], &[(Dialogue, String)])| {
            let chance = 1.0 / (1.0 + (values[1] - values[0]).exp());
            Ok(VerifierScore {
                probability: chance,
                tokens: self.count_tokens(&answers[0])? + self.count_tokens(&answers[1])?,
            })
        };
        values
            .chunks_exact(2)
            .zip(answers.chunks_exact(2))
            .map(approval)
            .collect()
    }

    /// Tokens of a dialogue with its answer.
    fn count_tokens(&self, (dialogue, answer): &(Dialogue, String)) -> Result<u64, PolicyError> {
        let written = self
            .model
            .tokenizer
            .encode_dialogue(&dialogue.clone().assistant(answer).0);
        let written = written.map_err(|error| PolicyError::Other(error.to_string()))?;
        Ok(written.tokens.len() as u64)
    }
}
