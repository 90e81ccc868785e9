//! The only module that knows the tokenizers crate: reading, saving, and how a dialogue becomes
//! token ids.
//!
//! ```text
//! control     this program's own: training, and dialogues with control tokens
//! templated   those of other checkpoints: dialogues by their chat template
//! dialogue    how its texts become tokens
//! ends        which tokens end its answers
//! ```
//!
//! With its own tokenizers every text survives the round trip, whatever characters it has, and control
//! tokens are never read out of texts, so a text cannot end a turn. With those of other checkpoints a
//! token's name inside a text is the token, as in transformers.

mod chat_format;
mod dialogue_encoder;
#[cfg(test)]
mod fixtures;
mod special_tokens;
mod stop_tokens;

use std::ops::Range;
use std::path::{Path, PathBuf};

use tokenizers::Tokenizer as Inner;

use crate::domain::{Dialogue, Message};

use super::chat_template::{ChatError, ChatTemplate};
use super::checkpoint;

use chat_format::ChatFormat;
pub use special_tokens::SpecialTokens;
pub(super) use special_tokens::{ASSISTANT, END, PAD, USER};

/// A trained tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: Inner,
    format: DialogueFormat,
}

/// How dialogues are written.
#[derive(Clone, Debug)]
enum DialogueFormat {
    /// With this program's control tokens.
    SpecialTokens(SpecialTokens),
    /// By a checkpoint's template.
    Template(Box<ChatFormat>),
}

/// A dialogue in token ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedDialogue {
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
    #[error(
        "a vocabulary of {asked} is too small; 256 bytes and 4 control tokens need at least {least}"
    )]
    VocabularyTooSmall {
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
    /// Nothing says how dialogues are written.
    #[error(
        "cannot read the tokenizer {}: there is no chat template beside it (`tokenizer_config.json`, `chat_template.jinja`); use an instruction-tuned checkpoint, or give one with `chat_template = \"FILE\"`",
        path.display()
    )]
    NoTemplate {
        /// The file of the tokenizer.
        path: PathBuf,
        /// Rows that an embedding needs for it.
        rows: usize,
    },
    /// What is sampled after a dialogue would not be what is trained after it.
    #[error(
        "the chat template writes the beginning of a dialogue otherwise once it is answered (message {0}), so a model cannot be trained on what it samples; use a template that only adds to what was said, as `chat_template = \"templates/chat/chatml.jinja\"` does"
    )]
    PrefixChanged(usize),
    /// The chat template fails on a dialogue of several turns.
    #[error(
        "{0}; a template has to write several turns of a user and an assistant, without tools: give another one, for example `chat_template = \"templates/chat/chatml.jinja\"`"
    )]
    UnsupportedTemplate(ChatError),
}

impl TokenizerError {
    /// Says why the tokenizer at `path` cannot be read.
    fn reading(path: &Path, reason: &dyn ToString) -> Self {
        Self::Read {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Says why the tokenizer's file at `path` cannot be written.
    fn writing(path: &Path, reason: &dyn ToString) -> Self {
        Self::Write {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl Tokenizer {
    /// Learns a vocabulary of at most `vocabulary_size` tokens from texts.
    ///
    /// # Errors
    /// If the vocabulary is too small, or the trainer fails.
    pub fn train<'a>(
        texts: impl Iterator<Item = &'a str>,
        vocabulary: usize,
    ) -> Result<Self, TokenizerError> {
        Self::with_special_tokens(special_tokens::train_tokenizer(texts, vocabulary)?)
            .map_err(TokenizerError::Train)
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
        let inner = load_inner(path).map_err(|error| TokenizerError::reading(path, &error))?;
        if SpecialTokens::are_present(&inner) {
            return Self::with_special_tokens(inner)
                .map_err(|reason| TokenizerError::reading(path, &reason));
        }
        let templated = ChatFormat::read(path, &inner, chat_template)?;
        Ok(Self {
            inner,
            format: DialogueFormat::Template(Box::new(templated)),
        })
    }

    /// Writes `tokenizer.json`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TokenizerError> {
        self.inner
            .save(path, true)
            .map_err(|error| TokenizerError::writing(path, &error))
    }

    /// Writes everything that reading it again needs into `folder`; returns the files' names.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save_files(&self, folder: &Path) -> Result<Vec<&'static str>, TokenizerError> {
        match &self.format {
            DialogueFormat::SpecialTokens(_) => {
                self.save(&folder.join(checkpoint::TOKENIZER_FILE))?;
                Ok(vec![checkpoint::TOKENIZER_FILE])
            }
            DialogueFormat::Template(templated) => templated.save(folder),
        }
    }

    fn with_special_tokens(mut inner: Inner) -> Result<Self, String> {
        let control = SpecialTokens::from_tokenizer(&mut inner)?;
        Ok(Self {
            inner,
            format: DialogueFormat::SpecialTokens(control),
        })
    }

    /// V: number of tokens.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Rows that an embedding needs for its tokens; some numbers may stand for none.
    #[must_use]
    pub fn embedding_rows(&self) -> usize {
        embedding_rows(&self.inner)
    }

    /// The folder that its files are from; none where it stands for itself.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.format {
            DialogueFormat::SpecialTokens(_) => None,
            DialogueFormat::Template(templated) => Some(&templated.folder),
        }
    }

