//! The decoder: embedding, blocks of attention and SwiGLU, output head.
//!
//! Two ways through the same weights: [`Decoder::logits`] for whole sequences with gradients, and
//! [`Decoder::advance`] for new tokens against a cache. Hides how blocks are put together.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};

use super::ops::attention::Cache;
use super::ops::{Call, Heads, Rotary, Shape};
use super::weights::Block;
use super::{Kernels, ModelConfig, Place, Targets, Threads, Weights};

/// A Llama-style decoder on one device.
#[derive(Clone, Debug)]
pub struct Decoder {
    config: ModelConfig,
    weights: Weights,
    heads: Heads,
    rotary: Rotary,
    shape: Arc<Shape>,
    kernels: Kernels,
    threads: Threads,
}

/// Sequences of any lengths, one after the other.
#[derive(Clone, Debug)]
pub struct Ragged {
    /// Token ids, \[N\].
    pub tokens: Vec<u32>,
    /// Lengths that add up to N.
    pub lengths: Arc<[usize]>,
}

/// What the decoder remembers of one sequence: keys and values of every layer.
#[derive(Clone, Debug)]
pub struct State {
    layers: Vec<Cache>,
}

impl State {
    /// Tokens taken in so far.
    #[must_use]
    pub fn filled(&self) -> usize {
        self.layers.first().map_or(0, Cache::filled)
    }
}

impl Decoder {
    /// A decoder with these weights, which must fit the configuration.
    #[must_use]
    pub fn new(config: ModelConfig, weights: Weights, place: &Place) -> Self {
        let heads = Heads { queries: config.heads, keys: config.kv_heads, size: config.head_size() };
        let rotary = Rotary::new(config.positions, heads.size, config.rope_theta);
        let shape = Arc::new(Shape {
            heads: heads.clone(),
            width: config.width,
            hidden: config.hidden,
            epsilon: config.norm_epsilon as f32,
            rotary: rotary.clone(),
        });
        Self { config, weights, heads, rotary, shape, kernels: place.kernels, threads: place.threads.clone() }
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
        Self { weights, ..self.clone() }
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

    /// Sum of weight times negative log-likelihood of the targets, \[1\].
    ///
    /// # Panics
    /// As [`Decoder::logits`].
    #[must_use]
    pub fn loss(&self, batch: &Ragged, targets: &Targets) -> Tensor<1> {
        let (x, gain, epsilon) = (self.hidden(batch), self.weights.norm.clone(), self.config.norm_epsilon);
        let (weights, tied) = match &self.weights.head {
            Some(head) => (head.clone(), false),
            None => (self.weights.embedding.clone(), true),
        };
        self.kernels.loss(x, gain, weights, tied, targets, epsilon, &self.threads)
    }

    /// The residual stream behind the last block, \[N, D\].
    fn hidden(&self, batch: &Ragged) -> Tensor<2> {
        let (shape, lengths) = (Arc::clone(&self.shape), Arc::clone(&batch.lengths));
        let call = Call { shape, lengths, threads: self.threads.clone() };
        let through = |x, block: &Block| {
            let gains = [block.attention_norm.clone(), block.mlp_norm.clone()];
            let matrices = [&block.packed, &block.output, &block.gate_up, &block.down].map(Tensor::clone);
            self.kernels.block(x, gains, matrices, &call)
        };
        self.weights.blocks.iter().fold(self.embed(&batch.tokens), through)
    }

    /// An empty memory for `capacity` tokens.
    #[must_use]
    pub fn state(&self, capacity: usize) -> State {
        State { layers: vec![Cache::new(&self.heads, capacity); self.config.layers] }
    }

    /// Takes in the new tokens of each sequence and returns the logits of its last one, V values
    /// each.
    ///
    /// A sequence's logits do not depend on the other sequences of the call.
    ///
    /// # Panics
    /// If a state is full or a sequence brings no token.
    pub fn advance(&self, news: &[&[u32]], states: &mut [&mut State]) -> Vec<Vec<f32>> {
        let mut tokens: Vec<u32> = news.concat();
        let rows = tokens.len();
        if rows == 1 {
            // One row alone would take a matrix-vector kernel, which adds in another order.
            tokens.push(tokens[0]);
        }
        let mut x = self.embed(&tokens);
        for (layer, block) in self.weights.blocks.iter().enumerate() {
            let packed = self.normed(x.clone(), &block.attention_norm).matmul(block.packed.clone());
            let mixed = self.attend(packed, layer, news, states);
            x = x + mixed.matmul(block.output.clone());
            x = self.feed_forward(x, block);
        }
        self.last_logits(x, news)
    }

    fn attend(
        &self,
        packed: Tensor<2>,
        layer: usize,
        news: &[&[u32]],
        states: &mut [&mut State],
    ) -> Tensor<2> {
        let (device, [rows, stride], width) = (packed.device(), packed.dims(), self.heads.width());
        let mut packed = floats(packed);
        let (mut mixed, mut scores) = (vec![0.0; rows * width], Vec::new());
        let mut rows_of = packed.chunks_exact_mut(stride).zip(mixed.chunks_exact_mut(width));
        for (new, state) in news.iter().zip(states) {
            for (row, y) in rows_of.by_ref().take(new.len()) {
                state.layers[layer].attend(row, &self.heads, &self.rotary, &mut scores, y);
            }
        }
        Tensor::from_data(TensorData::new(mixed, [rows, width]), &device)
    }

    fn last_logits(&self, x: Tensor<2>, news: &[&[u32]]) -> Vec<Vec<f32>> {
        let mut end = 0;
        let mut last: Vec<i64> = Vec::with_capacity(news.len());
        for new in news {
            end += new.len() as i64;
            last.push(end - 1);
        }
        if last.len() == 1 {
            last.push(last[0]);
        }
        let last = Tensor::<1, Int>::from_data(TensorData::from(last.as_slice()), &x.device());
        let logits = floats(self.head(x.select(0, last)));
        logits.chunks_exact(self.vocabulary()).take(news.len()).map(<[f32]>::to_vec).collect()
    }

    fn embed(&self, tokens: &[u32]) -> Tensor<2> {
        let ids: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let device = self.weights.embedding.device();
        let ids = Tensor::<1, Int>::from_data(TensorData::from(ids.as_slice()), &device);
        self.weights.embedding.clone().select(0, ids)
    }

    fn normed(&self, x: Tensor<2>, gain: &Tensor<1>) -> Tensor<2> {
        self.kernels.rms_norm(x, gain.clone(), self.config.norm_epsilon)
    }

    fn feed_forward(&self, x: Tensor<2>, block: &Block) -> Tensor<2> {
        let packed = self.normed(x.clone(), &block.mlp_norm).matmul(block.gate_up.clone());
        x + self.kernels.swiglu(packed).matmul(block.down.clone())
    }

    fn head(&self, x: Tensor<2>) -> Tensor<2> {
        let x = self.normed(x, &self.weights.norm);
        match &self.weights.head {
            Some(head) => x.matmul(head.clone()),
            None => x.matmul(self.weights.embedding.clone().transpose()),
        }
    }
}

/// The values of a tensor, row by row.
fn floats<const R: usize>(x: Tensor<R>) -> Vec<f32> {
    x.into_data().try_into_vec().expect("parameters are f32")
}
