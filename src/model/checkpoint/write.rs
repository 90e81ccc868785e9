//! From weights to the bytes of safetensors files, one parameter at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use burn::tensor::{FloatDType, Tensor};
use safetensors::tensor::{Dtype, View};

use crate::model::{Decoder, Precision};

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
        let narrow = |value: &f32| half::bf16::from_f32(*value).to_le_bytes();
        Cow::Owned(match self.precision {
            Precision::F32 => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Precision::Bf16 => values.iter().flat_map(narrow).collect(),
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
    let (config, weights) = (decoder.config(), decoder.weights());
    let (q, kv, f) = (config.query_width(), config.key_width(), config.hidden);
    let mut out = BTreeMap::new();
    let vector =
        |values: &Tensor<1>| TensorToWrite::new(ParameterTensor::Vector(values.clone()), precision);
    let matrix = |values: Tensor<2>| TensorToWrite::new(ParameterTensor::Matrix(values), precision);
    out.insert(
        "model.embed_tokens.weight".to_owned(),
        matrix(weights.embedding.clone()),
    );
    out.insert("model.norm.weight".to_owned(), vector(&weights.norm));
    if let Some(head) = &weights.head {
        out.insert(
            "lm_head.weight".to_owned(),
            matrix(head.clone().transpose()),
        );
    }
    for (i, block) in weights.blocks.iter().enumerate() {
        let name = |name: &str| format!("model.layers.{i}.{name}");
        let columns =
            |m: &Tensor<2>, from: usize, to: usize| m.clone().slice_dim(1, from..to).transpose();
        let mut put = |part: &str, parameter: TensorToWrite| {
            out.insert(name(part), parameter);
        };
        put("self_attn.q_proj.weight", matrix(columns(&block.qkv, 0, q)));
        put(
            "self_attn.k_proj.weight",
            matrix(columns(&block.qkv, q, q + kv)),
        );
        put(
            "self_attn.v_proj.weight",
            matrix(columns(&block.qkv, q + kv, q + 2 * kv)),
        );
        put(
            "self_attn.o_proj.weight",
            matrix(block.output.clone().transpose()),
        );
        put(
            "mlp.gate_proj.weight",
            matrix(columns(&block.gate_up, 0, f)),
        );
        put(
            "mlp.up_proj.weight",
            matrix(columns(&block.gate_up, f, 2 * f)),
        );
        put(
            "mlp.down_proj.weight",
            matrix(block.down.clone().transpose()),
        );
        put("input_layernorm.weight", vector(&block.attention_norm));
        put("post_attention_layernorm.weight", vector(&block.mlp_norm));
        if let Some(bias) = &block.qkv_bias {
            let part = |from: usize, to: usize| vector(&bias.clone().slice_dim(0, from..to));
            put("self_attn.q_proj.bias", part(0, q));
            put("self_attn.k_proj.bias", part(q, q + kv));
            put("self_attn.v_proj.bias", part(q + kv, q + 2 * kv));
        }
        if let Some([query, key]) = &block.head_norms {
            put("self_attn.q_norm.weight", vector(query));
            put("self_attn.k_norm.weight", vector(key));
        }
    }
    out
}
