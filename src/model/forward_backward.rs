//! The loss of a batch and its gradients.
//!
//! The CPU engine passes one shard forward and backward through the whole network before the next
//! shard begins. The saved activations are then still in the core's cache, and the memory of a
//! step does not grow with its batch. Threads share groups of shards (see `cpu::batch_shards`). Each
//! group adds up its gradients in place, and the groups' sums are added in a fixed order. The
//! portable engine does the same on its device, in `portable::forward_backward`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::cpu::batch_shards::{BatchShard, shard_groups};
use super::cpu::block::{self, BlockBackward, BlockParams, TransposedWeights};
use super::cpu::buffer::PooledBuffer;
use super::cpu::head::{CpuHead, HeadGradientSums, add_into};
use super::cpu::transpose::transpose;
use super::cpu::vector_math::sum_of_squares;
use super::decoder::RaggedBatch;
use super::host_weights::HostWeights;
use super::{Decoder, Engine, LossTargets};

/// The gradient of every parameter, by the parameter's name.
#[derive(Debug)]
pub struct Gradients(BTreeMap<String, Gradient>);

/// One parameter's gradient, row by row as it lies in the parameter, where it was computed.
#[derive(Debug)]
pub enum Gradient {
    /// In host memory.
    Host(PooledBuffer),
    /// On the parameter's device, \[elements\].
    Device(Box<Tensor<1>>),
}

impl Gradient {
    /// Its values, in host memory.
    #[must_use]
    pub fn values(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Host(values) => Cow::Borrowed(values),
            Self::Device(tensor) => Cow::Owned(
                tensor
                    .clone()
                    .into_data()
                    .try_into_vec()
                    .expect("gradients are f32"),
            ),
        }
    }
}

impl Gradients {
    /// Gradients with their parameters' names.
    pub(super) fn from_named(named: impl IntoIterator<Item = (String, Gradient)>) -> Self {
        Self(named.into_iter().collect())
    }

    /// The gradient of the parameter called `name`, where it was computed.
    #[must_use]
    pub fn gradient(&self, name: &str) -> Option<&Gradient> {
        self.0.get(name)
    }

    /// The gradient's values, in host memory.
    #[must_use]
    pub fn values(&self, name: &str) -> Option<Cow<'_, [f32]>> {
        self.gradient(name).map(Gradient::values)
    }

    /// The Euclidean norm of all gradients together.
    #[must_use]
    pub fn norm(&self) -> f64 {
        let mut host = 0.0;
        let mut device: Vec<Tensor<1>> = Vec::new();
        for gradient in self.0.values() {
            match gradient {
                Gradient::Host(values) => host += sum_of_squares(values),
                Gradient::Device(tensor) => device.push(tensor.clone().square().sum()),
            }
        }
        // All sums come to the host in one go.
        let device: Vec<f32> = if device.is_empty() {
            Vec::new()
        } else {
            Tensor::cat(device, 0)
                .into_data()
                .try_into_vec()
                .expect("gradients are f32")
        };
        (host + device.into_iter().map(f64::from).sum::<f64>()).sqrt()
    }
}

impl Decoder {
    /// Sum over positions of weight times negative log-likelihood of the position's target, and
    /// the gradient of that sum.
    ///
    /// # Panics
    /// If a sequence is longer than the model's positions or a token is not in the vocabulary.
    #[must_use]
    pub fn loss_and_gradients(
        &self,
        batch: &RaggedBatch,
        targets: &LossTargets,
    ) -> (f64, Gradients) {
        match self.engine {
            Engine::Cpu => CpuNetwork::new(self).loss_and_gradients(batch, targets),
            Engine::Portable => self.portable_loss_and_gradients(batch, targets),
        }
    }
}

/// A decoder on slices, ready for a pass in both directions.
struct CpuNetwork<'a> {
    decoder: &'a Decoder,
    host: &'a HostWeights,
    weights: Vec<BlockParams<&'a [f32]>>,
    transposed: Vec<TransposedWeights>,
    /// The head's weights transposed; none if it shares the embedding's.
    head: Option<PooledBuffer>,
}

/// Loss and gradients of a group of shards.
struct GroupGradients {
    loss: f64,
    embedding: PooledBuffer,
    blocks: Vec<BlockParams<PooledBuffer>>,
    norm: PooledBuffer,
    head: Option<PooledBuffer>,
}

impl<'a> CpuNetwork<'a> {
    fn new(decoder: &'a Decoder) -> Self {
        let host = decoder.host_weights();
        let weights = host.block_slices();
        let turned = weights
            .iter()
            .map(|weights| TransposedWeights::new(weights, &decoder.shape))
            .collect();
        let head = (!decoder.config.tied)
            .then(|| transpose(host.head.as_slice(), decoder.vocabulary_size()));
        Self {
            decoder,
            host,
            weights,
            transposed: turned,
            head,
        }
    }

