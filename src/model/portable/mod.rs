//! The portable engine: the decoder as burn operations on tensors that stay on their device, for
//! graphics cards and for every architecture and backend that the CPU engine does not support.
//!
//! ```text
//! padded_layout     sequences of unequal lengths, side by side for attention and back
//! qkv_bias_norm     biases and norms of queries, keys and values, and the way back
//! attention         queries, keys, values > mixed values, and the way back
//! rms_norm          root-mean-square normalisation, and the way back
//! lora_linear       a product with a matrix and its adapters, and the way back
//! dropout           the inputs that adapters ignore in a step
//! block             one decoder block, and the way back
//! head              the loss of the rows that have a target, and its gradient
//! forward_backward  a whole batch in pieces that fit the memory: loss and gradients, log-probabilities
//! kv_cache          keys and values of sequences that are being written
//! sample_tokens     from logits to tokens
//! generate          sampling in waves that flow into each other
//! ```
//!
//! Gradients are written out by hand, because burn's graph holds every intermediate result of every
//! layer, where a layer needs only its input if it is passed once more on the way back. Burn's
//! autodiff with a checkpoint per block would replace these gradients. One measurement decides: train
//! a model of 1B parameters at 2,048 tokens on a card, and replace them if autodiff costs less than
//! 20 % more memory and time. The reference decoder in `tests/it/reference.rs` is then the body of a
//! block.
//!
//! Products and the residual stream have the context's precision; norms, softmax, losses and the sums
//! of gradients have 32 bits. Must not know about tokenizers and batches of examples.

mod attention;
mod block;
mod dropout;
mod forward_backward;
mod generate;
mod head;
mod kv_cache;
mod lora_linear;
mod padded_layout;
mod qkv_bias_norm;
mod rms_norm;
mod sample_tokens;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};

use super::adapters::{BlockMatrix, LoraAdapters};
use super::weights::{BlockWeights, Weights};
use super::{Decoder, Precision};

use block::DecoderLayer;
use dropout::AdapterDropout;
use lora_linear::LoraLinear;
use qkv_bias_norm::QkvBiasNorm;

pub use generate::{MAX_PREFILL_TOKENS, generate, max_rows_within};
pub use head::MAX_LOGITS;
pub use kv_cache::COLUMN_BLOCK as COLUMNS;

/// Values that a decoder caches on its device while its weights stay the same.
#[derive(Debug, Default)]
pub struct DeviceWeights {
    weights: OnceLock<Weights>,
    rotary_tables: OnceLock<[Tensor<2>; 2]>,
}

impl Decoder {
    /// Cosines and sines of every position, \[positions, S / 2\].
    fn rotary_tables(&self) -> &[Tensor<2>; 2] {
        self.caches.device_weights.rotary_tables.get_or_init(|| {
            let (rotary, half) = (&self.shape.rotary, self.shape.heads.head_size / 2);
            [&rotary.cosines, &rotary.sines].map(|table| {
                let data = TensorData::new(table.to_vec(), [rotary.positions(), half]);
                Tensor::<2>::from_data(data, &self.device()).cast(self.precision.float_dtype())
            })
        })
    }

    /// All matrices in the precision of products, made once.
    fn device_weights(&self) -> &Weights {
        self.caches.device_weights.weights.get_or_init(|| {
            let precision = self.precision.float_dtype();
            let weights = &self.weights;
            Weights {
                embedding: weights.embedding.clone().cast(precision),
                blocks: weights
                    .blocks
                    .iter()
                    .map(|block| cast_matrices(block, precision))
                    .collect(),
                norm: weights.norm.clone(),
                head: weights.head.clone().map(|head| head.cast(precision)),
                adapters: None,
            }
        })
    }
}

impl Decoder {
    /// A block with its adapters; `block` has its matrices in the precision of products.
    fn layer<'a>(&'a self, number: usize, block: &'a BlockWeights) -> DecoderLayer<'a> {
        self.layer_with_dropout(number, block, None)
    }

    /// The same, with the adapters' dropout.
    fn layer_with_dropout<'a>(
        &'a self,
        number: usize,
        block: &'a BlockWeights,
        dropout: Option<&'a AdapterDropout>,
    ) -> DecoderLayer<'a> {
        let adapters = self.weights.adapters.as_ref();
        let [qkv, output, gate_up, down] = [
            (&block.qkv, BlockMatrix::Qkv),
            (&block.output, BlockMatrix::Output),
            (&block.gate_up, BlockMatrix::GateUp),
            (&block.down, BlockMatrix::Down),
        ]
        .map(|(matrix, packed)| LoraLinear {
            matrix,
            adapters: adapters.map_or_else(Vec::new, |all| {
                all.for_matrix(number, packed, &self.config).collect()
            }),
            scale: adapters.map_or(1.0, LoraAdapters::scale),
            dropout: dropout.map(|dropout| (dropout, number, packed)),
        });
        DecoderLayer {
            attention_norm: &block.attention_norm,
            qkv,
            qkv_bias_norm: QkvBiasNorm {
                heads: &self.shape.heads,
                bias: block.qkv_bias.as_ref(),
                norms: block.head_norms.as_ref(),
                epsilon: self.config.norm_epsilon,
            },
            output,
            mlp_norm: &block.mlp_norm,
            gate_up,
            down,
            epsilon: self.config.norm_epsilon,
            is_frozen: adapters.is_some(),
        }
    }
}

impl Precision {
    /// The type of numbers in products.
    pub(super) const fn float_dtype(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
        }
    }

    /// Bytes of such a number.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// The block with its matrices in the precision of products.
fn cast_matrices(block: &BlockWeights, precision: FloatDType) -> BlockWeights {
    let [qkv, output, gate_up, down] = [&block.qkv, &block.output, &block.gate_up, &block.down]
        .map(|matrix| matrix.clone().cast(precision));
    BlockWeights {
        attention_norm: block.attention_norm.clone(),
        qkv,
        qkv_bias: block.qkv_bias.clone(),
        head_norms: block.head_norms.clone(),
        output,
        mlp_norm: block.mlp_norm.clone(),
        gate_up,
        down,
    }
}

fn int_tensor(values: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
    Tensor::from_data(TensorData::from(values.as_slice()), device)
}

fn to_f32_vec<const R: usize>(tensor: Tensor<R>) -> Vec<f32> {
    tensor
        .cast(FloatDType::F32)
        .into_data()
        .try_into_vec()
        .expect("cast to f32")
}
