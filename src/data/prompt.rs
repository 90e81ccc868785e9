//! Prompts: the question, and the retry text after an attempt.

use std::sync::LazyLock;

use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};

use crate::domain::{Dialogue, Key, Message, Role};

const OPENING: &str = include_str!("../../templates/prompt/opening.jinja");
const INCORRECT: &str = include_str!("../../templates/prompt/retry-incorrect.jinja");
const NEUTRAL: &str = include_str!("../../templates/prompt/retry-neutral.jinja");
const NONE: &str = include_str!("../../templates/prompt/retry-none.jinja");
const CRITIQUE: &str = include_str!("../../templates/prompt/critique.jinja");
const REFINE: &str = include_str!("../../templates/prompt/refine.jinja");
const REFINE_FROM_STEP: &str = include_str!("../../templates/prompt/refine-from-step.jinja");
const VERIFY: &str = include_str!("../../templates/prompt/verify.jinja");
const HINT: &str = include_str!("../../templates/prompt/hint.jinja");

const BOXED: &str = include_str!("../../templates/prompt/answer-boxed.txt");
const MARKED: &str = include_str!("../../templates/prompt/answer-marked.txt");

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    for text in [
        OPENING,
        INCORRECT,
        NEUTRAL,
        NONE,
        CRITIQUE,
        REFINE,
        REFINE_FROM_STEP,
        VERIFY,
        HINT,
    ] {
        templates
            .add_template(text, text)
            .expect("the shipped templates are well formed");
    }
    templates
});

/// The retry text after an attempt, right or wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryMessage {
    /// That it was incorrect, as the official code says every time.
    #[default]
    Incorrect,
    /// That there may be a mistake.
    Neutral,
    /// Nothing about the attempt.
    None,
}

/// The sentence after each question about the form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerForm {
    /// Nothing.
    Unsaid,
    /// To put the answer after `####`, as GSM8K's solutions do.
    Marked,
    /// To put the answer into `\\boxed{}`, as MATH's solutions do.
    Boxed,
}

impl AnswerForm {
    const fn text(self) -> Option<&'static str> {
        match self {
            Self::Unsaid => None,
            Self::Marked => Some(MARKED),
            Self::Boxed => Some(BOXED),
        }
    }
}

/// The question to a policy about its own attempt, before its next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfReview {
    /// To find its mistakes, and then to use them (Self-Refine, Madaan et al. 2023).
    Critique,
    /// Whether it is right; the answer is `yes` or `no` (verifiers, and self-rewarding correction).
    Verify,
}

/// The verdicts of a verification on a right attempt and on a wrong one.
const VERIFICATION_ANSWERS: [&str; 2] = ["yes", "no"];

impl SelfReview {
    /// The answer to [`SelfReview::Verify`].
    #[must_use]
    pub const fn verification_answer(right: bool) -> &'static str {
        if right {
            VERIFICATION_ANSWERS[0]
        } else {
            VERIFICATION_ANSWERS[1]
        }
    }

    /// Whether a verification says that the attempt is right; none where it says neither.
    #[must_use]
    pub fn parse_approval(text: &str) -> Option<bool> {
        let word = text.trim().trim_end_matches('.').to_lowercase();
        VERIFICATION_ANSWERS
            .iter()
            .position(|verification| *verification == word)
            .map(|place| place == 0)
    }

    const fn templates(self, prompt: PromptConfig) -> [&'static str; 2] {
        match self {
            Self::Critique => [CRITIQUE, REFINE],
            Self::Verify => [VERIFY, prompt.retry_template()],
        }
    }
}

/// An attempt, and the policy's own review of it, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct ReviewedAttempt<'a> {
    /// The attempt's text.
    pub attempt: &'a str,
    /// The review's text.
    pub review: Option<&'a str>,
}

/// The wording of a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptConfig {
    /// The retry text after an attempt.
    pub retry: RetryMessage,
    /// Whether the question follows on the next line, as in the official code.
    pub repeat_question: bool,
    /// What is said about the form of the answer; in a run or a recipe that does not say, that is up to
    /// its task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_form: Option<AnswerForm>,
}

impl Default for PromptConfig {
    fn default() -> Self {
        Self {
            retry: RetryMessage::Incorrect,
            repeat_question: true,
            answer_form: None,
        }
    }
}

impl PromptConfig {
    /// The first user message.
    #[must_use]
    pub fn opening_message(&self, question: &str) -> Message {
        self.render_message(OPENING, question)
    }

    /// The user message after an attempt.
    #[must_use]
    pub fn retry_message(&self, question: &str) -> Message {
        self.render_message(self.retry_template(), question)
    }

