//! Which tokens end an answer: those that a checkpoint names, and the one that its chat template
//! writes.
//!
//! The two differ where an instruction's format was put on a base model: its end of a text is not what
//! the template closes an answer with, and a model that was taught the one would never be stopped by
//! the other.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer as Inner;

use crate::domain::{Message, Role};
use crate::model::chat_template::ChatTemplate;
use crate::model::checkpoint::{CONFIG_FILE, GENERATION_CONFIG_FILE};

use super::TokenizerError;

const PROBE_QUESTION: &str = "A question?";
const PROBE_ANSWER: &str = "An answer.";

/// Tokens that end an answer, in order.
pub fn stop_tokens(
    inner: &Inner,
    template: &ChatTemplate,
    tokenizer: &Path,
) -> Result<Vec<u32>, TokenizerError> {
    let folder = tokenizer.parent().unwrap_or(Path::new(""));
    let own = template
        .end_token()
        .and_then(|token| inner.token_to_id(token));
    let mut ends: Vec<u32> = configured_stop_tokens(folder)
        .into_iter()
        .chain(own)
        .collect();
    let closing = closing_token(inner, template, &ends)?
        .map_err(|reason| TokenizerError::reading(tokenizer, &reason))?;
    ends.extend(closing);
    ends.sort_unstable();
    ends.dedup();
    Ok(ends)
}

/// The ends that generation is configured with, or else the model's own.
pub fn configured_stop_tokens(folder: &Path) -> Vec<u32> {
    let text = [GENERATION_CONFIG_FILE, CONFIG_FILE]
        .iter()
        .find_map(|name| fs::read_to_string(folder.join(name)).ok())
        .unwrap_or_default();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let named = match &json["eos_token_id"] {
        Value::Array(several) => several.clone(),
        one => vec![one.clone()],
    };
    named
        .iter()
        .filter_map(Value::as_u64)
        .map(|id| id as u32)
        .collect()
}

/// The token that the template closes an answer with, where it is none of `stop_tokens`.
fn closing_token(
    inner: &Inner,
    template: &ChatTemplate,
    ends: &[u32],
) -> Result<Result<Option<u32>, String>, TokenizerError> {
    let probe = [
        (Role::User, PROBE_QUESTION),
        (Role::Assistant, PROBE_ANSWER),
    ]
    .map(|(role, text)| Message {
        role,
        text: text.to_owned(),
    });
    let text = template
        .render(&probe, false)
        .map_err(TokenizerError::UnsupportedTemplate)?;
    let Some(place) = text.rfind(PROBE_ANSWER) else {
        return Ok(Err(
            "the chat template leaves out what an answer says".to_owned()
        ));
    };
    let rest = &text[place + PROBE_ANSWER.len()..];
    let tokens = inner
        .encode_fast(rest, false)
        .map(|encoded| encoded.get_ids().to_vec())
        .unwrap_or_default();
    if tokens.iter().any(|token| ends.contains(token)) {
        return Ok(Ok(None));
    }
    let added = inner.get_added_tokens_decoder();
    let first = tokens.into_iter().find(|token| added.contains_key(token));
    Ok(first.map(Some).ok_or_else(|| {
        format!(
            "the chat template of {} writes {rest:?} behind an answer, in which there is no token that ends one, so \
             that nobody would know where an answer stops; give a template that closes answers with a special token \
             of this tokenizer (`chat_template = \"FILE\"`)",
            template.path().display()
        )
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::fixtures::{CHATML, checkpoint};
    use super::super::{Tokenizer, TokenizerError};

    fn ends(
        template: &str,
        special: &str,
        files: &[(&str, &str)],
    ) -> Result<Vec<String>, TokenizerError> {
        let folder = checkpoint(template, special);
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Ok(Tokenizer::load(&folder.path().join("tokenizer.json"))?.end_token_names())
    }

    const EOS: &str = ", \"eos_token\": \"<|endoftext|>\"";

    #[test]
    fn what_closes_an_answer_ends_one_beside_the_end_of_a_text() {
        assert_eq!(
            ends(CHATML, EOS, &[]).unwrap(),
            ["<|endoftext|>", "<|im_end|>"]
        );
        assert_eq!(ends(CHATML, "", &[]).unwrap(), ["<|im_end|>"]);
        let closed = CHATML.replace("<|im_end|>", "<|endoftext|>");
        assert_eq!(ends(&closed, EOS, &[]).unwrap(), ["<|endoftext|>"]);
    }

    #[test]
    fn the_models_own_configuration_counts_where_none_of_generation_is_there() {
        let model = ("config.json", r#"{"eos_token_id": [1, 2]}"#);
        let closed = CHATML.replace("<|im_end|>", "<|endoftext|>");
        let all = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
        assert_eq!(ends(&closed, EOS, &[model]).unwrap(), all);
        let generation = ("generation_config.json", r#"{"eos_token_id": 2}"#);
        assert_eq!(
            ends(&closed, EOS, &[model, generation]).unwrap(),
            ["<|endoftext|>", "<|im_end|>"]
        );
    }

    #[test]
    fn a_copy_ends_answers_as_the_checkpoint_does() {
        let folder = checkpoint(&CHATML.replace("<|im_end|>", "<|endoftext|>"), EOS);
        fs::write(folder.path().join("config.json"), r#"{"eos_token_id": 2}"#).unwrap();
        let tokenizer = Tokenizer::load(&folder.path().join("tokenizer.json")).unwrap();
        let copy = tempfile::tempdir().unwrap();
        tokenizer.save_files(copy.path()).unwrap();
        let copied = Tokenizer::load(&copy.path().join("tokenizer.json")).unwrap();
        assert_eq!(copied.stop_tokens(), tokenizer.stop_tokens());
        assert_eq!(copied.end_token_names(), ["<|endoftext|>", "<|im_end|>"]);
    }

    #[test]
    fn a_template_that_closes_with_no_token_is_refused() {
        let plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
        let error = ends(plain, EOS, &[]).unwrap_err().to_string();
        let told = error.split_once("tokenizer_config.json ").unwrap().1;
        insta::assert_snapshot!(told, @r#"writes "\n" behind an answer, in which there is no token that ends one, so that nobody would know where an answer stops; give a template that closes answers with a special token of this tokenizer (`chat_template = "FILE"`)"#);
    }
}
