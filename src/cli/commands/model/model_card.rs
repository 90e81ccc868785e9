//! The model card of an exported checkpoint: its origin and its use.

use super::checkpoint_source::CheckpointSource;
use crate::cli::commands::show::format_settings;
use crate::model::{LanguageModel, Precision};

/// The card, in Markdown with the header that model hubs read.
pub fn model_card(
    source: &CheckpointSource,
    model: &LanguageModel,
    precision: Precision,
) -> String {
    let origin = source
        .origin
        .iter()
        .map(|(name, value)| format!("| {name} | {} |\n", value.replace('|', "\\|")))
        .collect::<Vec<_>>()
        .concat();
    let settings = source.settings.as_ref().map_or_else(String::new, |all| {
        format!("\n## Settings\n\n```\n{}\n```\n", format_settings(all))
    });
    let note = if model.tokenizer.special_tokens().is_some() {
        CONTROL_TOKENS_NOTE
    } else {
        ""
    };
    format!(
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- rise-lab\n---\n\n# {name}\n\n\
         Written by [rise-lab](https://arxiv.org/abs/2407.18219) {version}, which trains language models to correct their own\n\
         answers over several turns.\n\n| | |\n|---|---|\n{origin}| parameters | {parameters} |\n| positions | {positions} |\n\
         | numbers | {numbers} |\n\n## Use\n\n```python\n{USAGE_EXAMPLE}```\n\nFor another attempt, say\n\n> {retry}\n\n\
         `generation_config.json` holds the sampling of its evaluation.\n{note}{settings}",
        name = source.name,
        version = env!("CARGO_PKG_VERSION"),
        parameters = model.decoder.weights().parameter_count(),
        positions = model.decoder.config().positions,
        numbers = precision.name(),
        retry = source
            .prompt
            .retry_message("(the question again)")
            .text
            .replace('\n', "  \n> "),
    )
}

/// Python code that answers a question with transformers.
const USAGE_EXAMPLE: &str = "\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(\".\")
model = AutoModelForCausalLM.from_pretrained(\".\")
messages = [{\"role\": \"user\", \"content\": \"...\"}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors=\"pt\", return_dict=True)
answer = model.generate(**prompt)[0, prompt[\"input_ids\"].shape[1]:]
print(tokenizer.decode(answer, skip_special_tokens=True))
";

/// The difference for tokenizers with control tokens.
const CONTROL_TOKENS_NOTE: &str = "\nDialogues use the control tokens `<|user|>`, `<|assistant|>` and `<|end|>`. In a text, rise-lab reads such a name\n\
    as plain characters; transformers reads it as the token.\n";
