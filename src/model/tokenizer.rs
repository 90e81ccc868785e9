//! The only file that knows the tokenizers crate: training, saving, and how a dialogue becomes
//! token ids.
//!
//! This program's own tokenizers are byte-level BPE with single digits: every text survives the
//! round trip, whatever characters it has, and control tokens are never read out of texts, so a text
//! cannot end a turn. Those of other checkpoints write dialogues by their chat template; a token's
//! name inside a text is then the token, as in transformers.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, PreTokenizerWrapper, Tokenizer as Inner};

use crate::domain::{Dialogue, Message, Role};

use super::chat::{self, ChatError, ChatTemplate};
use super::checkpoint;

pub(super) const PAD: &str = "<|pad|>";
pub(super) const USER: &str = "<|user|>";
pub(super) const ASSISTANT: &str = "<|assistant|>";
pub(super) const END: &str = "<|end|>";

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
    format: Format,
}

/// How dialogues are written.
#[derive(Clone, Debug)]
enum Format {
    /// With this program's control tokens.
    Own(Control),
    /// By a checkpoint's template; an answer ends with one of these tokens.
    Chat {
        template: Box<ChatTemplate>,
        ends: Vec<u32>,
        /// The files that it was read from, by name: a copy of the tokenizer is a copy of them.
        files: Vec<Kept>,
    },
}

