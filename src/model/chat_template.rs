//! Chat templates: how a checkpoint wants a dialogue to be written.
//!
//! The template is the Jinja text that comes with a checkpoint (`tokenizer_config.json`, or
//! `chat_template.jinja` beside it), rendered as transformers renders it. Hides the template
//! language. Must not know token ids.

use std::fs;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value as Jinja};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::Value;

use crate::domain::{Message, Role};

/// Where the template and the names of special tokens are.
const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
/// Where newer checkpoints have the template.
pub const TEMPLATE_FILE: &str = "chat_template.jinja";

/// How a checkpoint wants a dialogue to be written.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    path: PathBuf,
    environment: Environment<'static>,
    /// Special tokens by their names in templates (`bos_token`, ...).
    special_tokens: Vec<(String, String)>,
}

/// Why a dialogue cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the chat template of {}: {reason}", path.display())]
pub struct ChatError {
    path: PathBuf,
    reason: String,
}

impl ChatError {
    fn new(path: &Path, reason: &dyn ToString) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl ChatTemplate {
    /// The template of a checkpoint's folder; none if it has none.
    ///
    /// # Errors
    /// If a file cannot be read, or the template is not well formed.
    pub fn read(folder: &Path) -> Result<Option<Self>, ChatError> {
        Self::read_with(folder, None)
    }

    /// The same, with the template in the file `given` in place of the folder's own.
    ///
    /// # Errors
    /// As [`ChatTemplate::read`], and if there is no such file.
    pub fn read_with(folder: &Path, given: Option<&Path>) -> Result<Option<Self>, ChatError> {
        let config = folder.join(TOKENIZER_CONFIG_FILE);
        let file = given.map_or_else(|| folder.join(TEMPLATE_FILE), Path::to_owned);
        let json: Value = match fs::read_to_string(&config) {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|error| ChatError::new(&config, &error))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
            Err(error) => return Err(ChatError::new(&config, &error)),
        };
        let (path, source) = match fs::read_to_string(&file) {
            Ok(text) => (file, Some(text)),
            Err(error) if given.is_some() => return Err(ChatError::new(&file, &error)),
            Err(_) => (config, template_source(&json["chat_template"])),
        };
        let Some(source) = source else {
            return Ok(None);
        };
        let special = special_tokens(&json);
        let environment = jinja_environment(source)
            .map_err(|error| ChatError::new(&path, &error_text(&error)))?;
        Ok(Some(Self {
            path,
            environment,
            special_tokens: special,
        }))
    }

    /// The token that ends an answer, by name, if the configuration names one.
    #[must_use]
    pub fn end_token(&self) -> Option<&str> {
        self.special_tokens
            .iter()
            .find(|(name, _)| name == "eos_token")
            .map(|(_, token)| token.as_str())
    }

    /// The file that the template is from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it writes what a message of the system says.
    #[must_use]
    pub fn supports_system(&self) -> bool {
        const SAID: &str = "What the system says.";
        let messages = [("system", SAID), ("user", "A question?")].map(|(role, content)| {
            Jinja::from_pairs([
                ("role", Jinja::from(role)),
                ("content", Jinja::from(content)),
            ])
        });
        self.render_messages(Jinja::from(messages.to_vec()), true)
            .is_ok_and(|text| text.contains(SAID))
    }

    /// The text of a dialogue; with `open`, up to where the next answer begins.
    ///
    /// # Errors
    /// If the template refuses the dialogue, or fails.
    pub fn render(&self, messages: &[Message], open: bool) -> Result<String, ChatError> {
        self.render_messages(
            Jinja::from(messages.iter().map(message_value).collect::<Vec<_>>()),
            open,
        )
    }

    fn render_messages(&self, messages: Jinja, open: bool) -> Result<String, ChatError> {
        let none = ["tools", "documents"].map(|name| (name.to_owned(), Jinja::from(())));
        let special = self
            .special_tokens
            .iter()
            .map(|(name, token)| (name.clone(), Jinja::from(token.as_str())));
        let own = [
            ("messages", messages),
            ("add_generation_prompt", Jinja::from(open)),
        ];
        let own = own
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let context = Jinja::from_pairs(own.chain(none).chain(special));
        let template = self
            .environment
            .get_template("chat")
            .expect("added when it was read");
        template.render(context).map_err(|error| ChatError {
            path: self.path.clone(),
            reason: error_text(&error),
        })
    }
}

/// A message as templates see it.
fn message_value(message: &Message) -> Jinja {
    let role = match message.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    Jinja::from_pairs([
        ("role", Jinja::from(role)),
        ("content", Jinja::from(message.text.as_str())),
    ])
}

/// The template in a configuration: a text, or the one called `default` of several.
fn template_source(template: &Value) -> Option<String> {
    match template {
        Value::String(text) => Some(text.clone()),
        Value::Array(several) => {
            let default = several.iter().find(|named| named["name"] == "default")?;
            default["template"].as_str().map(str::to_owned)
        }
        _ => None,
    }
}

/// Every `..._token` of a configuration: a text, or an object with one.
fn special_tokens(config: &Value) -> Vec<(String, String)> {
    let fields = config.as_object().into_iter().flatten();
    let tokens = fields.filter(|(name, _)| name.ends_with("_token"));
    let named = tokens.filter_map(|(name, token)| {
        let token = token.as_str().or_else(|| token["content"].as_str())?;
        Some((name.clone(), token.to_owned()))
    });
    named.collect()
}

/// The template language as transformers sets it up.
fn jinja_environment(source: String) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_filter("tojson", to_json);
    environment.add_template_owned("chat", source)?;
    Ok(environment)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the template language hands over values"
)]
fn raise_exception(reason: String) -> Result<Jinja, Error> {
    Err(Error::new(
        ErrorKind::InvalidOperation,
        format!("refuses the dialogue: {reason}"),
    ))
}

