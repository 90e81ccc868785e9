//! The decoder's parameters as slices in host memory, taken once per set of weights.
//!
//! Must not know what is computed with them.

use super::ops::block::Parts;
use super::ops::rows::Values;
use super::weights::{Block, Weights};

/// All parameters of a decoder, row by row.
#[derive(Debug)]
pub struct Host {
    /// Token embedding, \[V, D\].
    pub embedding: Values,
    /// The decoder blocks.
    pub blocks: Vec<HostBlock>,
    /// Gain of the last normalisation, \[D\].
    pub norm: Values,
    /// Output head, \[D, V\], also where the model shares it with the embedding.
    pub head: Values,
}

/// Parameters of one decoder block; shapes as in [`Block`].
#[derive(Debug)]
pub struct HostBlock {
    pub attention_norm: Values,
    pub packed: Values,
    pub output: Values,
    pub mlp_norm: Values,
    pub gate_up: Values,
    pub down: Values,
}

impl Host {
    /// The values of `weights`.
    #[must_use]
    pub fn new(weights: &Weights) -> Self {
        let head = match &weights.head {
            Some(head) => Values::of(head),
            // Laid out as a head of its own: the matrix kernels add in one order for it.
            None => Values::copied(&weights.embedding.clone().transpose()),
        };
        Self {
            embedding: Values::of(&weights.embedding),
            blocks: weights.blocks.iter().map(HostBlock::new).collect(),
            norm: Values::of(&weights.norm),
            head,
        }
    }
}

impl HostBlock {
    /// Its parameters as slices.
    #[must_use]
    pub fn parts(&self) -> Parts<&[f32]> {
        let Self { attention_norm, packed, output, mlp_norm, gate_up, down } = self;
        Parts::from_array([attention_norm, packed, output, mlp_norm, gate_up, down].map(Values::get))
    }

    fn new(block: &Block) -> Self {
        Self {
            attention_norm: Values::of(&block.attention_norm),
            packed: Values::of(&block.packed),
            output: Values::of(&block.output),
            mlp_norm: Values::of(&block.mlp_norm),
            gate_up: Values::of(&block.gate_up),
            down: Values::of(&block.down),
        }
    }
}
