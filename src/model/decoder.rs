//! The decoder: embedding, blocks of attention and SwiGLU, output head.
//!
//! The way through the weights for whole sequences, with gradients: [`Decoder::logits`]. The way
//! for new tokens against a cache is in `decode`. Hides how blocks are put together.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::domain::Seed;

use super::decode::Memory;
use super::ops::{Call, Heads, Rotary, Shape};
use super::weights::Block;
use super::{Adapters, Kernels, ModelConfig, Place, Precision, Targets, Threads, Weights};

/// A Llama-style decoder on one device.
#[derive(Clone, Debug)]
pub struct Decoder {
    pub(super) config: ModelConfig,
    pub(super) weights: Weights,
    pub(super) shape: Arc<Shape>,
    pub(super) kernels: Kernels,
    pub(super) precision: Precision,
    /// Bytes that activations may take where the weights are.
    pub(super) activations: usize,
    /// Tokens of a batch that pass through the network together there, about.
    pub(super) rows: usize,
    /// Whether only half of what would be there together is.
    pub(super) halved: bool,
    /// Decides what adapters do not see while they are trained.
    pub(super) noise: Seed,
    pub(super) threads: Threads,
    pub(super) memory: Arc<Memory>,
}

impl Kernels {
    /// These, or plain ones where these do not know the architecture, adapters or narrow matrices.
    pub(super) fn fitting(
        self,
        config: &ModelConfig,
        is_adapted: bool,
        storage: Precision,
    ) -> Self {
        let is_narrow = storage != Precision::F32;
        if is_adapted || config.is_plain_only() || is_narrow {
            Self::Plain
        } else {
            self
        }
    }
}

/// Sequences of any lengths, one after the other.
#[derive(Clone, Debug)]
pub struct Ragged {
    /// Token ids, \[N\].
    pub tokens: Vec<u32>,
    /// Lengths that add up to N.
    pub lengths: Arc<[usize]>,
}

impl Decoder {
    /// A decoder with these weights, which must fit the configuration.
    #[must_use]
    pub fn new(config: ModelConfig, weights: Weights, place: &Place) -> Self {
        let heads = Heads {
            queries: config.heads,
            keys: config.kv_heads,
            size: config.head_size(),
        };
        let slowed = |radian: f64| match &config.rope_scaling {
            Some(scaling) => scaling.scaled(radian.recip()).recip(),
            None => radian,
        };
        let rotary = Rotary::slowed(config.positions, heads.size, config.rope_theta, slowed);
        let shape = Arc::new(Shape {
            heads,
            width: config.width,
            hidden: config.hidden,
            epsilon: config.norm_epsilon as f32,
            rotary,
        });
        let Place {
            precision,
            activations,
            rows,
            halved,
            storage,
            ..
        } = *place;
        let kernels = place
            .kernels
            .fitting(&config, weights.adapters.is_some(), storage);
        let (threads, memory) = (place.threads.clone(), Arc::default());
        let noise = Seed(0);
        Self {
            config,
            weights,
            shape,
            kernels,
            precision,
            activations,
            rows,
            halved,
            noise,
            threads,
            memory,
        }
    }

    /// The same decoder with adapters, which alone are trained from now on.
    #[must_use]
    pub fn with_adapters(self, adapters: Adapters) -> Self {
        let weights = Weights {
            adapters: Some(adapters),
            ..self.weights.clone()
        };
        Self {
            kernels: Kernels::Plain,
            ..self.with_weights(weights)
        }
    }

    /// The same decoder with what its adapters do not see drawn from `seed`, where they are trained
    /// with dropout.
    #[must_use]
    pub fn with_noise(self, seed: Seed) -> Self {
        Self {
            noise: seed,
            ..self
        }
    }

    /// What its dropout is drawn from.
    #[must_use]
    pub const fn noise(&self) -> Seed {
        self.noise
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
            memory: Arc::default(),
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
            kernels,
            precision,
            activations,
            rows,
            halved,
            noise,
            threads,
            memory,
        } = self;
        drop(memory);
        let weights = change(weights, &threads);
        let memory = Arc::default();
        Self {
            config,
            weights,
            shape,
            kernels,
            precision,
            activations,
            rows,
            halved,
            noise,
            threads,
            memory,
        }
    }

    /// Its parameters, held by nobody else if nobody else held them before.
    #[must_use]
    pub fn into_weights(self) -> Weights {
        self.weights
    }

    /// V: size of the vocabulary.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.weights.embedding.dims()[0]
    }

    /// Logits of every position, \[N, V\].
    ///
    /// # Panics
    /// If a sequence is longer than the model's positions or a token is not in the vocabulary.
    #[must_use]
    pub fn logits(&self, batch: &Ragged) -> Tensor<2> {
        self.head(self.hidden(batch))
    }

    /// Sum of weight times negative log-likelihood of the targets, \[1\], as part of burn's graph.
    ///
    /// # Panics
    /// As [`Decoder::logits`].
    #[must_use]
    pub fn loss(&self, batch: &Ragged, targets: &Targets) -> Tensor<1> {
        self.kernels.cross_entropy(self.logits(batch), targets)
    }

    /// The residual stream behind the last block, \[N, D\].
    fn hidden(&self, batch: &Ragged) -> Tensor<2> {
        let (shape, lengths) = (Arc::clone(&self.shape), Arc::clone(&batch.lengths));
        let call = Call {
            shape,
            lengths,
            threads: self.threads.clone(),
        };
        let through = |x, block: &Block| {
            let gains = [block.attention_norm.clone(), block.mlp_norm.clone()];
            let matrices =
                [&block.packed, &block.output, &block.gate_up, &block.down].map(Tensor::clone);
            self.kernels.block(x, gains, matrices, &call)
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
        self.kernels
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
