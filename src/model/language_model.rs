//! A decoder and its tokenizer as a policy.

use std::sync::{Mutex, PoisonError};

use crate::domain::{
    Dialogue, Policy, PolicyError, PolicyRequest, SampledAttempt, SamplingConfig, Seed,
};

use super::{Decoder, GenerationPrompt, Tokenizer, TokenizerError, generate, generate_streaming};

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
    pub fn generate_answer(
        &self,
        dialogue: &Dialogue,
        seed: Seed,
        sampling: &SamplingConfig,
        hear: &(dyn Fn(&str) + Sync),
    ) -> Result<SampledAttempt, PolicyError> {
        let tokens = self.encode_prompt(dialogue)?;
        self.check_room(tokens.len(), 1)?;
        let limit = self.decoder.config().positions;
        let sampling = SamplingConfig {
            max_tokens: sampling.max_tokens.min(limit - tokens.len()),
            ..*sampling
        };
        let told = Mutex::new(StreamedText::default());
        let prompts = [GenerationPrompt {
            tokens,
            seeds: vec![seed],
        }];
        let written = generate_streaming(
            &self.decoder,
            &prompts,
            &sampling,
            &self.tokenizer.stop_tokens(),
            &|_, token| {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.push_token(token, &self.tokenizer, hear);
            },
        )
        .concat();
        let attempt = self.decode_attempt(&prompts[0], written.first().map_or(&[], Vec::as_slice));
        let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
        hear(attempt.text.strip_prefix(&told.text).unwrap_or_default());
        Ok(attempt)
    }

    fn encode_prompt(&self, dialogue: &Dialogue) -> Result<Vec<u32>, PolicyError> {
        self.tokenizer
            .encode_prompt(dialogue)
            .map_err(|error| policy_error(&error))
    }

    /// Refuses a prompt that leaves fewer than `room` positions for the answer.
    fn check_room(&self, tokens: usize, room: usize) -> Result<(), PolicyError> {
        let limit = self.decoder.config().positions;
        if tokens + room > limit {
            return Err(PolicyError::TooLong {
                tokens,
                room,
                limit,
            });
        }
        Ok(())
    }

    fn encode_request(
        &self,
        request: &PolicyRequest,
        sampling: &SamplingConfig,
    ) -> Result<GenerationPrompt, PolicyError> {
        let mut tokens = self.encode_prompt(&request.dialogue)?;
        tokens.extend(self.tokenizer.encode(&request.prefix));
        self.check_room(tokens.len(), sampling.max_tokens)?;
        Ok(GenerationPrompt {
            tokens,
            seeds: request.seeds.clone(),
        })
    }

    fn decode_attempt(&self, prompt: &GenerationPrompt, tokens: &[u32]) -> SampledAttempt {
        let finished = tokens
            .last()
            .is_some_and(|&last| self.tokenizer.is_end_token(last));
        let (prompt, text) = (prompt.tokens.len() as u32, self.tokenizer.decode(tokens));
        SampledAttempt {
            text,
            tokens: tokens.len() as u32,
            prompt_tokens: prompt,
            finished,
        }
    }
}

/// What of an answer was told so far.
#[derive(Default)]
struct StreamedText {
    tokens: Vec<u32>,
    text: String,
}

impl StreamedText {
    /// Tells what a token adds; bytes that are no whole character yet wait for the next one.
    fn push_token(&mut self, token: u32, tokenizer: &Tokenizer, hear: &dyn Fn(&str)) {
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
pub(super) fn policy_error(error: &TokenizerError) -> PolicyError {
    PolicyError::Other(error.to_string())
}

impl Policy for LanguageModel {
    fn respond(
        &mut self,
        requests: &[PolicyRequest],
        sampling: &SamplingConfig,
    ) -> Result<Vec<Vec<SampledAttempt>>, PolicyError> {
        let prompts = requests
            .iter()
            .map(|request| self.encode_request(request, sampling))
            .collect::<Result<Vec<_>, _>>()?;
        let samples = generate(
            &self.decoder,
            &prompts,
            sampling,
            &self.tokenizer.stop_tokens(),
        );
        let attempts = prompts.iter().zip(&samples).map(|(prompt, samples)| {
            samples
                .iter()
                .map(|tokens| self.decode_attempt(prompt, tokens))
                .collect()
        });
        Ok(attempts.collect())
    }
}