    /// Makes sure that dialogues of several turns can be written, and are not written otherwise once
    /// they go on.
    ///
    /// # Errors
    /// What a chat template does not do, with the remedy.
    pub fn check_dialogues(&self) -> Result<(), TokenizerError> {
        let asked = Dialogue::default()
            .user("A question?")
            .assistant("An answer.");
        match self.encode_dialogue(&asked.user("Again.").assistant("Another one.").0) {
            Err(TokenizerError::Chat(error)) => Err(TokenizerError::UnsupportedTemplate(error)),
            written => written.map(drop),
        }
    }

    /// Tokens behind which nothing of an attempt follows.
    #[must_use]
    pub fn stop_tokens(&self) -> Vec<u32> {
        match &self.format {
            DialogueFormat::SpecialTokens(control) => control.stop_tokens(),
            DialogueFormat::Template(templated) => templated.stop_tokens.clone(),
        }
    }

    /// This program's control tokens; none where dialogues are written by a chat template.
    #[must_use]
    pub const fn special_tokens(&self) -> Option<SpecialTokens> {
        match &self.format {
            DialogueFormat::SpecialTokens(control) => Some(*control),
            DialogueFormat::Template(_) => None,
        }
    }

    /// The chat template that writes dialogues; none where control tokens do.
    #[must_use]
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        match &self.format {
            DialogueFormat::SpecialTokens(_) => None,
            DialogueFormat::Template(templated) => Some(&templated.template),
        }
    }

    /// Names of the tokens that end an answer the way answers should end.
    #[must_use]
    pub fn end_token_names(&self) -> Vec<String> {
        let ids = match &self.format {
            DialogueFormat::SpecialTokens(control) => vec![control.end],
            DialogueFormat::Template(templated) => templated.stop_tokens.clone(),
        };
        ids.into_iter()
            .map(|id| {
                self.inner
                    .id_to_token(id)
                    .unwrap_or_else(|| format!("{id}"))
            })
            .collect()
    }

    /// Whether a token ends an answer the way answers should end.
    #[must_use]
    pub fn is_end_token(&self, token: u32) -> bool {
        match &self.format {
            DialogueFormat::SpecialTokens(control) => token == control.end,
            DialogueFormat::Template(templated) => templated.stop_tokens.contains(&token),
        }
    }

    /// The tokens of a text, without control tokens.
    ///
    /// # Panics
    /// Never: byte-level BPE encodes every text.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.inner
            .encode_fast(text, false)
            .expect("byte-level BPE encodes every text")
            .get_ids()
            .to_vec()
    }

    /// The text of some tokens; control tokens are left out.
    ///
    /// # Panics
    /// Never: every id of the vocabulary decodes.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> String {
        // What ends an answer need not be marked as special.
        let said: Vec<u32> = tokens
            .iter()
            .copied()
            .filter(|&token| !self.is_end_token(token))
            .collect();
        self.inner.decode(&said, true).expect("every token decodes")
    }

    /// The tokens of a dialogue, and where its answers lie in them.
    ///
    /// # Errors
    /// If a chat template refuses the dialogue, or writes its beginning otherwise than before.
    pub fn encode_dialogue(&self, messages: &[Message]) -> Result<EncodedDialogue, TokenizerError> {
        match &self.format {
            DialogueFormat::SpecialTokens(control) => {
                Ok(control.encode(messages, |text| self.encode(text)))
            }
            DialogueFormat::Template(templated) => templated
                .encoder(|text| self.encode(text))
                .encode(messages, false),
        }
    }

    /// The tokens of a dialogue up to where the next assistant message begins.
    ///
    /// # Errors
    /// If a chat template refuses the dialogue.
    pub fn encode_prompt(&self, dialogue: &Dialogue) -> Result<Vec<u32>, TokenizerError> {
        match &self.format {
            DialogueFormat::SpecialTokens(control) => {
                let mut tokens = control.encode(&dialogue.0, |text| self.encode(text)).tokens;
                tokens.push(control.assistant);
                Ok(tokens)
            }
            DialogueFormat::Template(templated) => templated
                .encoder(|text| self.encode(text))
                .encode_prompt(&dialogue.0),
        }
    }
}

