//! The decoder's parameters as slices in host memory, taken once per set of weights.
//!
//! Must not know what is computed with them.

use burn::tensor::Tensor;

use super::cpu::block::BlockParams;
use super::weights::{BlockWeights, Weights};

/// A parameter's values in host memory, row by row; shared with the tensor where it lies there.
#[derive(Clone, Debug)]
pub struct HostTensor(HostStorage);

#[derive(Clone, Debug)]
enum HostStorage {
    #[cfg(feature = "flex")]
    Shared(burn::backend::tensor::FloatTensor<burn::backend::Flex>),
    Owned(Vec<f32>),
}

impl HostTensor {
    /// The values of `parameter`.
    #[must_use]
    pub fn from_tensor<const R: usize>(parameter: &Tensor<R>) -> Self {
        #[cfg(feature = "flex")]
        if let Ok(held) = parameter
            .clone()
            .try_into_primitive::<burn::backend::Flex>()
            && held.is_contiguous()
            && held.layout().start_offset() == 0
        {
            return Self(HostStorage::Shared(held));
        }
        Self::copy_from_tensor(parameter)
    }

    /// A copy of the values of `parameter`, row by row however they lie.
    #[must_use]
    pub fn copy_from_tensor<const R: usize>(parameter: &Tensor<R>) -> Self {
        let data = parameter.clone().into_data();
        Self(HostStorage::Owned(
            data.try_into_vec().expect("parameters are f32"),
        ))
    }

    /// The values.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        match &self.0 {
            #[cfg(feature = "flex")]
            HostStorage::Shared(held) => {
                let count: usize = held.layout().num_elements();
                &held.storage::<f32>()[..count]
            }
            HostStorage::Owned(values) => values,
        }
    }
}

/// All parameters of a decoder, row by row.
#[derive(Debug)]
pub struct HostWeights {
    /// Token embedding, \[V, D\].
    pub embedding: HostTensor,
    /// The decoder blocks.
    pub blocks: Vec<HostBlock>,
    /// Gain of the last normalisation, \[D\].
    pub norm: HostTensor,
    /// Output head, \[D, V\], also where the model shares it with the embedding.
    pub head: HostTensor,
}

/// Parameters of one decoder block; shapes as in [`Block`].
#[derive(Debug)]
pub struct HostBlock {
    pub attention_norm: HostTensor,
    pub qkv: HostTensor,
    pub output: HostTensor,
    pub mlp_norm: HostTensor,
    pub gate_up: HostTensor,
    pub down: HostTensor,
}

impl HostWeights {
    /// The values of `weights`.
    #[must_use]
    pub fn new(weights: &Weights) -> Self {
        let head = match &weights.head {
            Some(head) => HostTensor::from_tensor(head),
            // Laid out as a head of its own: the matrix kernels add in one order for it.
            None => HostTensor::copy_from_tensor(&weights.embedding.clone().transpose()),
        };
        Self {
            embedding: HostTensor::from_tensor(&weights.embedding),
            blocks: weights.blocks.iter().map(HostBlock::new).collect(),
            norm: HostTensor::from_tensor(&weights.norm),
            head,
        }
    }
}

impl HostBlock {
    /// Its parameters as slices.
    #[must_use]
    pub fn params(&self) -> BlockParams<&[f32]> {
        let Self {
            attention_norm,
            qkv: packed,
            output,
            mlp_norm,
            gate_up,
            down,
        } = self;
        BlockParams::from_array(
            [attention_norm, packed, output, mlp_norm, gate_up, down].map(HostTensor::as_slice),
        )
    }

    fn new(block: &BlockWeights) -> Self {
        Self {
            attention_norm: HostTensor::from_tensor(&block.attention_norm),
            qkv: HostTensor::from_tensor(&block.qkv),
            output: HostTensor::from_tensor(&block.output),
            mlp_norm: HostTensor::from_tensor(&block.mlp_norm),
            gate_up: HostTensor::from_tensor(&block.gate_up),
            down: HostTensor::from_tensor(&block.down),
        }
    }
}
