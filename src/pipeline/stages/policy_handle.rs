//! The policy of a stage: a checkpoint that is loaded here, or an API model.

use serde_json::Value;

use crate::api::{ApiClient, ApiPolicy, ChunkProgress, Endpoint};
use crate::domain::{Episode, Key, Policy};
use crate::model::LanguageModel;
use crate::pipeline::context::{StageContext, StageError, StageOutput};

use super::cost::{ApiCost, ComputeCost};

/// A policy that answers.
pub enum PolicyHandle {
    /// A checkpoint.
    Checkpoint(Box<LanguageModel>),
    /// An API model.
    Api(Box<ApiClient>),
}

impl PolicyHandle {
    /// A checkpoint on a backend.
    pub fn load_checkpoint(
        context: &StageContext<'_>,
        key: &Key,
        backend: &str,
    ) -> Result<Self, StageError> {
        Ok(Self::Checkpoint(Box::new(
            context.load_model(key, backend)?,
        )))
    }

    /// An API model.
    pub fn open_api(context: &StageContext<'_>, endpoint: &Endpoint) -> Result<Self, StageError> {
        Ok(Self::Api(Box::new(context.open_client(endpoint)?)))
    }

    /// Works on a chunk of problems with the policy, which gives at most `max_answers` answers.
    pub fn with_policy<T>(
        &mut self,
        context: &mut StageContext<'_>,
        progress: ChunkProgress,
        max_answers: usize,
        work: impl FnOnce(&mut dyn Policy) -> T,
    ) -> T {
        match self {
            Self::Checkpoint(model) => work(model.as_mut()),
            Self::Api(client) => {
                let policy = ApiPolicy::new(client, &mut *context.observer, progress, max_answers);
                work(&mut policy.with_earlier_tokens(context.sampled_tokens))
            }
        }
    }

    /// Adds the cost of these episodes to a stage's counts.
    pub fn record_usage(&self, episodes: &[Episode], counts: &mut Value) {
        match self {
            Self::Checkpoint(model) => {
                ComputeCost::for_sampling(episodes, &model.decoder).add_to_counts(counts);
            }
            Self::Api(client) => ApiCost::for_episodes(episodes, client).add_to_counts(counts),
        }
    }

    /// A stage's output with the origin of its answers.
    pub fn stamp(&self, output: StageOutput, backend: &str) -> StageOutput {
        match self {
            Self::Checkpoint(_) => output.with_backend(backend),
            Self::Api(client) => output.with_api_origin(client),
        }
    }
}