/// A file's tokenizer for whole texts, whatever the file says of cutting them or filling them up: that
/// is for batches of who made it, and transformers passes over it too.
fn load_inner(path: &Path) -> tokenizers::Result<Inner> {
    let mut inner = Inner::from_file(path)?;
    inner.with_padding(None).with_truncation(None)?;
    Ok(inner)
}

/// One more than the last token's number.
fn embedding_rows(inner: &Inner) -> usize {
    inner
        .get_vocab(true)
        .into_values()
        .max()
        .map_or(0, |last| last as usize + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tokenizer() -> Tokenizer {
        let texts = [
            "Ann has 8 cards. She gives away 16.",
            "8-6=2\n#### 2",
            "Ben has 16 pens. He buys 3.",
        ];
        Tokenizer::train(texts.into_iter(), 300).unwrap()
    }

    #[test]
    fn digits_stand_alone_and_words_do_not() {
        let tokenizer = tokenizer();
        assert_eq!(tokenizer.encode("16").len(), 2);
        assert!(
            tokenizer.encode(" has").len() < 4,
            "{:?}",
            tokenizer.encode(" has")
        );
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
        assert!(!tokens.iter().any(|&token| tokenizer.is_end_token(token)));
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
        let (short, long) = (
            tokenizer.encode_prompt(&asked).unwrap(),
            tokenizer.encode_prompt(&answered).unwrap(),
        );
        assert_eq!(long[..short.len()], short[..]);
    }

    #[test]
    fn texts_are_neither_cut_nor_filled_up() {
        let mut json = fixtures::tokenizer();
        json["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0,
        });
        json["padding"] = serde_json::json!({
            "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "<|endoftext|>",
        });
        let folder = fixtures::checkpoint(fixtures::CHATML, "");
        let path = folder.path().join("tokenizer.json");
        fs::write(&path, json.to_string()).unwrap();
        let tokenizer = Tokenizer::load(&path).unwrap();
        assert_eq!(tokenizer.encode("ten letter").len(), 10);
        assert_eq!(
            tokenizer.decode(&tokenizer.encode("ten letter")),
            "ten letter"
        );
    }

    #[test]
    fn rows_go_up_to_the_last_number() {
        let mut json = fixtures::tokenizer();
        json["added_tokens"][2]["id"] = 700.into();
        json["model"]["vocab"]["<|im_end|>"] = 700.into();
        let folder = fixtures::checkpoint(fixtures::CHATML, "");
        let path = folder.path().join("tokenizer.json");
        fs::write(&path, json.to_string()).unwrap();
        let tokenizer = Tokenizer::load(&path).unwrap();
        assert_eq!(
            (tokenizer.vocabulary_size(), tokenizer.embedding_rows()),
            (260, 701)
        );
    }

    #[test]
    fn a_template_is_tried_on_several_turns() {
        let tried = |template: &str| {
            let folder = fixtures::checkpoint(template, "");
            Tokenizer::load(&folder.path().join("tokenizer.json"))
                .unwrap()
                .check_dialogues()
        };
        assert!(tried(fixtures::CHATML).is_ok());
        let shipped = include_str!("../../../templates/chat/chatml.jinja");
        assert!(tried(shipped).is_ok());
        let written = |template: &str| {
            let folder = fixtures::checkpoint(template, "");
            let template = ChatTemplate::read(folder.path()).unwrap().unwrap();
            let dialogue = Dialogue::default()
                .user(" Why?\n")
                .assistant("\nSo.")
                .user("Again.");
            template.render(&dialogue.0, true).unwrap()
        };
        assert_eq!(written(shipped), written(fixtures::CHATML));
        // As Qwen 3's own: what was thought stays in the last answer alone.
        let thinking = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if loop.last and m.role == 'assistant' %}\
                        <think></think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}\
                        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
        let error = tried(thinking).unwrap_err().to_string();
        insta::assert_snapshot!(error, @r#"the chat template writes the beginning of a dialogue otherwise once it is answered (message 2), so a model cannot be trained on what it samples; use a template that only adds to what was said, as `chat_template = "templates/chat/chatml.jinja"` does"#);
        let single = fixtures::CHATML.to_owned()
            + "{% if messages | length > 2 %}{{ raise_exception('one turn only') }}{% endif %}";
        let error = tried(&single).unwrap_err().to_string();
        let told = error.split_once("tokenizer_config.json: ").unwrap().1;
        insta::assert_snapshot!(told, @r#"refuses the dialogue: one turn only (line 4); a template has to write several turns of a user and an assistant, without tools: give another one, for example `chat_template = "templates/chat/chatml.jinja"`"#);
    }

    #[test]
    fn a_vocabulary_below_the_bytes_is_refused() {
        let error = Tokenizer::train(["a"].into_iter(), 100).unwrap_err();
        insta::assert_snapshot!(error, @"a vocabulary of 100 is too small; 256 bytes and 4 control tokens need at least 260");
    }
}
