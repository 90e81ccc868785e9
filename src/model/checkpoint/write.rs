//! From weights to the bytes of safetensors files, one parameter at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{FloatDType, Tensor};
use safetensors::tensor::{Dtype, View};

use crate::model::weights::BlockWeights;
use crate::model::{Decoder, ModelConfig, Precision};

/// The bytes of `model.safetensors`.
///
/// # Panics
/// If the device cannot give its values back.
#[must_use]
pub fn encode_weights(decoder: &Decoder) -> Vec<u8> {
    safetensors::serialize(named_tensors(decoder, Precision::F32), None)
        .expect("shapes come with their values")
}

/// A parameter as it is to be on disk; its values stay where they are until they are asked for.
pub struct TensorToWrite {
    values: ParameterTensor,
    shape: Vec<usize>,
    precision: Precision,
}

enum ParameterTensor {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
}

impl TensorToWrite {
    fn new(values: ParameterTensor, precision: Precision) -> Self {
        let shape = match &values {
            ParameterTensor::Vector(tensor) => tensor.dims().to_vec(),
            ParameterTensor::Matrix(tensor) => tensor.dims().to_vec(),
        };
        Self {
            values,
            shape,
            precision,
        }
    }
}

impl View for TensorToWrite {
    fn dtype(&self) -> Dtype {
        match self.precision {
            Precision::F32 => Dtype::F32,
            Precision::Bf16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = match &self.values {
            ParameterTensor::Vector(tensor) => to_f32_vec(tensor.clone()),
            ParameterTensor::Matrix(tensor) => to_f32_vec(tensor.clone()),
        };
        Cow::Owned(match self.precision {
            Precision::F32 => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Precision::Bf16 => values
                .iter()
                .flat_map(|value| half::bf16::from_f32(*value).to_le_bytes())
                .collect(),
        })
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.precision.bytes()
    }
}

fn to_f32_vec<const R: usize>(tensor: Tensor<R>) -> Vec<f32> {
    tensor
        .cast(FloatDType::F32)
        .into_data()
        .try_into_vec()
        .expect("cast to f32")
}

/// Every parameter under its name on disk.
pub fn named_tensors(decoder: &Decoder, precision: Precision) -> BTreeMap<String, TensorToWrite> {
    let weights = decoder.weights();
    let mut named = CheckpointTensors {
        tensors: BTreeMap::new(),
        precision,
    };
    named.add_matrix(
        "model.embed_tokens.weight".to_owned(),
        weights.embedding.clone(),
    );
    named.add_vector("model.norm.weight".to_owned(), weights.norm.clone());
    if let Some(head) = &weights.head {
        named.add_matrix("lm_head.weight".to_owned(), head.clone().transpose());
    }
    for (i, block) in weights.blocks.iter().enumerate() {
        named.add_block(&format!("model.layers.{i}"), block, decoder.config());
    }
    named.tensors
}

/// Collects parameters under their names on disk.
struct CheckpointTensors {
    tensors: BTreeMap<String, TensorToWrite>,
    precision: Precision,
}

impl CheckpointTensors {
    fn add_vector(&mut self, name: String, values: Tensor<1>) {
        let parameter = TensorToWrite::new(ParameterTensor::Vector(values), self.precision);
        self.tensors.insert(name, parameter);
    }

    fn add_matrix(&mut self, name: String, values: Tensor<2>) {
        let parameter = TensorToWrite::new(ParameterTensor::Matrix(values), self.precision);
        self.tensors.insert(name, parameter);
    }

    /// Adds the parameters of one block, whose names begin with `layer`.
    fn add_block(&mut self, layer: &str, block: &BlockWeights, config: &ModelConfig) {
        let (q, kv, f) = (config.query_width(), config.key_width(), config.hidden);
        let projections = [("q", 0..q), ("k", q..q + kv), ("v", q + kv..q + 2 * kv)];
        for (projection, columns) in projections {
            let name = format!("{layer}.self_attn.{projection}_proj");
            self.add_matrix(
                format!("{name}.weight"),
                turned_columns(&block.qkv, columns.clone()),
            );
            if let Some(bias) = &block.qkv_bias {
                self.add_vector(format!("{name}.bias"), bias.clone().slice_dim(0, columns));
            }
        }
        for (name, matrix) in [
            ("self_attn.o_proj", block.output.clone().transpose()),
            ("mlp.gate_proj", turned_columns(&block.gate_up, 0..f)),
            ("mlp.up_proj", turned_columns(&block.gate_up, f..2 * f)),
            ("mlp.down_proj", block.down.clone().transpose()),
        ] {
            self.add_matrix(format!("{layer}.{name}.weight"), matrix);
        }
        for (name, gain) in [
            ("input_layernorm", &block.attention_norm),
            ("post_attention_layernorm", &block.mlp_norm),
        ] {
            self.add_vector(format!("{layer}.{name}.weight"), gain.clone());
        }
        if let Some([query, key]) = &block.head_norms {
            for (name, gain) in [("q_norm", query), ("k_norm", key)] {
                self.add_vector(format!("{layer}.self_attn.{name}.weight"), gain.clone());
            }
        }
    }
}

/// Cuts columns out of a matrix and turns them to \[out, in\].
fn turned_columns(matrix: &Tensor<2>, columns: Range<usize>) -> Tensor<2> {
    matrix.clone().slice_dim(1, columns).transpose()
}
