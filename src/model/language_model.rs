//! A decoder and its tokenizer as a policy.

use crate::domain::{Attempt, Policy, PolicyError, Request, Sampling};

use super::{Decoder, Prompted, Tokenizer, TokenizerError, generate};

/// A language model that answers dialogues.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    /// The network.
    pub decoder: Decoder,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

impl LanguageModel {
    fn prompted(&self, request: &Request, sampling: &Sampling) -> Result<Prompted, PolicyError> {
        let mut tokens = self.tokenizer.prompt(&request.dialogue).map_err(|error| other(&error))?;
        tokens.extend(self.tokenizer.encode(&request.prefix));
        let limit = self.decoder.config().positions;
        if tokens.len() + sampling.max_tokens > limit {
            return Err(PolicyError::TooLong { tokens: tokens.len(), room: sampling.max_tokens, limit });
        }
        Ok(Prompted { tokens, seeds: request.seeds.clone() })
    }

    fn attempt(&self, prompt: &Prompted, tokens: &[u32]) -> Attempt {
        let finished = tokens.last().is_some_and(|&last| self.tokenizer.is_end(last));
        let (prompt, text) = (prompt.tokens.len() as u32, self.tokenizer.decode(tokens));
        Attempt { text, tokens: tokens.len() as u32, prompt, finished }
    }
}

/// A dialogue that cannot be written.
pub(super) fn other(error: &TokenizerError) -> PolicyError {
    PolicyError::Other(error.to_string())
}

impl Policy for LanguageModel {
    fn respond(
        &mut self,
        requests: &[Request],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Attempt>>, PolicyError> {
        let prompts =
            requests.iter().map(|request| self.prompted(request, sampling)).collect::<Result<Vec<_>, _>>()?;
        let samples = generate(&self.decoder, &prompts, sampling, &self.tokenizer.stops());
        let attempts = |(prompt, samples): (&Prompted, &Vec<Vec<u32>>)| {
            samples.iter().map(|tokens| self.attempt(prompt, tokens)).collect()
        };
        Ok(prompts.iter().zip(&samples).map(attempts).collect())
    }
}
