//! The only module that knows the tokenizers crate: reading, saving, and how a dialogue becomes
//! token ids.
//!
//! ```text
//! control     this program's own: training, and dialogues with control tokens
//! templated   those of other checkpoints: dialogues by their chat template
//! ```
//!
//! With its own tokenizers every text survives the round trip, whatever characters it has, and control
//! tokens are never read out of texts, so a text cannot end a turn. With those of other checkpoints a
//! token's name inside a text is the token, as in transformers.

mod control;
mod templated;

use std::ops::Range;
use std::path::{Path, PathBuf};

use tokenizers::Tokenizer as Inner;

use crate::domain::{Dialogue, Message};

use super::chat::{ChatError, ChatTemplate};
use super::checkpoint;

pub use control::Control;
pub(super) use control::{ASSISTANT, END, PAD, USER};
use templated::Templated;

/// A trained tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: Inner,
    format: Format,
}

/// How dialogues are written.
#[derive(Clone, Debug)]
enum Format {
    /// With this program's control tokens.
    Own(Control),
    /// By a checkpoint's template.
    Chat(Box<Templated>),
}

/// A dialogue in token ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// All of it.
    pub tokens: Vec<u32>,
    /// Where each assistant message lies, its end token included and what opens it left out.
    pub answers: Vec<Range<usize>>,
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
    /// The chat template cannot write a dialogue.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// What is sampled after a dialogue would not be what is trained after it.
    #[error(
        "the chat template writes the beginning of a dialogue otherwise once it is answered (message {0}), so a model cannot be trained on what it samples; use a template that only adds to what was said"
    )]
    Unsteady(usize),
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
        Self::own(control::train(texts, vocabulary)?).map_err(TokenizerError::Train)
    }

    /// Reads `tokenizer.json`, and the chat template beside it where it has not this program's control
    /// tokens.
    ///
    /// # Errors
    /// If the file is missing or is not a tokenizer, or there is no way to write dialogues with it.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        Self::load_with(path, None)
    }

    /// The same, with the template in a file of its own in place of the one beside it.
    ///
    /// # Errors
    /// As [`Tokenizer::load`], or if the template cannot be read.
    pub fn load_with(path: &Path, chat_template: Option<&Path>) -> Result<Self, TokenizerError> {
        let fail = |reason: String| TokenizerError::Read { path: path.to_owned(), reason };
        let inner = Inner::from_file(path).map_err(|error| fail(error.to_string()))?;
        if Control::are_in(&inner) {
            return Self::own(inner).map_err(fail);
        }
        let templated = Templated::read(path, &inner, chat_template)?;
        Ok(Self { inner, format: Format::Chat(Box::new(templated)) })
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

    /// Writes everything that reading it again needs into `folder`; returns the files' names.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save_all(&self, folder: &Path) -> Result<Vec<&'static str>, TokenizerError> {
        match &self.format {
            Format::Own(_) => {
                self.save(&folder.join(checkpoint::TOKENIZER))?;
                Ok(vec![checkpoint::TOKENIZER])
            }
            Format::Chat(templated) => templated.save(folder),
        }
    }

    fn own(mut inner: Inner) -> Result<Self, String> {
        let control = Control::of(&mut inner)?;
        Ok(Self { inner, format: Format::Own(control) })
    }

    /// V: number of tokens.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Tokens behind which nothing of an attempt follows.
    #[must_use]
    pub fn stops(&self) -> Vec<u32> {
        match &self.format {
            Format::Own(control) => control.stops(),
            Format::Chat(templated) => templated.ends.clone(),
        }
    }

    /// This program's control tokens; none where dialogues are written by a chat template.
    #[must_use]
    pub const fn control(&self) -> Option<Control> {
        match &self.format {
            Format::Own(control) => Some(*control),
            Format::Chat(_) => None,
        }
    }

    /// The chat template that writes dialogues; none where control tokens do.
    #[must_use]
    pub fn template(&self) -> Option<&ChatTemplate> {
        match &self.format {
            Format::Own(_) => None,
            Format::Chat(templated) => Some(&templated.template),
        }
    }

    /// Names of the tokens that end an answer the way answers should end.
    #[must_use]
    pub fn ends(&self) -> Vec<String> {
        let ids = match &self.format {
            Format::Own(control) => vec![control.end],
            Format::Chat(templated) => templated.ends.clone(),
        };
        ids.into_iter().map(|id| self.inner.id_to_token(id).unwrap_or_else(|| format!("{id}"))).collect()
    }

    /// Whether a token ends an answer the way answers should end.
    #[must_use]
    pub fn is_end(&self, token: u32) -> bool {
        match &self.format {
            Format::Own(control) => token == control.end,
            Format::Chat(templated) => templated.ends.contains(&token),
        }
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

    /// The tokens of a dialogue, and where its answers lie in them.
    ///
    /// # Errors
    /// If a chat template refuses the dialogue, or writes its beginning otherwise than before.
    pub fn write(&self, messages: &[Message]) -> Result<Written, TokenizerError> {
        match &self.format {
            Format::Own(control) => Ok(control.write(messages, |text| self.encode(text))),
            Format::Chat(templated) => templated.write(messages, |text| self.encode(text)),
        }
    }

    /// The tokens of a dialogue up to where the next assistant message begins.
    ///
    /// # Errors
    /// If a chat template refuses the dialogue.
    pub fn prompt(&self, dialogue: &Dialogue) -> Result<Vec<u32>, TokenizerError> {
        match &self.format {
            Format::Own(control) => {
                let mut tokens = control.write(&dialogue.0, |text| self.encode(text)).tokens;
                tokens.push(control.assistant);
                Ok(tokens)
            }
            Format::Chat(templated) => Ok(self.encode(&templated.template.render(&dialogue.0, true)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        assert!(!tokens.iter().any(|&token| tokenizer.is_end(token)));
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
        assert_eq!(fs::read(&a).unwrap(), fs::read(&again).unwrap());
        assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
    }

    #[test]
    fn a_prompt_is_the_prefix_of_its_continuation() {
        let tokenizer = tokenizer();
        let asked = Dialogue::default().user("Ann has 8 cards.");
        let answered = asked.clone().assistant("#### 8").user("Again.");
        let (short, long) = (tokenizer.prompt(&asked).unwrap(), tokenizer.prompt(&answered).unwrap());
        assert_eq!(long[..short.len()], short[..]);
    }

    #[test]
    fn a_vocabulary_below_the_bytes_is_refused() {
        let error = Tokenizer::train(["a"].into_iter(), 100).unwrap_err();
        insta::assert_snapshot!(error, @"a vocabulary of 100 is too small; 256 bytes and 4 control tokens need at least 260");
    }
}
