//! The decoder: embedding, blocks of attention and SwiGLU, output head.
//!
//! The way through the weights for whole sequences, with gradients: [`Decoder::logits`]. The way
//! for new tokens against a cache is in `decode`. Hides how blocks are put together.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::domain::Seed;

use super::cpu::{AttentionHeads, BlockShape, Call, RotaryTables};
use super::decode::DecoderCaches;
use super::weights::BlockWeights;
use super::{
    Engine, ExecutionContext, LoraAdapters, LossTargets, ModelConfig, Precision, Threads, Weights,
};

/// A Llama-style decoder on one device.
#[derive(Clone, Debug)]
pub struct Decoder {
    pub(super) config: ModelConfig,
    pub(super) weights: Weights,
    pub(super) shape: Arc<BlockShape>,
    pub(super) engine: Engine,
    pub(super) precision: Precision,
    /// Bytes that activations may take where the weights are.
    pub(super) activation_budget: usize,
    /// Tokens of a batch that pass through the network together there, about.
    pub(super) micro_batch_tokens: usize,
    /// Whether only half of what would be there together is.
    pub(super) half_batch: bool,
    /// Decides what adapters do not see while they are trained.
    pub(super) dropout_seed: Seed,
    pub(super) threads: Threads,
    pub(super) caches: Arc<DecoderCaches>,
}

impl Engine {
    /// These, or plain ones where these do not know the architecture, adapters or narrow matrices.
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

impl Decoder {
    /// A decoder with these weights, which must fit the configuration.
    #[must_use]
    pub fn new(config: ModelConfig, weights: Weights, place: &ExecutionContext) -> Self {
        let heads = AttentionHeads {
            query_heads: config.heads,
            kv_heads: config.kv_heads,
            head_size: config.head_size(),
        };
        let slowed = |radian: f64| match &config.rope_scaling {
            Some(scaling) => scaling.scale_frequency(radian.recip()).recip(),
            None => radian,
        };
        let rotary = RotaryTables::with_scaling(
            config.positions,
            heads.head_size,
            config.rope_theta,
            slowed,
        );
        let shape = Arc::new(BlockShape {
            heads,
            width: config.width,
            hidden: config.hidden,
            epsilon: config.norm_epsilon as f32,
            rotary,
        });
        let ExecutionContext {
            precision,
            activation_budget: activations,
            micro_batch_tokens: rows,
            half_batch: halved,
            storage,
            ..
        } = *place;
        let kernels = place
            .engine
            .resolve_for(&config, weights.adapters.is_some(), storage);
        let (threads, memory) = (place.threads.clone(), Arc::default());
        let noise = Seed(0);
        Self {
            config,
            weights,
            shape,
            engine: kernels,
            precision,
            activation_budget: activations,
            micro_batch_tokens: rows,
            half_batch: halved,
            dropout_seed: noise,
            threads,
            caches: memory,
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

    /// The same decoder with what its adapters do not see drawn from `seed`, where they are trained
    /// with dropout.
    #[must_use]
    pub fn with_dropout_seed(self, seed: Seed) -> Self {
        Self {
            dropout_seed: seed,
            ..self
        }
    }

    /// What its dropout is drawn from.
    #[must_use]
    pub const fn dropout_seed(&self) -> Seed {
        self.dropout_seed
    }

    /// The numbers of its products.
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

    /// The same decoder with its parameters changed; nothing else of it holds on to the old ones.
    #[must_use]
    pub fn map_weights(self, change: impl FnOnce(Weights, &Threads) -> Weights) -> Self {
        let Self {
            config,
            weights,
            shape,
            engine: kernels,
            precision,
            activation_budget: activations,
            micro_batch_tokens: rows,
            half_batch: halved,
            dropout_seed: noise,
            threads,
            caches: memory,
        } = self;
        drop(memory);
        let weights = change(weights, &threads);
        let memory = Arc::default();
        Self {
            config,
            weights,
            shape,
            engine: kernels,
            precision,
            activation_budget: activations,
            micro_batch_tokens: rows,
            half_batch: halved,
            dropout_seed: noise,
            threads,
            caches: memory,
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

    /// Logits of every position, \[N, V\].
    ///
    /// # Panics
    /// If a sequence is longer than the model's positions or a token is not in the vocabulary.
    #[must_use]
    pub fn logits(&self, batch: &RaggedBatch) -> Tensor<2> {
        self.head(self.hidden(batch))
    }

    /// Sum of weight times negative log-likelihood of the targets, \[1\], as part of burn's graph.
    ///
    /// # Panics
    /// As [`Decoder::logits`].
    #[must_use]
    pub fn loss(&self, batch: &RaggedBatch, targets: &LossTargets) -> Tensor<1> {
        self.engine.cross_entropy(self.logits(batch), targets)
    }

    /// The residual stream behind the last block, \[N, D\].
    fn hidden(&self, batch: &RaggedBatch) -> Tensor<2> {
        let (shape, lengths) = (Arc::clone(&self.shape), Arc::clone(&batch.lengths));
        let call = Call {
            shape,
            lengths,
            threads: self.threads.clone(),
        };
        let through = |x, block: &BlockWeights| {
            let gains = [block.attention_norm.clone(), block.mlp_norm.clone()];
            let matrices =
                [&block.qkv, &block.output, &block.gate_up, &block.down].map(Tensor::clone);
            self.engine.block(x, gains, matrices, &call)
        };
        self.weights
            .blocks
            .iter()
            .fold(self.embed(&batch.tokens), through)
    }

    fn embed(&self, tokens: &[u32]) -> Tensor<2> {
        let ids: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let device = self.weights.embedding.device();
        let ids = Tensor::<1, Int>::from_data(TensorData::from(ids.as_slice()), &device);
        self.weights.embedding.clone().select(0, ids)
    }

    fn normed(&self, x: Tensor<2>, gain: &Tensor<1>) -> Tensor<2> {
        self.engine
            .rms_norm(x, gain.clone(), self.config.norm_epsilon)
    }

    fn head(&self, x: Tensor<2>) -> Tensor<2> {
        let x = self.normed(x, &self.weights.norm);
        match &self.weights.head {
            Some(head) => x.matmul(head.clone()),
            None => x.matmul(self.weights.embedding.clone().transpose()),
        }
    }
}
