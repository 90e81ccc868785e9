//! Tokenizers of other checkpoints: dialogues are written by their chat template, and a copy of one
//! is a copy of the files that it was read from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use serde_json::json;
use tokenizers::Tokenizer as Inner;

use crate::model::chat_template::{self, ChatTemplate};
use crate::model::checkpoint::{self, GENERATION_CONFIG_FILE};

use super::TokenizerError;
use super::dialogue_encoder::DialogueEncoder;
use super::stop_tokens::{configured_stop_tokens, stop_tokens};

/// How a checkpoint writes dialogues.
#[derive(Clone, Debug)]
pub struct ChatFormat {
    pub template: ChatTemplate,
    /// Tokens that end an answer.
    pub stop_tokens: Vec<u32>,
    /// Where the tokenizer is from.
    pub folder: PathBuf,
    files: Vec<TokenizerFile>,
}

/// A file by its name and bytes.
type TokenizerFile = (&'static str, Arc<[u8]>);

impl ChatFormat {
    /// Reads the files next to the tokenizer at `path`; a given template replaces that of the folder.
    pub fn read(
        path: &Path,
        inner: &Inner,
        chat_template: Option<&Path>,
    ) -> Result<Self, TokenizerError> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let Some(template) = ChatTemplate::read_with(&folder, chat_template)? else {
            return Err(TokenizerError::NoTemplate {
                path: path.to_owned(),
                rows: super::embedding_rows(inner),
            });
        };
        let ends = stop_tokens(inner, &template, path)?;
        let files = read_files(path, chat_template)
            .map_err(|error| TokenizerError::reading(path, &error))?;
        Ok(Self {
            template,
            stop_tokens: ends,
            folder,
            files,
        })
    }

    /// Writes its files into `folder`; returns their names.
    pub fn save(&self, folder: &Path) -> Result<Vec<&'static str>, TokenizerError> {
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|error| TokenizerError::writing(&path, &error))?;
        }
        Ok(self.files.iter().map(|(name, _)| *name).collect())
    }

    /// What writes its dialogues.
    pub fn encoder<E: Fn(&str) -> Vec<u32>>(&self, encode: E) -> DialogueEncoder<'_, E> {
        DialogueEncoder {
            template: &self.template,
            stop_tokens: &self.stop_tokens,
            encode,
        }
    }
}

/// The bytes of a tokenizer and of what belongs to it.
fn read_files(path: &Path, chat_template: Option<&Path>) -> io::Result<Vec<TokenizerFile>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files = vec![(checkpoint::TOKENIZER_FILE, fs::read(path)?.into())];
    for name in checkpoint::TOKENIZER_COMPANIONS {
        let from = match chat_template {
            Some(given) if name == chat_template::TEMPLATE_FILE => given.to_owned(),
            _ => folder.join(name),
        };
        match fs::read(&from) {
            Ok(bytes) => files.push((name, bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files.extend(substitute_file(name, folder));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// A small replacement for a missing file: a tokenizer is copied without the model's sizes, and these
/// may name the stop tokens.
fn substitute_file(name: &'static str, folder: &Path) -> Option<TokenizerFile> {
    let ends = if name == GENERATION_CONFIG_FILE {
        configured_stop_tokens(folder)
    } else {
        Vec::new()
    };
    (!ends.is_empty()).then(|| {
        (
            name,
            json!({ "eos_token_id": ends })
                .to_string()
                .into_bytes()
                .into(),
        )
    })
}
