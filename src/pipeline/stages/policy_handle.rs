//! Whoever answers in a stage: a checkpoint that is loaded here, or a model behind an API.
//!
//! Hides which of the two it is from the stages that only want attempts. Must not know what is asked.

use serde_json::Value;

use crate::api::{ApiClient, ApiPolicy, ChunkProgress, Endpoint};
use crate::domain::{Episode, Key, Policy};
use crate::model::LanguageModel;
use crate::pipeline::StageError;
use crate::pipeline::execute::{StageContext, StageOutput};

use super::cost::{ApiCost, ComputeCost};

/// Whoever answers.
pub enum PolicyHandle {
    /// A checkpoint.
    Checkpoint(Box<LanguageModel>),
    /// A model behind an API.
    Api(Box<ApiClient>),
}

impl PolicyHandle {
    /// A checkpoint on a backend.
    pub fn load_checkpoint(
        desk: &StageContext<'_>,
        key: &Key,
        backend: &str,
    ) -> Result<Self, StageError> {
        Ok(Self::Checkpoint(Box::new(desk.load_model(key, backend)?)))
    }

    /// A model behind an API.
    pub fn open_api(desk: &StageContext<'_>, endpoint: &Endpoint) -> Result<Self, StageError> {
        Ok(Self::Api(Box::new(desk.open_client(endpoint)?)))
    }

    /// Does some work with the policy. `problems` are those done, all, and those of this piece of work,
    /// which takes at most `most` answers.
    pub fn with_policy<T>(
        &mut self,
        desk: &mut StageContext<'_>,
        problems: [usize; 3],
        most: usize,
        work: impl FnOnce(&mut dyn Policy) -> T,
    ) -> T {
        match self {
            Self::Checkpoint(model) => work(model.as_mut()),
            Self::Api(client) => {
                let [done, total, chunk] = problems;
                let progress = ChunkProgress { done, total, chunk };
                let listening = ApiPolicy::new(client, &mut *desk.observer, progress, most);
                work(&mut listening.with_earlier_tokens(desk.sampled_tokens))
            }
        }
    }

    /// Writes what these episodes cost among a stage's counts.
    pub fn record_usage(&self, episodes: &[Episode], counts: &mut Value) {
        match self {
            Self::Checkpoint(model) => {
                ComputeCost::for_sampling(episodes, model).add_to_counts(counts)
            }
            Self::Api(client) => ApiCost::for_episodes(episodes, client).add_to_counts(counts),
        }
    }

    /// What a stage made with it, signed.
    pub fn stamp(&self, made: StageOutput, backend: &str) -> StageOutput {
        match self {
            Self::Checkpoint(_) => made.with_backend(backend),
            Self::Api(client) => made.with_api_origin(client),
        }
    }
}
