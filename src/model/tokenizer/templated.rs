//! Tokenizers of other checkpoints: dialogues are written by their chat template, and a copy of one
//! is a copy of the files that it was read from.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use serde_json::Value;
use tokenizers::Tokenizer as Inner;

use crate::domain::{Message, Role};
use crate::model::chat::{self, ChatTemplate};
use crate::model::checkpoint;

use super::{TokenizerError, Written};

/// How a checkpoint writes dialogues.
#[derive(Clone, Debug)]
pub struct Templated {
    pub template: ChatTemplate,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    files: Vec<Kept>,
}

/// A file by its name and bytes.
type Kept = (&'static str, Arc<[u8]>);

impl Templated {
    /// What lies beside the tokenizer at `path`, with another template in place of its own if one is
    /// given.
    pub fn read(path: &Path, inner: &Inner, chat_template: Option<&Path>) -> Result<Self, TokenizerError> {
        let fail = |reason: String| TokenizerError::Read { path: path.to_owned(), reason };
        let folder = path.parent().unwrap_or(Path::new(""));
        let Some(template) = ChatTemplate::read_with(folder, chat_template)? else {
            let reason = "there is no chat template beside it (`tokenizer_config.json`, `chat_template.jinja`); use an instruction-tuned checkpoint, or give one with `chat_template = \"FILE\"`".to_owned();
            return Err(fail(reason));
        };
        let ends = ends(inner, &template, &folder.join("generation_config.json"));
        if ends.is_empty() {
            return Err(fail("no token is named that ends an answer (`eos_token`)".to_owned()));
        }
        let files = files(path, chat_template).map_err(|error| fail(error.to_string()))?;
        Ok(Self { template, ends, files })
    }

    /// Writes its files into `folder`; returns their names.
    pub fn save(&self, folder: &Path) -> Result<Vec<&'static str>, TokenizerError> {
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            let fail =
                |error: io::Error| TokenizerError::Write { path: path.clone(), reason: error.to_string() };
            fs::write(&path, bytes).map_err(fail)?;
        }
        Ok(self.files.iter().map(|(name, _)| *name).collect())
    }

    /// The tokens of a dialogue, and where its answers lie in them.
    pub fn write(
        &self,
        messages: &[Message],
        encode: impl Fn(&str) -> Vec<u32>,
    ) -> Result<Written, TokenizerError> {
        let tokens = encode(&self.template.render(messages, false)?);
        let mut answers = Vec::new();
        let answered = messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant);
        for (number, _) in answered {
            let before = encode(&self.template.render(&messages[..number], true)?);
            let after = encode(&self.template.render(&messages[..=number], false)?);
            if !tokens.starts_with(&before) || !tokens.starts_with(&after) || after.len() <= before.len() {
                return Err(TokenizerError::Unsteady(number + 1));
            }
            // Some templates write a line's end behind the token that ends an answer.
            let said = &tokens[before.len()..after.len()];
            let end = said.iter().position(|token| self.ends.contains(token)).map_or(said.len(), |at| at + 1);
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
    let json: Value = fs::read_to_string(generation)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let configured = match &json["eos_token_id"] {
        Value::Array(several) => several.clone(),
        one => vec![one.clone()],
    };
    let configured = configured.iter().filter_map(Value::as_u64).map(|id| id as u32);
    let mut ends: Vec<u32> =
        configured.chain(template.end().and_then(|token| inner.token_to_id(token))).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}
