//! Counts of calls and tokens, in a file of the stage, so a resumed stage continues them.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ApiError;
use super::chat::ApiAnswer;
use super::response_cache::temporary_path;

/// Counts of one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiUsage {
    /// Requests sent, repeats included.
    pub calls: u64,
    /// Requests that repeated one without an answer.
    pub retries: u64,
    /// Answers that were in the cache.
    #[serde(rename = "cached")]
    pub cache_hits: u64,
    /// Tokens shown in requests that were answered.
    pub prompt_tokens: u64,
    /// Tokens of the answers to them.
    pub completion_tokens: u64,
    /// Answers of which the server did not count the tokens.
    #[serde(rename = "uncounted")]
    pub uncounted_answers: u64,
}

impl ApiUsage {
    /// Counts an answer of the server.
    pub(super) fn add_answer(&mut self, answer: &ApiAnswer) {
        self.prompt_tokens += u64::from(answer.prompt_tokens.unwrap_or(0));
        self.completion_tokens += u64::from(answer.completion_tokens.unwrap_or(0));
        self.uncounted_answers +=
            u64::from(answer.prompt_tokens.is_none() || answer.completion_tokens.is_none());
    }

    /// The counts in a file; nothing where there is none, or a damaged one.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), ApiError> {
        let temporary = temporary_path(path);
        let text = serde_json::to_vec(self).expect("counts are plain data");
        fs::write(&temporary, text).map_err(ApiError::io_error("write", &temporary))?;
        fs::rename(&temporary, path).map_err(ApiError::io_error("write", path))
    }
}
