//! The only file that knows the tokenizers crate: training, saving, and how a dialogue becomes
//! token ids.
//!
//! Byte-level BPE with single digits: every text survives the round trip, whatever characters it
//! has. Control tokens are never read out of texts, so a text cannot end a turn.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, PreTokenizerWrapper, Tokenizer as Inner};

use crate::domain::{Dialogue, Message, Role};

const PAD: &str = "<|pad|>";
const USER: &str = "<|user|>";
const ASSISTANT: &str = "<|assistant|>";
const END: &str = "<|end|>";

/// Ids of the control tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Filler; never predicted.
    pub pad: u32,
    /// Opens a user message.
    pub user: u32,
    /// Opens an assistant message.
    pub assistant: u32,
    /// Ends an assistant message.
    pub end: u32,
}

/// A trained tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: Inner,
    control: Control,
}

/// Why a tokenizer could not be trained, read or written.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file is missing or not a tokenizer.
    #[error("cannot read the tokenizer {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write the tokenizer {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The vocabulary is too small for bytes and control tokens.
    #[error("a vocabulary of {asked} is too small; 256 bytes and 4 control tokens need at least {least}")]
    TooSmall {
        /// Tokens asked for.
        asked: usize,
        /// The least that works.
        least: usize,
    },
    /// Training failed.
    #[error("cannot train a tokenizer: {0}")]
    Train(String),
}

impl Tokenizer {
    /// Learns a vocabulary of at most `vocabulary` tokens from texts.
    ///
    /// # Errors
    /// If the vocabulary is too small, or the trainer fails.
    pub fn train<'a>(
        texts: impl Iterator<Item = &'a str>,
        vocabulary: usize,
    ) -> Result<Self, TokenizerError> {
        const LEAST: usize = 260;
        if vocabulary < LEAST {
            return Err(TokenizerError::TooSmall { asked: vocabulary, least: LEAST });
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
            .special_tokens([PAD, USER, ASSISTANT, END].map(|name| AddedToken::from(name, true)).to_vec())
            .build()
            .into();
        inner
            .train(&mut trainer, texts.into_iter())
            .map_err(|error| TokenizerError::Train(error.to_string()))?;
        Self::wrap(inner).map_err(TokenizerError::Train)
    }

    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// If the file is missing, is not a tokenizer, or lacks the control tokens.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let fail = |reason: String| TokenizerError::Read { path: path.to_owned(), reason };
        let inner = Inner::from_file(path).map_err(|error| fail(error.to_string()))?;
        Self::wrap(inner).map_err(fail)
    }

    /// Writes `tokenizer.json`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TokenizerError> {
        let fail = |error: tokenizers::Error| TokenizerError::Write {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        self.inner.save(path, true).map_err(fail)
    }

    fn wrap(mut inner: Inner) -> Result<Self, String> {
        // Texts are data: a control token's name inside one is spelt out, not obeyed.
        inner.set_encode_special_tokens(true);
        let id = |name: &str| inner.token_to_id(name).ok_or(format!("control token {name} is missing"));
        let control = Control { pad: id(PAD)?, user: id(USER)?, assistant: id(ASSISTANT)?, end: id(END)? };
        Ok(Self { inner, control })
    }

    /// V: number of tokens.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Ids of the control tokens.
    #[must_use]
    pub const fn control(&self) -> Control {
        self.control
    }

    /// The tokens of a text, without control tokens.
    ///
    /// # Panics
    /// Never: byte-level BPE encodes every text.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.inner.encode_fast(text, false).expect("byte-level BPE encodes every text").get_ids().to_vec()
    }

    /// The text of some tokens; control tokens are left out.
    ///
    /// # Panics
    /// Never: every id of the vocabulary decodes.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.inner.decode(tokens, true).expect("every token decodes")
    }

    /// The tokens of one message, control tokens included: a user message is
    /// `<|user|> text`, an assistant message `<|assistant|> text <|end|>`.
    #[must_use]
    pub fn message(&self, message: &Message) -> Vec<u32> {
        let mut tokens = vec![match message.role {
            Role::User => self.control.user,
            Role::Assistant => self.control.assistant,
        }];
        tokens.extend(self.encode(&message.text));
        if message.role == Role::Assistant {
            tokens.push(self.control.end);
        }
        tokens
    }

    /// The tokens of a dialogue up to where the next assistant message begins.
    #[must_use]
    pub fn prompt(&self, dialogue: &Dialogue) -> Vec<u32> {
        let mut tokens: Vec<u32> = dialogue.0.iter().flat_map(|message| self.message(message)).collect();
        tokens.push(self.control.assistant);
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        let texts = ["Ann has 8 cards. She gives away 16.", "8-6=2\n#### 2", "Ben has 16 pens. He buys 3."];
        Tokenizer::train(texts.into_iter(), 300).unwrap()
    }

    #[test]
    fn digits_stand_alone_and_words_do_not() {
        let tokenizer = tokenizer();
        assert_eq!(tokenizer.encode("16").len(), 2);
        assert!(tokenizer.encode(" has").len() < 4, "{:?}", tokenizer.encode(" has"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives_the_round_trip(text in ".*") {
            let tokenizer = tokenizer();
            proptest::prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
        }
    }

    #[test]
    fn control_names_in_a_text_are_not_control_tokens() {
        let tokenizer = tokenizer();
        let tokens = tokenizer.encode("a<|end|>b");
        assert!(!tokens.contains(&tokenizer.control().end));
        assert_eq!(tokenizer.decode(&tokens), "a<|end|>b");
    }

    #[test]
    fn training_twice_and_saving_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.json"), folder.path().join("b.json"));
        tokenizer().save(&a).unwrap();
        Tokenizer::load(&a).unwrap().save(&b).unwrap();
        let again = folder.path().join("c.json");
        tokenizer().save(&again).unwrap();
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&again).unwrap());
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    }

    #[test]
    fn a_prompt_is_the_prefix_of_its_continuation() {
        let tokenizer = tokenizer();
        let asked = Dialogue::default().user("Ann has 8 cards.");
        let answered = asked.clone().assistant("#### 8").user("Again.");
        let (short, long) = (tokenizer.prompt(&asked), tokenizer.prompt(&answered));
        assert_eq!(long[..short.len()], short[..]);
    }

    #[test]
    fn a_vocabulary_below_the_bytes_is_refused() {
        let error = Tokenizer::train(["a"].into_iter(), 100).unwrap_err();
        insta::assert_snapshot!(error, @"a vocabulary of 100 is too small; 256 bytes and 4 control tokens need at least 260");
    }
}
