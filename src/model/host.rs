//! The decoder's parameters as slices in host memory, taken once per set of weights.
//!
//! Must not know what is computed with them.

use burn::tensor::Tensor;

use super::ops::block::Parts;
use super::weights::{Block, Weights};

/// A parameter's values in host memory, row by row; shared with the tensor where it lies there.
#[derive(Clone, Debug)]
pub struct Values(Held);

#[derive(Clone, Debug)]
enum Held {
    #[cfg(feature = "flex")]
    Shared(burn::backend::tensor::FloatTensor<burn::backend::Flex>),
    Copied(Vec<f32>),
}

impl Values {
    /// The values of `parameter`.
    #[must_use]
    pub fn of<const R: usize>(parameter: &Tensor<R>) -> Self {
        #[cfg(feature = "flex")]
        if let Ok(held) = parameter
            .clone()
            .try_into_primitive::<burn::backend::Flex>()
            && held.is_contiguous()
            && held.layout().start_offset() == 0
        {
            return Self(Held::Shared(held));
        }
        Self::copied(parameter)
    }

    /// A copy of the values of `parameter`, row by row however they lie.
    #[must_use]
    pub fn copied<const R: usize>(parameter: &Tensor<R>) -> Self {
        let data = parameter.clone().into_data();
        Self(Held::Copied(
            data.try_into_vec().expect("parameters are f32"),
        ))
    }

    /// The values.
    #[must_use]
    pub fn get(&self) -> &[f32] {
        match &self.0 {
            #[cfg(feature = "flex")]
            Held::Shared(held) => {
                let count: usize = held.layout().num_elements();
                &held.storage::<f32>()[..count]
            }
            Held::Copied(values) => values,
        }
    }
}

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
        let Self {
            attention_norm,
            packed,
            output,
            mlp_norm,
            gate_up,
            down,
        } = self;
        Parts::from_array(
            [attention_norm, packed, output, mlp_norm, gate_up, down].map(Values::get),
        )
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
