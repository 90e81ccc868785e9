//! A small tokenizer of another checkpoint, for tests: single bytes, lines' ends that are joined, and
//! three special tokens.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

/// `ChatML`.
pub const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                          {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The tokenizer, by its fields in `tokenizer.json`.
pub fn tokenizer() -> Value {
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let added = special.iter().enumerate().map(|(id, name)| {
        json!({
            "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    });
    let mut letters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    letters.sort_unstable();
    let names = special
        .map(str::to_owned)
        .into_iter()
        .chain(letters.iter().map(char::to_string));
    let vocabulary: serde_json::Map<String, Value> = names
        .chain(["ĊĊ".to_owned()])
        .enumerate()
        .map(|(id, name)| (name, json!(id)))
        .collect();
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": added.collect::<Vec<_>>(), "pre_tokenizer": bytes.clone(), "decoder": bytes,
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [["Ċ", "Ċ"]] },
    })
}

/// A folder with the tokenizer and a configuration with a template and more fields.
pub fn checkpoint(template: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("tokenizer.json"),
        tokenizer().to_string(),
    )
    .unwrap();
    let config = format!(
        "{{\"chat_template\": {}{more}}}",
        Value::String(template.to_owned())
    );
    fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    folder
}
