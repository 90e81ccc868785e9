//! The decoder's parameters as slices in host memory, taken once per set of weights.

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
    pub blocks: Vec<BlockParams<HostTensor>>,
    /// Gain of the last normalisation, \[D\].
    pub norm: HostTensor,
    /// Output head, \[D, V\], also where the model shares it with the embedding.
    pub head: HostTensor,
}

impl HostWeights {
    /// The values of `weights`.
    #[must_use]
    pub fn new(weights: &Weights) -> Self {
        let head = match &weights.head {
            Some(head) => HostTensor::from_tensor(head),
            // A copy in the layout of a separate head, so that the matrix kernels sum in the same order.
            None => HostTensor::copy_from_tensor(&weights.embedding.clone().transpose()),
        };
        Self {
            embedding: HostTensor::from_tensor(&weights.embedding),
            blocks: weights.blocks.iter().map(host_block).collect(),
            norm: HostTensor::from_tensor(&weights.norm),
            head,
        }
    }

    /// Every block's parameters as slices.
    #[must_use]
    pub fn block_slices(&self) -> Vec<BlockParams<&[f32]>> {
        self.blocks
            .iter()
            .map(|block| block.each_ref().map(HostTensor::as_slice))
            .collect()
    }
}

fn host_block(block: &BlockWeights) -> BlockParams<HostTensor> {
    BlockParams {
        attention_norm: HostTensor::from_tensor(&block.attention_norm),
        qkv: HostTensor::from_tensor(&block.qkv),
        output: HostTensor::from_tensor(&block.output),
        mlp_norm: HostTensor::from_tensor(&block.mlp_norm),
        gate_up: HostTensor::from_tensor(&block.gate_up),
        down: HostTensor::from_tensor(&block.down),
    }
}
