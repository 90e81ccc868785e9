//! The CPU engine: the decoder's operations as fused loops over slices, with gradients by hand.
//!
//! Responsible for the arithmetic of one pass forward, backward or against a cache on CPU cores.
//! Must not know about parameters' names or checkpoints.
//!
//! ```text
//! batch_shards      cut a batch into whole sequences that fit a core's cache
//! block             rms_norm > gemm > rotate > attention > gemm > rms_norm > gemm > swiglu > gemm, per shard
//! head              rms_norm > gemm > cross_entropy > their gradients, per few hundred target rows
//! gemm              products: the library's, or in tiles where a small model meets AVX-512
//! row_matmul        products whose rows do not depend on each other, for sampling
//! cached_attention  attention of new tokens to the keys and values in `kv_cache`
//! buffer            memory between those, reused and never cleared
//! ```
//!
//! All operations work on *ragged* batches: sequences of any lengths stand one after the other in
//! the rows of one matrix, so nothing is padded. N is the number of rows (tokens of all
//! sequences), D the width, H query heads, K key and value heads, S the head size, F the SwiGLU
//! width, V the vocabulary.

pub mod attention;
pub(super) mod batch_shards;
pub mod block;
pub(super) mod buffer;
pub mod cached_attention;
pub mod cross_entropy;
mod gemm;
pub(super) mod head;
pub mod kv_cache;
pub mod rms_norm;
mod rotary;
pub mod row_matmul;
pub mod swiglu;
pub(super) mod transpose;
pub mod vector_math;

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

/// Which implementation passes batches through the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Fused loops over slices in host memory (`model::cpu`); for the `flex` backend.
    Cpu,
    /// Tensors that stay on their device (`model::portable`); for every backend and architecture.
    Portable,
}
