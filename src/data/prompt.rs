//! How a problem is put to a policy: the question, and what is said after an attempt.
//!
//! Hides the templates in `templates/prompt/` and the template language. Must not know how many
//! attempts a policy is shown, nor whether an attempt was right.

use std::sync::LazyLock;

use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};

use crate::domain::{Dialogue, Key, Message, Role};

const OPENING: &str = include_str!("../../templates/prompt/opening.jinja");
const INCORRECT: &str = include_str!("../../templates/prompt/retry-incorrect.jinja");
const NEUTRAL: &str = include_str!("../../templates/prompt/retry-neutral.jinja");
const NONE: &str = include_str!("../../templates/prompt/retry-none.jinja");

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    for text in [OPENING, INCORRECT, NEUTRAL, NONE] {
        templates.add_template(text, text).expect("the shipped templates are well formed");
    }
    templates
});

/// What is said after an attempt, whether it was right or wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// That it was incorrect, as the official code says every time.
    #[default]
    Incorrect,
    /// That there may be a mistake.
    Neutral,
    /// Nothing about the attempt.
    None,
}

/// The wording of a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prompt {
    /// What is said after an attempt.
    pub retry: Retry,
    /// Whether the question follows on the next line, as in the official code.
    pub repeat_question: bool,
}

impl Default for Prompt {
    fn default() -> Self {
        Self { retry: Retry::Incorrect, repeat_question: true }
    }
}

impl Prompt {
    /// The first user message.
    #[must_use]
    pub fn opening(&self, question: &str) -> Message {
        self.render(OPENING, question)
    }

    /// The user message after an attempt.
    #[must_use]
    pub fn retry(&self, question: &str) -> Message {
        self.render(self.retry_template(), question)
    }

    /// The question, then each attempt with the retry text after it; ends with a user message.
    ///
    /// All the given attempts are shown: whoever limits the history does so before.
    #[must_use]
    pub fn dialogue(&self, question: &str, attempts: &[&str]) -> Dialogue {
        let mut dialogue = Dialogue(vec![self.opening(question)]);
        if attempts.is_empty() {
            return dialogue;
        }
        let retry = self.retry(question).text;
        for &attempt in attempts {
            dialogue = dialogue.assistant(attempt).user(retry.as_str());
        }
        dialogue
    }

    /// The key of the template texts that this prompt uses.
    #[must_use]
    pub fn template_key(&self) -> Key {
        Key::of(&[OPENING, self.retry_template()])
    }

    const fn retry_template(self) -> &'static str {
        match self.retry {
            Retry::Incorrect => INCORRECT,
            Retry::Neutral => NEUTRAL,
            Retry::None => NONE,
        }
    }

    fn render(self, template: &str, question: &str) -> Message {
        let repeat_question = self.repeat_question;
        let text = TEMPLATES
            .get_template(template)
            .and_then(|template| template.render(context! { question, repeat_question }))
            .expect("the shipped templates use nothing but the question");
        Message { role: Role::User, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(dialogue: &Dialogue) -> String {
        let lines = dialogue.0.iter().map(|message| match message.role {
            Role::User => format!("user: {}", message.text),
            Role::Assistant => format!("assistant: {}", message.text),
        });
        lines.collect::<Vec<_>>().join("\n--\n")
    }

    #[test]
    fn a_dialogue_reads_like_the_official_one() {
        let dialogue = Prompt::default().dialogue("How many?", &["1+1=3\n#### 3", "#### 2"]);
        insta::assert_snapshot!(shown(&dialogue), @r"
        user: How many?
        --
        assistant: 1+1=3
        #### 3
        --
        user: That is incorrect. Try again.
        How many?
        --
        assistant: #### 2
        --
        user: That is incorrect. Try again.
        How many?
        ");
    }

    #[test]
    fn retry_texts() {
        let text = |retry, repeat_question| Prompt { retry, repeat_question }.retry("How many?").text;
        assert_eq!(text(Retry::Incorrect, false), "That is incorrect. Try again.");
        assert_eq!(text(Retry::Neutral, false), "There may be a mistake. Check and answer again.");
        assert_eq!(text(Retry::Neutral, true), "There may be a mistake. Check and answer again.\nHow many?");
        assert_eq!(text(Retry::None, false), "Answer again.");
        assert_eq!(text(Retry::None, true), "Answer again.\nHow many?");
    }

    #[test]
    fn without_attempts_a_dialogue_is_the_question_itself() {
        let question = "A <b> & \"c\" {{ d }}?\nTwo lines.";
        assert_eq!(Prompt::default().dialogue(question, &[]), Dialogue::default().user(question));
    }

    #[test]
    fn the_key_depends_on_the_texts_in_use() {
        let key = |retry| Prompt { retry, repeat_question: true }.template_key();
        assert_ne!(key(Retry::Incorrect), key(Retry::Neutral));
        assert_eq!(key(Retry::None), Prompt { retry: Retry::None, repeat_question: false }.template_key());
    }

    #[test]
    fn settings_are_written_in_kebab_case() {
        let prompt: Prompt = toml::from_str("retry = \"neutral\"").unwrap();
        assert_eq!(prompt, Prompt { retry: Retry::Neutral, repeat_question: true });
        assert!(toml::from_str::<Prompt>("retri = \"neutral\"").is_err());
    }
}
