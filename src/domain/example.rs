//! Training examples: a dialogue in which some attempts are targets.

use serde::{Deserialize, Serialize};

use super::{Dialogue, Message, Role};

/// A dialogue with a weight on each message.
///
/// Only assistant messages may carry a weight; the others, and assistant messages of weight 0,
/// are context. Because attention is causal, one example with two targets trains exactly what
/// two examples (one per prefix) would, at the price of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingExample {
    /// The messages in order.
    pub messages: Vec<Message>,
    /// One weight per message; negative ones push a target down.
    pub weights: Vec<f64>,
}

impl TrainingExample {
    /// How many messages are targets.
    #[must_use]
    pub fn target_count(&self) -> usize {
        self.weights.iter().filter(|&&weight| weight != 0.0).count()
    }

    /// A dialogue and its answer, which is the target.
    #[must_use]
    pub fn from_dialogue(dialogue: Dialogue, answer: &str) -> Self {
        let Dialogue(messages) = dialogue.assistant(answer);
        let weights = (1..=messages.len())
            .map(|place| f64::from(place == messages.len()))
            .collect();
        Self { messages, weights }
    }

    /// A question answered once, as plain supervised fine-tuning has it.
    #[must_use]
    pub fn single_turn(question: &str, answer: &str) -> Self {
        let messages =
            [(Role::User, question), (Role::Assistant, answer)].map(|(role, text)| Message {
                role,
                text: text.to_owned(),
            });
        Self {
            messages: messages.into(),
            weights: vec![0.0, 1.0],
        }
    }
}
