//! A decoder and its tokenizer as a policy.

use std::sync::{Mutex, PoisonError};

use crate::domain::{Attempt, Dialogue, Policy, PolicyError, Request, Sampling, Seed};

use super::{Decoder, Prompted, Tokenizer, TokenizerError, generate, generate_aloud};

/// A language model that answers dialogues.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    /// The network.
    pub decoder: Decoder,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

impl LanguageModel {
    /// Answers one dialogue, telling of the answer's text as it grows.
    ///
    /// The answer gets as many tokens as were asked for and as there are positions left.
    ///
    /// # Errors
    /// If no position is left for an answer, or the dialogue cannot be written.
    pub fn answer(
        &self,
        dialogue: &Dialogue,
        seed: Seed,
        sampling: &Sampling,
        hear: &(dyn Fn(&str) + Sync),
    ) -> Result<Attempt, PolicyError> {
        let tokens = self
            .tokenizer
            .prompt(dialogue)
            .map_err(|error| other(&error))?;
        let limit = self.decoder.config().positions;
        if tokens.len() >= limit {
            return Err(PolicyError::TooLong {
                tokens: tokens.len(),
                room: 1,
                limit,
            });
        }
        let sampling = Sampling {
            max_tokens: sampling.max_tokens.min(limit - tokens.len()),
            ..*sampling
        };
        let told = Mutex::new(Told::default());
        let heard = |_, token| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.tell(token, &self.tokenizer, hear);
        };
        let prompts = [Prompted {
            tokens,
            seeds: vec![seed],
        }];
        let written = generate_aloud(
            &self.decoder,
            &prompts,
            &sampling,
            &self.tokenizer.stops(),
            &heard,
        )
        .concat();
        let attempt = self.attempt(&prompts[0], written.first().map_or(&[], Vec::as_slice));
        let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
        hear(attempt.text.strip_prefix(&told.text).unwrap_or_default());
        Ok(attempt)
    }

    fn prompted(&self, request: &Request, sampling: &Sampling) -> Result<Prompted, PolicyError> {
        let mut tokens = self
            .tokenizer
            .prompt(&request.dialogue)
            .map_err(|error| other(&error))?;
        tokens.extend(self.tokenizer.encode(&request.prefix));
        let limit = self.decoder.config().positions;
        if tokens.len() + sampling.max_tokens > limit {
            return Err(PolicyError::TooLong {
                tokens: tokens.len(),
                room: sampling.max_tokens,
                limit,
            });
        }
        Ok(Prompted {
            tokens,
            seeds: request.seeds.clone(),
        })
    }

    fn attempt(&self, prompt: &Prompted, tokens: &[u32]) -> Attempt {
        let finished = tokens
            .last()
            .is_some_and(|&last| self.tokenizer.is_end(last));
        let (prompt, text) = (prompt.tokens.len() as u32, self.tokenizer.decode(tokens));
        Attempt {
            text,
            tokens: tokens.len() as u32,
            prompt,
            finished,
        }
    }
}

/// What of an answer was told so far.
#[derive(Default)]
struct Told {
    tokens: Vec<u32>,
    text: String,
}

impl Told {
    /// Tells what a token adds; bytes that are no whole character yet wait for the next one.
    fn tell(&mut self, token: u32, tokenizer: &Tokenizer, hear: &dyn Fn(&str)) {
        self.tokens.push(token);
        let text = tokenizer.decode(&self.tokens);
        if !text.ends_with(char::REPLACEMENT_CHARACTER)
            && let Some(new) = text.strip_prefix(&self.text).filter(|new| !new.is_empty())
        {
            hear(new);
            self.text = text;
        }
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
        let prompts = requests
            .iter()
            .map(|request| self.prompted(request, sampling))
            .collect::<Result<Vec<_>, _>>()?;
        let samples = generate(&self.decoder, &prompts, sampling, &self.tokenizer.stops());
        let attempts = |(prompt, samples): (&Prompted, &Vec<Vec<u32>>)| {
            samples
                .iter()
                .map(|tokens| self.attempt(prompt, tokens))
                .collect()
        };
        Ok(prompts.iter().zip(&samples).map(attempts).collect())
    }
}