/// A file by its name and bytes.
type Kept = (&'static str, Arc<[u8]>);

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
        if inner.token_to_id(ASSISTANT).is_some() && inner.token_to_id(END).is_some() {
            return Self::wrap(inner).map_err(fail);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let Some(template) = ChatTemplate::read_with(folder, chat_template)? else {
            let reason = "there is no chat template beside it (`tokenizer_config.json`, `chat_template.jinja`); use an instruction-tuned checkpoint, or give one with `chat_template = \"FILE\"`".to_owned();
            return Err(fail(reason));
        };
        let ends = ends(&inner, &template, &folder.join("generation_config.json"));
        if ends.is_empty() {
            return Err(fail("no token is named that ends an answer (`eos_token`)".to_owned()));
        }
        let files = files(path, chat_template).map_err(|error| fail(error.to_string()))?;
        Ok(Self { inner, format: Format::Chat { template: Box::new(template), ends, files } })
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
        let Format::Chat { files, .. } = &self.format else {
            self.save(&folder.join(checkpoint::TOKENIZER))?;
            return Ok(vec![checkpoint::TOKENIZER]);
        };
        for (name, bytes) in files {
            let path = folder.join(name);
            let fail =
                |error: io::Error| TokenizerError::Write { path: path.clone(), reason: error.to_string() };
            fs::write(&path, bytes).map_err(fail)?;
        }
        Ok(files.iter().map(|(name, _)| *name).collect())
    }

    fn wrap(mut inner: Inner) -> Result<Self, String> {
        // Texts are data: a control token's name inside one is spelt out, not obeyed.
        inner.set_encode_special_tokens(true);
        let id = |name: &str| inner.token_to_id(name).ok_or(format!("control token {name} is missing"));
        let control = Control { pad: id(PAD)?, user: id(USER)?, assistant: id(ASSISTANT)?, end: id(END)? };
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
            // Any control token: what follows it would not be this attempt's text.
            Format::Own(Control { pad, user, assistant, end }) => vec![*end, *pad, *user, *assistant],
            Format::Chat { ends, .. } => ends.clone(),
        }
    }

    /// This program's control tokens; none where dialogues are written by a chat template.
    #[must_use]
    pub const fn control(&self) -> Option<Control> {
        match &self.format {
            Format::Own(control) => Some(*control),
            Format::Chat { .. } => None,
        }
    }

    /// The chat template that writes dialogues; none where control tokens do.
    #[must_use]
    pub fn template(&self) -> Option<&ChatTemplate> {
        match &self.format {
            Format::Own(_) => None,
            Format::Chat { template, .. } => Some(template),
        }
    }

    /// Names of the tokens that end an answer the way answers should end.
    #[must_use]
    pub fn ends(&self) -> Vec<String> {
        let ids = match &self.format {
            Format::Own(control) => vec![control.end],
            Format::Chat { ends, .. } => ends.clone(),
        };
        ids.into_iter().map(|id| self.inner.id_to_token(id).unwrap_or_else(|| format!("{id}"))).collect()
    }

    /// Whether a token ends an answer the way answers should end.
    #[must_use]
    pub fn is_end(&self, token: u32) -> bool {
        match &self.format {
            Format::Own(control) => token == control.end,
            Format::Chat { ends, .. } => ends.contains(&token),
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
            Format::Own(control) => Ok(self.write_own(*control, messages)),
            Format::Chat { template, .. } => self.write_chat(template, messages),
        }
    }

    /// The tokens of a dialogue up to where the next assistant message begins.
    ///
    /// # Errors
    /// If a chat template refuses the dialogue.
    pub fn prompt(&self, dialogue: &Dialogue) -> Result<Vec<u32>, TokenizerError> {
        match &self.format {
            Format::Own(control) => {
                let mut tokens = self.write_own(*control, &dialogue.0).tokens;
                tokens.push(control.assistant);
                Ok(tokens)
            }
            Format::Chat { template, .. } => Ok(self.encode(&template.render(&dialogue.0, true)?)),
        }
    }

    /// A user message is `<|user|> text`, an assistant message `<|assistant|> text <|end|>`.
    fn write_own(&self, control: Control, messages: &[Message]) -> Written {
        let mut written = Written::default();
        for message in messages {
            let is_answer = message.role == Role::Assistant;
            written.tokens.push(if is_answer { control.assistant } else { control.user });
            let from = written.tokens.len();
            written.tokens.extend(self.encode(&message.text));
            if is_answer {
                written.tokens.push(control.end);
                written.answers.push(from..written.tokens.len());
            }
        }
        written
    }

    fn write_chat(&self, template: &ChatTemplate, messages: &[Message]) -> Result<Written, TokenizerError> {
        let tokens = self.encode(&template.render(messages, false)?);
        let mut answers = Vec::new();
        let answered = messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant);
        for (number, _) in answered {
            let before = self.encode(&template.render(&messages[..number], true)?);
            let after = self.encode(&template.render(&messages[..=number], false)?);
            if !tokens.starts_with(&before) || !tokens.starts_with(&after) || after.len() <= before.len() {
                return Err(TokenizerError::Unsteady(number + 1));
            }
            // Some templates write a line's end behind the token that ends an answer.
            let said = &tokens[before.len()..after.len()];
            let end = said.iter().position(|&token| self.is_end(token)).map_or(said.len(), |at| at + 1);
            answers.push(before.len()..before.len() + end);
        }
        Ok(Written { tokens, answers })
    }
}

/// The bytes of a tokenizer and of what belongs to it.
fn files(path: &Path, chat_template: Option<&Path>) -> io::Result<Vec<Kept>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files = vec![(checkpoint::TOKENIZER, fs::read(path)?.into())];
    for name in checkpoint::COMPANIONS {
        let from = match chat_template {
            Some(given) if name == chat::TEMPLATE => given.to_owned(),
            _ => folder.join(name),
        };
        match fs::read(&from) {
            Ok(bytes) => files.push((name, bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Tokens that end an answer: those that generation is configured with, and the template's own.
fn ends(inner: &Inner, template: &ChatTemplate, generation: &Path) -> Vec<u32> {
    let json: serde_json::Value = fs::read_to_string(generation)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let configured = match &json["eos_token_id"] {
        serde_json::Value::Array(several) => several.clone(),
        one => vec![one.clone()],
    };
    let configured = configured.iter().filter_map(serde_json::Value::as_u64).map(|id| id as u32);
    let mut ends: Vec<u32> =
        configured.chain(template.end().and_then(|token| inner.token_to_id(token))).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
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
