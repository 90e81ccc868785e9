//! Whoever answers in a stage: a checkpoint that is loaded here, or a model behind an API.
//!
//! Hides which of the two it is from the stages that only want attempts. Must not know what is asked.

use serde_json::Value;

use crate::domain::{Episode, Key, Policy};
use crate::model::LanguageModel;
use crate::pipeline::StageError;
use crate::pipeline::execute::{Desk, Made};
use crate::remote::{Client, Endpoint, Listening};

use super::cost::{Asked, Cost};

/// Whoever answers.
pub enum Speaker {
    /// A checkpoint.
    Checkpoint(Box<LanguageModel>),
    /// A model behind an API.
    Remote(Box<Client>),
}

impl Speaker {
    /// A checkpoint on a backend.
    pub fn checkpoint(desk: &Desk<'_>, key: &Key, backend: &str) -> Result<Self, StageError> {
        Ok(Self::Checkpoint(Box::new(desk.model(key, backend)?)))
    }

    /// A model behind an API.
    pub fn remote(desk: &Desk<'_>, endpoint: &Endpoint) -> Result<Self, StageError> {
        Ok(Self::Remote(Box::new(desk.client(endpoint)?)))
    }

    /// Does some work with the policy. `problems` are those done, all, and those of this piece of work,
    /// which takes at most `most` answers.
    pub fn speak<T>(
        &mut self,
        desk: &mut Desk<'_>,
        problems: [usize; 3],
        most: usize,
        work: impl FnOnce(&mut dyn Policy) -> T,
    ) -> T {
        match self {
            Self::Checkpoint(model) => work(model.as_mut()),
            Self::Remote(client) => {
                let listening = Listening::new(client, &mut *desk.observer, problems, most);
                work(&mut listening.after(desk.tokens))
            }
        }
    }

    /// Writes what these episodes cost among a stage's counts.
    pub fn count(&self, episodes: &[Episode], counts: &mut Value) {
        match self {
            Self::Checkpoint(model) => Cost::of_sampling(episodes, model).write(counts),
            Self::Remote(client) => Asked::of(episodes, client).write(counts),
        }
    }

    /// What a stage made with it, signed.
    pub fn sign(&self, made: Made, backend: &str) -> Made {
        match self {
            Self::Checkpoint(_) => made.on(backend),
            Self::Remote(client) => made.asked_of(client),
        }
    }
}
