//! Tokenizers of other checkpoints: dialogues are written by their chat template, and a copy of one
//! is a copy of the files that it was read from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use serde_json::json;
use tokenizers::Tokenizer as Inner;

use crate::model::chat::{self, ChatTemplate};
use crate::model::checkpoint::{self, GENERATION};

use super::TokenizerError;
use super::dialogue::Writer;
use super::ends::{configured, ends};

/// How a checkpoint writes dialogues.
#[derive(Clone, Debug)]
pub struct Templated {
    pub template: ChatTemplate,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    /// Where the tokenizer is from.
    pub folder: PathBuf,
    files: Vec<Kept>,
}

/// A file by its name and bytes.
type Kept = (&'static str, Arc<[u8]>);

impl Templated {
    /// What lies beside the tokenizer at `path`, with another template in place of its own if one is
    /// given.
    pub fn read(
        path: &Path,
        inner: &Inner,
        chat_template: Option<&Path>,
    ) -> Result<Self, TokenizerError> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let Some(template) = ChatTemplate::read_with(&folder, chat_template)? else {
            return Err(TokenizerError::NoTemplate {
                path: path.to_owned(),
                rows: super::rows(inner),
            });
        };
        let ends = ends(inner, &template, path)?;
        let fail = |error: io::Error| TokenizerError::Read {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let files = files(path, chat_template).map_err(fail)?;
        Ok(Self {
            template,
            ends,
            folder,
            files,
        })
    }

    /// Writes its files into `folder`; returns their names.
    pub fn save(&self, folder: &Path) -> Result<Vec<&'static str>, TokenizerError> {
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            let fail = |error: io::Error| TokenizerError::Write {
                path: path.clone(),
                reason: error.to_string(),
            };
            fs::write(&path, bytes).map_err(fail)?;
        }
        Ok(self.files.iter().map(|(name, _)| *name).collect())
    }

    /// What writes its dialogues.
    pub fn writer<E: Fn(&str) -> Vec<u32>>(&self, encode: E) -> Writer<'_, E> {
        Writer {
            template: &self.template,
            ends: &self.ends,
            encode,
        }
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files.extend(instead(name, folder))
            }
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// What stands for a file that is not there: sizes are not copied with a tokenizer, and may name what
/// ends an answer.
fn instead(name: &'static str, folder: &Path) -> Option<Kept> {
    let ends = if name == GENERATION {
        configured(folder)
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
