//! The decoder's hot operations: fused for the embedded CPU backend, and made of ordinary burn
//! operations with its graph, which is the yardstick of every gradient that is written out by hand.
//!
//! Responsible for choosing between the two. Hides how a fused operation reaches the backend
//! (`flex`) and how it computes (on slices). Must not know about parameters' names or checkpoints.
//!
//! ```text
//! shards      cut a batch into whole sequences that fit a core's cache
//! block       rms_norm > gemm > rotate > attention > gemm > rms_norm > gemm > swiglu > gemm, per shard
//! head        rms_norm > gemm > cross_entropy > their gradients, per few hundred target rows
//! gemm        products: the library's, or in tiles where a small model meets AVX-512
//! buffer      memory between those, reused and never cleared
//! flex        the same as operations of burn's backend, with their backward passes
//! plain       the same from ordinary operations
//! ```
//!
//! All operations work on *ragged* batches: sequences of any lengths stand one after the other in
//! the rows of one matrix, so nothing is padded. N is the number of rows (tokens of all
//! sequences), D the width, H query heads, K key and value heads, S the head size, F the SwiGLU
//! width, V the vocabulary.

pub mod attention;
pub(super) mod batch_shards;
pub(super) mod block;
pub(super) mod buffer;
pub mod cached_attention;
pub mod cross_entropy;
#[cfg(feature = "flex")]
mod flex;
mod gemm;
pub(super) mod head;
pub mod kv_cache;
mod plain;
pub(super) mod rms_norm;
mod rotary;
pub mod row_matmul;
pub(super) mod swiglu;
pub(super) mod transpose;
pub mod vector_math;

use std::sync::Arc;

use burn::tensor::Tensor;

use super::Threads;

pub use block::BlockShape;
pub use cross_entropy::LossTargets;
pub use rotary::RotaryTables;

/// Sizes of an attention layer.
#[derive(Clone, Debug)]
pub struct AttentionHeads {
    /// H: query heads.
    pub query_heads: usize,
    /// K: key and value heads; divides H.
    pub kv_heads: usize,
    /// S: size of one head.
    pub head_size: usize,
}

impl AttentionHeads {
    /// Width of a row of packed queries, keys and values: (H + 2 K) S.
    #[must_use]
    pub const fn qkv_width(&self) -> usize {
        (self.query_heads + 2 * self.kv_heads) * self.head_size
    }

    /// Width of a row of outputs: H S.
    #[must_use]
    pub const fn query_width(&self) -> usize {
        self.query_heads * self.head_size
    }
}

/// What a pass through a block needs beside its tensors.
#[derive(Clone, Debug)]
pub struct Call {
    /// Sizes and tables.
    pub shape: Arc<BlockShape>,
    /// Lengths of the sequences, which add up to N.
    pub lengths: Arc<[usize]>,
    /// Threads that may work on it.
    pub threads: Threads,
}

/// Which implementation computes the hot operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Fused loops over slices, with hand-written backward passes; for the `flex` backend.
    Cpu,
    /// Tensors that stay on their device (`model::tensors`); for every backend and architecture.
    Portable,
}

impl Engine {
    /// A decoder block on `x` \[N, D\], with the gains \[D\] before attention and before the SwiGLU
    /// layer, and the matrices for queries, keys and values \[D, (H + 2 K) S\], attention output
    /// \[H S, D\], gates and ups \[D, 2 F\], and SwiGLU output \[F, D\].
    #[must_use]
    pub fn block(
        self,
        x: Tensor<2>,
        gains: [Tensor<1>; 2],
        matrices: [Tensor<2>; 4],
        call: &Call,
    ) -> Tensor<2> {
        match self {
            #[cfg(feature = "flex")]
            Self::Cpu => flex::block(x, gains, matrices, call),
            _ => plain::block(x, gains, matrices, call),
        }
    }

    /// Root-mean-square normalisation of each row of `x` \[N, D\], scaled by `gain` \[D\].
    #[must_use]
    pub fn rms_norm(self, x: Tensor<2>, gain: Tensor<1>, epsilon: f64) -> Tensor<2> {
        match self {
            #[cfg(feature = "flex")]
            Self::Cpu => flex::rms_norm(x, gain, epsilon),
            _ => plain::rms_norm(x, gain, epsilon),
        }
    }

    /// Causal attention within each sequence, from packed queries, keys and values
    /// \[N, (H + 2 K) S\] that are not yet rotated, to \[N, H S\].
    #[must_use]
    pub fn attention(
        self,
        packed: Tensor<2>,
        heads: &AttentionHeads,
        lengths: &Arc<[usize]>,
        rotary: &RotaryTables,
    ) -> Tensor<2> {
        match self {
            #[cfg(feature = "flex")]
            Self::Cpu => flex::attention(packed, heads, lengths, rotary),
            _ => plain::attention(&packed, heads, lengths, rotary),
        }
    }

    /// `silu(gate) * up` from packed gates and ups \[N, 2 F\] to \[N, F\].
    #[must_use]
    pub fn swiglu(self, packed: Tensor<2>) -> Tensor<2> {
        match self {
            #[cfg(feature = "flex")]
            Self::Cpu => flex::swiglu(packed),
            _ => plain::swiglu(packed),
        }
    }

    /// Sum over rows of weight times negative log-likelihood of the row's target, from logits
    /// \[N, V\] to \[1\].
    #[must_use]
    pub fn cross_entropy(self, logits: Tensor<2>, targets: &LossTargets) -> Tensor<1> {
        match self {
            #[cfg(feature = "flex")]
            Self::Cpu => flex::cross_entropy(logits, targets),
            _ => plain::cross_entropy(logits, targets),
        }
    }
}
