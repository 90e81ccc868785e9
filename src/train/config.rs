//! How a model is trained: optimizer, schedule, epochs, and where each round starts.

use serde::{Deserialize, Serialize};

use crate::model::LoraConfig;

/// Optimizer and schedule of one training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the examples.
    pub epochs: u32,
    /// Targets per optimizer step (a dialogue with two trained attempts counts as two).
    #[serde(rename = "batch")]
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Part of all steps over which the rate rises from 0.
    #[serde(rename = "warmup")]
    pub warmup_ratio: f64,
    /// The rate at the end of the cosine, as a part of the peak.
    pub final_rate: f64,
    /// `AdamW` weight decay, on matrices only.
    pub weight_decay: f64,
    /// `AdamW` beta 1.
    pub beta1: f64,
    /// `AdamW` beta 2.
    pub beta2: f64,
    /// Global gradient norm is clipped to this; 0 switches clipping off.
    #[serde(rename = "clip")]
    pub max_grad_norm: f64,
    /// Low-rank adapters that are trained in place of all weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch_size: 32,
            learning_rate: 5e-4,
            warmup_ratio: 0.05,
            final_rate: 0.1,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.98,
            max_grad_norm: 1.0,
            lora: None,
        }
    }
}

/// Which weights a round's training starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundStart {
    /// The base checkpoint, again in every round (as reported for the paper's models).
    #[default]
    Base,
    /// The previous round's checkpoint.
    Previous,
}

/// Which rounds' data a round trains on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundData {
    /// That of all rounds so far, and of the boost.
    #[default]
    Union,
    /// That of this round alone.
    Latest,
}