    /// The question, then each attempt with the retry text after it; ends with a user message.
    ///
    /// The prompt shows all the given attempts: the caller limits the history.
    #[must_use]
    pub fn dialogue(&self, question: &str, attempts: &[&str]) -> Dialogue {
        let mut dialogue = Dialogue(vec![self.opening_message(question)]);
        if attempts.is_empty() {
            return dialogue;
        }
        let retry = self.retry_message(question).text;
        for &attempt in attempts {
            dialogue = dialogue.assistant(attempt).user(retry.as_str());
        }
        dialogue
    }

    /// The question, then each attempt with its review and the text that asks for the next one;
    /// ends with a user message.
    #[must_use]
    pub fn reviewed_dialogue(
        &self,
        question: &str,
        inquiry: SelfReview,
        exchanges: &[ReviewedAttempt<'_>],
    ) -> Dialogue {
        let [about, next] = inquiry.templates(*self);
        let retry = self.retry_message(question).text;
        let opening = Dialogue(vec![self.opening_message(question)]);
        exchanges.iter().fold(opening, |dialogue, exchange| {
            let dialogue = dialogue.assistant(exchange.attempt);
            match exchange.review {
                None => dialogue.user(retry.as_str()),
                Some(review) => dialogue
                    .user(self.render_message(about, question).text)
                    .assistant(review)
                    .user(self.render_message(next, question).text),
            }
        })
    }

    /// The dialogue that asks about the last of some attempts.
    #[must_use]
    pub fn self_review_dialogue(
        &self,
        question: &str,
        inquiry: SelfReview,
        earlier: &[ReviewedAttempt<'_>],
        attempt: &str,
    ) -> Dialogue {
        let [about, _] = inquiry.templates(*self);
        let dialogue = self
            .reviewed_dialogue(question, inquiry, earlier)
            .assistant(attempt);
        dialogue.user(self.render_message(about, question).text)
    }

    /// The question, an attempt, and the request to answer again from its first wrong step, which
    /// counts from 1 (GLoRe's local refinement, Havrilla et al. 2024).
    #[must_use]
    pub fn refinement_dialogue(&self, question: &str, attempt: &str, step: usize) -> Dialogue {
        let (repeat_question, requested) =
            (self.repeat_question, self.question_with_form(question));
        let request = Self::render_template(
            REFINE_FROM_STEP,
            context! { question => requested, repeat_question, step },
        );
        Dialogue(vec![self.opening_message(question)])
            .assistant(attempt)
            .user(request)
    }

    /// The key of the text that asks for such a refinement.
    #[must_use]
    pub fn refinement_key() -> Key {
        Key::from_value(&[REFINE_FROM_STEP])
    }

    /// The question together with its answer, for a solution that leads there (STaR's
    /// rationalisation, Zelikman et al. 2022).
    #[must_use]
    pub fn hinted_dialogue(&self, question: &str, answer: &str) -> Dialogue {
        let text = Self::render_template(
            HINT,
            context! { question => self.question_with_form(question), answer },
        );
        Dialogue(vec![Message {
            role: Role::User,
            text,
        }])
    }

    /// The key of the texts that an inquiry uses.
    #[must_use]
    pub fn self_review_key(&self, inquiry: SelfReview) -> Key {
        self.templates_key(&inquiry.templates(*self))
    }

    /// The key of the text that gives an answer away.
    #[must_use]
    pub fn hint_key() -> Key {
        Key::from_value(&[HINT])
    }

    /// The key of the template texts that this prompt uses.
    #[must_use]
    pub fn template_key(&self) -> Key {
        self.templates_key(&[OPENING, self.retry_template()])
    }

    /// The key of some templates and of the sentence about the form of the answer.
    fn templates_key(self, templates: &[&str]) -> Key {
        let form = self.answer_form.and_then(AnswerForm::text);
        Key::from_value(&templates.iter().copied().chain(form).collect::<Vec<_>>())
    }

    /// The question with the sentence about the form of its answer.
    fn question_with_form(self, question: &str) -> String {
        match self.answer_form.and_then(AnswerForm::text) {
            None => question.to_owned(),
            Some(form) => format!("{question}\n{}", form.trim_end()),
        }
    }

    const fn retry_template(self) -> &'static str {
        match self.retry {
            RetryMessage::Incorrect => INCORRECT,
            RetryMessage::Neutral => NEUTRAL,
            RetryMessage::None => NONE,
        }
    }

    fn render_message(self, template: &str, question: &str) -> Message {
        let repeat_question = self.repeat_question;
        let text = Self::render_template(
            template,
            context! { question => self.question_with_form(question), repeat_question },
        );
        Message {
            role: Role::User,
            text,
        }
    }

    fn render_template(template: &str, values: minijinja::Value) -> String {
        TEMPLATES
            .get_template(template)
            .and_then(|template| template.render(values))
            .expect("the shipped templates use nothing but what they are given")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(dialogue: &Dialogue) -> String {
        let lines = dialogue.0.iter().map(|message| match message.role {
            Role::User => format!("user: {}", message.text),
            Role::Assistant => format!("assistant: {}", message.text),
        });
        lines.collect::<Vec<_>>().join("\n--\n")
    }

    #[test]
    fn a_dialogue_reads_like_the_official_one() {
        let dialogue = PromptConfig::default().dialogue("How many?", &["1+1=3\n#### 3", "#### 2"]);
        insta::assert_snapshot!(transcript(&dialogue), @r"
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
        let text = |retry, repeat_question| {
            PromptConfig {
                retry,
                repeat_question,
                answer_form: None,
            }
            .retry_message("How many?")
            .text
        };
        assert_eq!(
            text(RetryMessage::Incorrect, false),
            "That is incorrect. Try again."
        );
        assert_eq!(
            text(RetryMessage::Neutral, false),
            "There may be a mistake. Check and answer again."
        );
        assert_eq!(
            text(RetryMessage::Neutral, true),
            "There may be a mistake. Check and answer again.\nHow many?"
        );
        assert_eq!(text(RetryMessage::None, false), "Answer again.");
        assert_eq!(text(RetryMessage::None, true), "Answer again.\nHow many?");
    }

    #[test]
    fn without_attempts_a_dialogue_is_the_question_itself() {
        let question = "A <b> & \"c\" {{ d }}?\nTwo lines.";
        assert_eq!(
            PromptConfig::default().dialogue(question, &[]),
            Dialogue::default().user(question)
        );
    }

    #[test]
    fn the_key_depends_on_the_texts_in_use() {
        let key = |retry| {
            PromptConfig {
                retry,
                ..PromptConfig::default()
            }
            .template_key()
        };
        assert_ne!(key(RetryMessage::Incorrect), key(RetryMessage::Neutral));
        assert_eq!(
            key(RetryMessage::None),
            PromptConfig {
                retry: RetryMessage::None,
                repeat_question: false,
                answer_form: None
            }
            .template_key()
        );
    }

    #[test]
    fn the_form_of_the_answer_is_said_with_every_question() {
        let prompt = PromptConfig {
            answer_form: Some(AnswerForm::Boxed),
            ..PromptConfig::default()
        };
        insta::assert_snapshot!(transcript(&prompt.dialogue("How many?", &["\\boxed{3}"])), @r"
        user: How many?
        Put the final answer into \boxed{}.
        --
        assistant: \boxed{3}
        --
        user: That is incorrect. Try again.
        How many?
        Put the final answer into \boxed{}.
        ");
        insta::assert_snapshot!(transcript(&prompt.hinted_dialogue("How many?", "3")), @r"
        user: How many?
        Put the final answer into \boxed{}.
        The answer is 3.
        ");
        let marked = PromptConfig {
            answer_form: Some(AnswerForm::Marked),
            repeat_question: false,
            ..prompt
        };
        insta::assert_snapshot!(transcript(&marked.dialogue("How many?", &["3"])), @r"
        user: How many?
        End with a line that has #### and then the final answer.
        --
        assistant: 3
        --
        user: That is incorrect. Try again.
        ");
    }

    #[test]
    fn a_form_changes_keys_and_saying_nothing_does_not() {
        let key = |answer_form| {
            let prompt = PromptConfig {
                answer_form,
                ..PromptConfig::default()
            };
            (
                prompt.template_key(),
                prompt.self_review_key(SelfReview::Verify),
            )
        };
        assert_eq!(key(None), key(Some(AnswerForm::Unsaid)));
        assert_ne!(key(None).0, key(Some(AnswerForm::Boxed)).0);
        assert_ne!(
            key(Some(AnswerForm::Marked)).1,
            key(Some(AnswerForm::Boxed)).1
        );
        assert_eq!(
            PromptConfig::default().template_key(),
            Key::from_value(&[OPENING, INCORRECT]),
            "as before there were forms"
        );
    }

    #[test]
    fn settings_are_written_in_kebab_case() {
        let prompt: PromptConfig = toml::from_str("retry = \"neutral\"").unwrap();
        assert_eq!(
            prompt,
            PromptConfig {
                retry: RetryMessage::Neutral,
                ..PromptConfig::default()
            }
        );
        assert_eq!(
            serde_json::to_string(&prompt).unwrap(),
            r#"{"retry":"neutral","repeat_question":true}"#
        );
        assert!(toml::from_str::<PromptConfig>("retri = \"neutral\"").is_err());
    }
}
