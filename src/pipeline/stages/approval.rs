//! How sure a verifier is of an attempt.

use crate::data::{Inquiry, Prompt};
use crate::domain::{Dialogue, PolicyError};
use crate::model::LanguageModel;

/// A language model that is asked whether attempts are right.
pub struct Verifier {
    /// The model.
    pub model: LanguageModel,
    /// How it is asked.
    pub prompt: Prompt,
}

/// What a verifier says of an attempt, or of the beginning of one.
#[derive(Clone, Copy, Debug)]
pub struct Approval {
    /// Its chance of `yes` among `yes` and `no`.
    pub chance: f64,
    /// Tokens that were read for it.
    pub tokens: u64,
}

impl Verifier {
    /// What it says of each (question, attempt).
    pub fn approvals(&self, asked: &[(&str, &str)]) -> Result<Vec<Approval>, PolicyError> {
        let said = |&(question, attempt): &(&str, &str)| {
            let dialogue = self.prompt.inquiry(question, Inquiry::Verify, &[], attempt);
            [true, false].map(|right| (dialogue.clone(), Inquiry::verification(right).to_owned()))
        };
        let answers: Vec<(Dialogue, String)> = asked.iter().flat_map(said).collect();
        let values = self.model.log_likelihoods(&answers)?;
        let approval = |(values, answers): (&[f64], &[(Dialogue, String)])| {
            let chance = 1.0 / (1.0 + (values[1] - values[0]).exp());
            Ok(Approval {
                chance,
                tokens: self.read(&answers[0])? + self.read(&answers[1])?,
            })
        };
        values
            .chunks_exact(2)
            .zip(answers.chunks_exact(2))
            .map(approval)
            .collect()
    }

    /// Tokens of a dialogue with its answer.
    fn read(&self, (dialogue, answer): &(Dialogue, String)) -> Result<u64, PolicyError> {
        let written = self
            .model
            .tokenizer
            .write(&dialogue.clone().assistant(answer).0);
        let written = written.map_err(|error| PolicyError::Other(error.to_string()))?;
        Ok(written.tokens.len() as u64)
    }
}