    fn loss_and_gradients(&self, batch: &RaggedBatch, targets: &LossTargets) -> (f64, Gradients) {
        let groups = shard_groups(&batch.lengths, self.decoder.weights().parameter_count());
        let mut sums: Vec<(&[BatchShard], GroupGradients)> = groups
            .iter()
            .map(|shards| (shards.as_slice(), self.new_gradients()))
            .collect();
        self.decoder
            .threads
            .for_each(sums.iter_mut().collect(), |(shards, sum)| {
                for (number, shard) in shards.iter().enumerate() {
                    self.forward_backward(shard, batch, targets, sum, number > 0);
                }
            });
        let mut sums = sums.into_iter().map(|(_, sum)| sum);
        let mut total = sums.next().unwrap_or_else(|| self.zero_gradients());
        for sum in sums {
            total.add(&sum);
        }
        (total.loss, total.into_gradients())
    }

    fn new_gradients(&self) -> GroupGradients {
        let shape = &self.decoder.shape;
        GroupGradients {
            loss: 0.0,
            embedding: PooledBuffer::zeros(self.host.embedding.as_slice().len()),
            blocks: self
                .weights
                .iter()
                .map(|_| BlockParams::gradient_buffers(shape))
                .collect(),
            norm: PooledBuffer::zeros(shape.width),
            head: self
                .head
                .as_ref()
                .map(|head| PooledBuffer::zeros(head.len())),
        }
    }

    /// The gradients of a batch without a single row.
    fn zero_gradients(&self) -> GroupGradients {
        GroupGradients {
            blocks: self
                .weights
                .iter()
                .map(|block| block.each_ref().map(|part| PooledBuffer::zeros(part.len())))
                .collect(),
            ..self.new_gradients()
        }
    }

    /// Passes a shard through the network and back.
    fn forward_backward(
        &self,
        shard: &BatchShard,
        batch: &RaggedBatch,
        targets: &LossTargets,
        sum: &mut GroupGradients,
        accumulate: bool,
    ) {
        let (shape, rows) = (&*self.decoder.shape, shard.rows.clone());
        let lengths = &batch.lengths[shard.sequences.clone()];
        let tokens = &batch.tokens[rows.clone()];
        let mut x = self.embed(tokens);
        let mut passed = Vec::with_capacity(self.weights.len());
        for weights in &self.weights {
            let input = x.duplicate();
            let kept = block::forward(&mut x, weights, shape, lengths);
            passed.push((input, kept));
        }
        let mut dx = PooledBuffer::zeros(x.len());
        sum.loss += self.head(
            &x,
            &targets.ids[rows.clone()],
            &targets.weights[rows],
            &mut dx,
            sum,
        );
        let blocks = self
            .weights
            .iter()
            .zip(&self.transposed)
            .zip(&mut sum.blocks);
        for ((input, kept), ((weights, turned), gradients)) in passed.iter().zip(blocks).rev() {
            let passed = BlockBackward {
                weights,
                transposed: turned,
                shape,
                x: input,
                saved: kept,
                lengths,
            };
            block::backward(&passed, &mut dx, gradients, accumulate);
        }
        let width = shape.width;
        for (&token, dx) in tokens.iter().zip(dx.chunks_exact(width)) {
            add_into(&mut sum.embedding[token as usize * width..][..width], dx);
        }
    }

    fn embed(&self, tokens: &[u32]) -> PooledBuffer {
        let (width, embedding) = (self.decoder.shape.width, self.host.embedding.as_slice());
        let mut x = PooledBuffer::acquire(tokens.len() * width);
        for (x, &token) in x.chunks_exact_mut(width).zip(tokens) {
            x.copy_from_slice(&embedding[token as usize * width..][..width]);
        }
        x
    }

    fn head(
        &self,
        x: &[f32],
        ids: &[u32],
        weights: &[f32],
        dx: &mut [f32],
        sum: &mut GroupGradients,
    ) -> f64 {
        let head = CpuHead {
            gain: self.host.norm.as_slice(),
            weights: self.host.head.as_slice(),
            transposed: self
                .head
                .as_deref()
                .unwrap_or_else(|| self.host.embedding.as_slice()),
            epsilon: self.decoder.shape.epsilon,
        };
        let (dweights, tied) = match &mut sum.head {
            Some(head) => (head, false),
            None => (&mut sum.embedding, true),
        };
        head.loss(
            x,
            ids,
            weights,
            &mut HeadGradientSums {
                dx,
                dgain: &mut sum.norm,
                dweights,
                tied,
            },
        )
    }
}

impl GroupGradients {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        add_into(&mut self.embedding, &other.embedding);
        for (block, other) in self.blocks.iter_mut().zip(&other.blocks) {
            block.add(other);
        }
        add_into(&mut self.norm, &other.norm);
        if let (Some(head), Some(other)) = (&mut self.head, &other.head) {
            add_into(head, other);
        }
    }

    /// The gradients under the names that [`Weights::map_parameters`](super::Weights::map_parameters) gives.
    fn into_gradients(self) -> Gradients {
        let mut named = BTreeMap::from([
            ("embedding".to_owned(), self.embedding),
            ("norm".to_owned(), self.norm),
        ]);
        named.extend(self.head.map(|head| ("head".to_owned(), head)));
        for (layer, parts) in self.blocks.into_iter().enumerate() {
            let names = [
                "attention_norm",
                "packed",
                "output",
                "mlp_norm",
                "gate_up",
                "down",
            ];
            for (name, part) in names.into_iter().zip(parts.into_array()) {
                named.insert(format!("{layer}.{name}"), part);
            }
        }
        Gradients::from_named(
            named
                .into_iter()
                .map(|(name, values)| (name, Gradient::Host(values))),
        )
    }
}
