//! The input of a policy: messages in alternating roles.

use serde::{Deserialize, Serialize};

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The environment: the question, and the retry texts.
    User,
    /// The policy or its teacher: the attempts.
    Assistant,
}

/// One message of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text, without any control token.
    pub text: String,
}

/// The state `s_t` of the multi-turn decision process (paper section 3.1): question, attempts and
/// retry texts so far. A dialogue that is shown to a policy ends with a user message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dialogue(pub Vec<Message>);

impl Dialogue {
    /// The same dialogue with one more user message.
    #[must_use]
    pub fn user(mut self, text: impl Into<String>) -> Self {
        self.0.push(Message {
            role: Role::User,
            text: text.into(),
        });
        self
    }

    /// The same dialogue with one more assistant message.
    #[must_use]
    pub fn assistant(mut self, text: impl Into<String>) -> Self {
        self.0.push(Message {
            role: Role::Assistant,
            text: text.into(),
        });
        self
    }
}
