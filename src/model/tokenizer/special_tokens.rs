//! This program's own tokenizers: byte-level BPE with single digits, and four control tokens that
//! no text can spell.

use std::collections::BTreeSet;

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, PreTokenizerWrapper, Tokenizer as Inner};

use crate::domain::{Message, Role};

use super::{EncodedDialogue, TokenizerError};

pub const PAD: &str = "<|pad|>";
pub const USER: &str = "<|user|>";
pub const ASSISTANT: &str = "<|assistant|>";
pub const END: &str = "<|end|>";

/// Bytes and control tokens.
const MIN_VOCABULARY: usize = 260;

/// Ids of the control tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Filler; never predicted.
    pub pad: u32,
    /// Opens a user message.
    pub user: u32,
    /// Opens an assistant message.
    pub assistant: u32,
    /// Ends an assistant message.
    pub end: u32,
}

/// Finds a control token's id by its name.
fn control_token_id(inner: &Inner, name: &str) -> Result<u32, String> {
    inner
        .token_to_id(name)
        .ok_or(format!("control token {name} is missing"))
}

impl SpecialTokens {
    /// Those of a tokenizer, which from now on reads their names in texts as texts.
    ///
    /// # Errors
    /// If it lacks one.
    pub fn from_tokenizer(inner: &mut Inner) -> Result<Self, String> {
        // Texts are data: a control token's name inside one is spelt out, not obeyed.
        inner.set_encode_special_tokens(true);
        Ok(Self {
            pad: control_token_id(inner, PAD)?,
            user: control_token_id(inner, USER)?,
            assistant: control_token_id(inner, ASSISTANT)?,
            end: control_token_id(inner, END)?,
        })
    }

    /// Whether a tokenizer has what opens and ends an answer.
    pub fn are_present(inner: &Inner) -> bool {
        inner.token_to_id(ASSISTANT).is_some() && inner.token_to_id(END).is_some()
    }

    /// Any of them ends an attempt: what follows it would not be this attempt's text.
    pub fn stop_tokens(self) -> Vec<u32> {
        let Self {
            pad,
            user,
            assistant,
            end,
        } = self;
        vec![end, pad, user, assistant]
    }

    /// A user message is `<|user|> text`, an assistant message `<|assistant|> text <|end|>`.
    pub fn encode(
        self,
        messages: &[Message],
        encode: impl Fn(&str) -> Vec<u32>,
    ) -> EncodedDialogue {
        let mut written = EncodedDialogue::default();
        for message in messages {
            let is_answer = message.role == Role::Assistant;
            written
                .tokens
                .push(if is_answer { self.assistant } else { self.user });
            let from = written.tokens.len();
            written.tokens.extend(encode(&message.text));
            if is_answer {
                written.tokens.push(self.end);
                written.answers.push(from..written.tokens.len());
            }
        }
        written
    }
}

/// Learns a vocabulary of at most `vocabulary` tokens from texts.
pub fn train_tokenizer<'a>(
    texts: impl Iterator<Item = &'a str>,
    vocabulary: usize,
) -> Result<Inner, TokenizerError> {
    if vocabulary < MIN_VOCABULARY {
        return Err(TokenizerError::VocabularyTooSmall {
            asked: vocabulary,
            least: MIN_VOCABULARY,
        });
    }
    // Each text once: counts of equal texts say nothing about the language, and the set's
    // order makes training independent of the order of problems.
    let texts: BTreeSet<&str> = texts.collect();
    let mut inner = Inner::new(BPE::default());
    inner.with_pre_tokenizer(Some(Sequence::new(vec![
        PreTokenizerWrapper::Digits(Digits::new(true)),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
    ])));
    inner.with_decoder(Some(ByteLevelDecoder::default()));
    let mut trainer: TrainerWrapper = BpeTrainerBuilder::new()
        .vocab_size(vocabulary)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(
            [PAD, USER, ASSISTANT, END]
                .map(|name| AddedToken::from(name, true))
                .to_vec(),
        )
        .build()
        .into();
    inner
        .train(&mut trainer, texts.into_iter())
        .map_err(|error| TokenizerError::Train(error.to_string()))?;
    Ok(inner)
}
