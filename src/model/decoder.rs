//! The decoder: embedding, blocks of attention and SwiGLU, output head.
//!
//! The pass over whole sequences with gradients is in `forward_backward`, the pass of new tokens
//! against a cache in `decode`.

use std::sync::Arc;

use burn::tensor::Device;

use crate::domain::Seed;

use super::cpu::{AttentionHeads, BlockShape, RotaryTables};
use super::decode::DecoderCaches;
use super::{Engine, ExecutionContext, LoraAdapters, ModelConfig, Precision, Threads, Weights};

/// A Llama-style decoder on one device.
#[derive(Clone, Debug)]
pub struct Decoder {
    pub(super) config: ModelConfig,
    pub(super) weights: Weights,
    pub(super) shape: Arc<BlockShape>,
    pub(super) engine: Engine,
    pub(super) precision: Precision,
    /// Bytes that activations may take on the weights' device.
    pub(super) activation_budget: usize,
    /// About how many tokens of a batch pass through the network together on the portable engine.
    pub(super) micro_batch_tokens: usize,
    /// Whether half as much passes through the network together, after memory ran out.
    pub(super) half_batch: bool,
    /// Seed of the adapters' dropout.
    pub(super) dropout_seed: Seed,
    pub(super) threads: Threads,
    pub(super) caches: Arc<DecoderCaches>,
}

impl Engine {
    /// This engine, or the portable one where this one does not support the architecture, adapters or
    /// narrow matrices.
    pub(super) fn resolve_for(
        self,
        config: &ModelConfig,
        is_adapted: bool,
        storage: Precision,
    ) -> Self {
        let is_narrow = storage != Precision::F32;
        if is_adapted || config.requires_portable() || is_narrow {
            Self::Portable
        } else {
            self
        }
    }
}

/// Sequences of any lengths, one after the other.
#[derive(Clone, Debug)]
pub struct RaggedBatch {
    /// Token ids, \[N\].
    pub tokens: Vec<u32>,
    /// Lengths that add up to N.
    pub lengths: Arc<[usize]>,
}

/// Works out what all blocks of these sizes share, rotary tables included.
fn block_shape(config: &ModelConfig) -> BlockShape {
    let heads = AttentionHeads {
        query_heads: config.heads,
        kv_heads: config.kv_heads,
        head_size: config.head_size(),
    };
    let rotary = RotaryTables::with_scaling(
        config.positions,
        heads.head_size,
        config.rope_theta,
        |radian: f64| match &config.rope_scaling {
            Some(scaling) => scaling.scale_frequency(radian.recip()).recip(),
            None => radian,
        },
    );
    BlockShape {
        heads,
        width: config.width,
        hidden: config.hidden,
        epsilon: config.norm_epsilon as f32,
        rotary,
    }
}

impl Decoder {
    /// A decoder with these weights, which must fit the configuration.
    #[must_use]
    pub fn new(config: ModelConfig, weights: Weights, context: &ExecutionContext) -> Self {
        let shape = Arc::new(block_shape(&config));
        let engine =
            context
                .engine
                .resolve_for(&config, weights.adapters.is_some(), context.storage);
        Self {
            config,
            weights,
            shape,
            engine,
            precision: context.precision,
            activation_budget: context.activation_budget,
            micro_batch_tokens: context.micro_batch_tokens,
            half_batch: context.half_batch,
            dropout_seed: Seed(0),
            threads: context.threads.clone(),
            caches: Arc::default(),
        }
    }

    /// The same decoder with adapters, which alone are trained from now on.
    #[must_use]
    pub fn with_adapters(self, adapters: LoraAdapters) -> Self {
        let weights = Weights {
            adapters: Some(adapters),
            ..self.weights.clone()
        };
        Self {
            engine: Engine::Portable,
            ..self.with_weights(weights)
        }
    }

    /// The same decoder with its adapters' dropout drawn from `seed`.
    #[must_use]
    pub fn with_dropout_seed(self, seed: Seed) -> Self {
        Self {
            dropout_seed: seed,
            ..self
        }
    }

    /// Seed of the adapters' dropout.
    #[must_use]
    pub const fn dropout_seed(&self) -> Seed {
        self.dropout_seed
    }

    /// Precision of its products.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.precision
    }

    /// The device of its parameters.
    #[must_use]
    pub fn device(&self) -> Device {
        self.weights.norm.device()
    }

    /// Its sizes.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Its parameters.
    #[must_use]
    pub const fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The same decoder with other parameters.
    #[must_use]
    pub fn with_weights(&self, weights: Weights) -> Self {
        Self {
            weights,
            caches: Arc::default(),
            ..self.clone()
        }
    }

    /// The same decoder with changed parameters; `change` gets the only reference that it held.
    #[must_use]
    pub fn map_weights(self, change: impl FnOnce(Weights, &Threads) -> Weights) -> Self {
        drop(self.caches);
        let weights = change(self.weights, &self.threads);
        Self {
            weights,
            caches: Arc::default(),
            ..self
        }
    }

    /// Its parameters, held by nobody else if nobody else held them before.
    #[must_use]
    pub fn into_weights(self) -> Weights {
        self.weights
    }

    /// V: size of the vocabulary.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.weights.embedding.dims()[0]
    }
}
