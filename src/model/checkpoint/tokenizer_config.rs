//! How other programs write dialogues with this program's own tokenizers: the files beside
//! `tokenizer.json` that transformers, and what builds on it, read.
//!
//! The chat template says in Jinja what `model/tokenizer.rs` does in control tokens. Other programs take
//! a control token's name inside a text for the token; this one spells it out.

use serde_json::{Value, json};

use crate::model::tokenizer::{ASSISTANT, END, PAD, USER};
use crate::model::{ModelConfig, Tokenizer};

/// Writes exactly the tokens of [`Tokenizer::encode_prompt`] and [`Tokenizer::encode_dialogue`].
const CHAT_TEMPLATE: &str = include_str!("../../../templates/chat/control-tokens.jinja");

/// `tokenizer_config.json` for a tokenizer with this program's control tokens.
pub fn tokenizer_config(tokenizer: &Tokenizer, sizes: &ModelConfig) -> Option<Value> {
    let control = tokenizer.special_tokens()?;
    let ids = [
        (control.pad, PAD),
        (control.user, USER),
        (control.assistant, ASSISTANT),
        (control.end, END),
    ];
    let decoder: serde_json::Map<String, Value> = ids
        .iter()
        .map(|(id, token)| (id.to_string(), added_token(token)))
        .collect();
    Some(json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": sizes.positions,
        "eos_token": END,
        "pad_token": PAD,
        "additional_special_tokens": [USER, ASSISTANT],
        "added_tokens_decoder": decoder,
        "clean_up_tokenization_spaces": false,
        "add_prefix_space": false,
        "chat_template": CHAT_TEMPLATE,
    }))
}

/// Describes a control token as transformers does.
fn added_token(token: &str) -> Value {
    json!({
        "content": token, "lstrip": false, "normalized": false, "rstrip": false,
        "single_word": false, "special": true,
    })
}

/// `special_tokens_map.json` for the same.
pub fn special_tokens_map() -> Value {
    json!({ "eos_token": END, "pad_token": PAD, "additional_special_tokens": [USER, ASSISTANT] })
}