/// Python's `json.dumps`: with spaces after commas and colons, and nothing escaped for HTML.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the template language hands over values"
)]
fn to_json(value: &Jinja, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    dump_json(value, indent, 0)
}

fn dump_json(value: &Jinja, indent: Option<usize>, depth: usize) -> Result<String, Error> {
    Ok(match value.kind() {
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool | ValueKind::Number => value.to_string(),
        ValueKind::String => Value::String(value.to_string()).to_string(),
        ValueKind::Seq => {
            let items = value
                .try_iter()?
                .map(|item| dump_json(&item, indent, depth + 1))
                .collect::<Result<_, _>>()?;
            join_items(['[', ']'], items, indent, depth)
        }
        ValueKind::Map => {
            let fields = value.try_iter()?.map(|name| {
                let value = dump_json(&value.get_item(&name)?, indent, depth + 1)?;
                Ok(format!("{}: {value}", Value::String(name.to_string())))
            });
            let fields = fields.collect::<Result<_, Error>>()?;
            join_items(['{', '}'], fields, indent, depth)
        }
        kind => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("{kind} has no form in JSON"),
            ));
        }
    })
}

fn join_items(
    [open, close]: [char; 2],
    parts: Vec<String>,
    indent: Option<usize>,
    depth: usize,
) -> String {
    if parts.is_empty() {
        return format!("{open}{close}");
    }
    let comma = if indent.is_some() { "," } else { ", " };
    let parts: Vec<String> = parts
        .into_iter()
        .map(|part| format!("{}{part}", line_break(indent, depth + 1)))
        .collect();
    format!(
        "{open}{}{}{close}",
        parts.join(comma),
        line_break(indent, depth)
    )
}

/// Begins a line at this depth; gives nothing where all stands on one line.
fn line_break(indent: Option<usize>, depth: usize) -> String {
    indent.map_or_else(String::new, |by| format!("\n{}", " ".repeat(by * depth)))
}

/// The error with its cause, on one line.
fn error_text(error: &Error) -> String {
    let place = error
        .line()
        .map_or_else(String::new, |line| format!(" (line {line})"));
    match error.detail() {
        Some(detail) => format!("{detail}{place}"),
        None => format!("{}{place}", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str, more: &str) -> Result<Option<ChatTemplate>, ChatError> {
        let folder = tempfile::tempdir().unwrap();
        let source = Value::String(source.to_owned());
        fs::write(
            folder.path().join(TOKENIZER_CONFIG_FILE),
            format!("{{\"chat_template\": {source}{more}}}"),
        )
        .unwrap();
        ChatTemplate::read(folder.path())
    }

    fn dialogue() -> Vec<Message> {
        let message = |role, text: &str| Message {
            role,
            text: text.to_owned(),
        };
        vec![
            message(Role::User, " 1 + 1? "),
            message(Role::Assistant, "3"),
            message(Role::User, "Again."),
        ]
    }

    #[test]
    fn blocks_are_trimmed_and_python_methods_work() {
        let source = "{% for m in messages %}\n  {% if m.role == 'user' %}\n<u>{{ m['content'].strip() }}\n  \
                      {% else %}\n<a>{{ m['content'] }}{{ eos_token }}\n  {% endif %}\n{% endfor %}\n\
                      {% if add_generation_prompt %}<a>{% endif %}\n";
        let chat = template(source, ", \"eos_token\": {\"content\": \"</s>\"}")
            .unwrap()
            .unwrap();
        assert_eq!(chat.end_token(), Some("</s>"));
        assert_eq!(
            chat.render(&dialogue(), true).unwrap(),
            "<u>1 + 1?\n<a>3</s>\n<u>Again.\n<a>"
        );
        assert_eq!(
            chat.render(&dialogue()[..2], false).unwrap(),
            "<u>1 + 1?\n<a>3</s>\n"
        );
    }

    #[test]
    fn a_refusal_and_a_fault_say_where() {
        let refusing = template("{{ raise_exception('no system role') }}", "")
            .unwrap()
            .unwrap();
        let error = refusing.render(&dialogue(), true).unwrap_err().to_string();
        assert!(
            error.ends_with("refuses the dialogue: no system role (line 1)"),
            "{error}"
        );
        let error = template("{% for %}", "").unwrap_err().to_string();
        assert!(
            error.contains("tokenizer_config.json: ") && error.contains("(line 1)"),
            "{error}"
        );
        let needy = template("{{ tools[0].name }}", "").unwrap().unwrap();
        assert!(needy.render(&dialogue(), true).is_err());
    }

    #[test]
    fn json_is_that_of_python() {
        let chat = template(
            "{{ messages[0].content | tojson }}{{ {'a': [1, 'ü<']} | tojson(indent=2) }}",
            "",
        );
        assert_eq!(
            chat.unwrap().unwrap().render(&dialogue(), false).unwrap(),
            "\" 1 + 1? \"{\n  \"a\": [\n    1,\n    \"ü<\"\n  ]\n}"
        );
    }

    #[test]
    fn a_folder_without_a_template_has_none_and_the_default_of_several_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ChatTemplate::read(folder.path()).unwrap().is_none());
        let several = r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#;
        fs::write(folder.path().join(TOKENIZER_CONFIG_FILE), several).unwrap();
        let chat = ChatTemplate::read(folder.path()).unwrap().unwrap();
        assert_eq!(chat.render(&[], false).unwrap(), "d");
        fs::write(folder.path().join(TEMPLATE_FILE), "beside").unwrap();
        let chat = ChatTemplate::read(folder.path()).unwrap().unwrap();
        assert_eq!(chat.render(&[], false).unwrap(), "beside");
    }
}
