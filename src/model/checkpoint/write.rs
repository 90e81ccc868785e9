//! From weights to the bytes of a safetensors file.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, TensorView};

use crate::model::Decoder;

/// The bytes of `model.safetensors`.
///
/// # Panics
/// If the device cannot give its values back.
#[must_use]
pub fn encode(decoder: &Decoder) -> Vec<u8> {
    let tensors = named(decoder);
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("shapes come with their values"))
    });
    safetensors::serialize(views, None).expect("names are distinct")
}

type Named = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn named(decoder: &Decoder) -> Named {
    let (config, weights) = (decoder.config(), decoder.weights());
    let (q, kv, f) = (config.queries_width(), config.keys_width(), config.hidden);
    let mut out = Named::new();
    put(&mut out, "model.embed_tokens.weight", weights.embedding.clone());
    put(&mut out, "model.norm.weight", weights.norm.clone());
    if let Some(head) = &weights.head {
        put(&mut out, "lm_head.weight", head.clone().transpose());
    }
    for (i, block) in weights.blocks.iter().enumerate() {
        let name = |name: &str| format!("model.layers.{i}.{name}");
        let columns = |m: &Tensor<2>, from: usize, to: usize| m.clone().slice_dim(1, from..to).transpose();
        let mut matrix = |part: &str, m: Tensor<2>| put(&mut out, &name(&format!("{part}.weight")), m);
        matrix("self_attn.q_proj", columns(&block.packed, 0, q));
        matrix("self_attn.k_proj", columns(&block.packed, q, q + kv));
        matrix("self_attn.v_proj", columns(&block.packed, q + kv, q + 2 * kv));
        matrix("self_attn.o_proj", block.output.clone().transpose());
        matrix("mlp.gate_proj", columns(&block.gate_up, 0, f));
        matrix("mlp.up_proj", columns(&block.gate_up, f, 2 * f));
        matrix("mlp.down_proj", block.down.clone().transpose());
        put(&mut out, &name("input_layernorm.weight"), block.attention_norm.clone());
        put(&mut out, &name("post_attention_layernorm.weight"), block.mlp_norm.clone());
        if let Some(bias) = &block.packed_bias {
            let part = |from: usize, to: usize| bias.clone().slice_dim(0, from..to);
            put(&mut out, &name("self_attn.q_proj.bias"), part(0, q));
            put(&mut out, &name("self_attn.k_proj.bias"), part(q, q + kv));
            put(&mut out, &name("self_attn.v_proj.bias"), part(q + kv, q + 2 * kv));
        }
        if let Some([query, key]) = &block.head_norms {
            put(&mut out, &name("self_attn.q_norm.weight"), query.clone());
            put(&mut out, &name("self_attn.k_norm.weight"), key.clone());
        }
    }
    out
}

fn put<const R: usize>(out: &mut Named, name: &str, tensor: Tensor<R>) {
    let shape = tensor.dims().to_vec();
    let values: Vec<f32> = tensor.into_data().try_into_vec().expect("parameters are f32");
    out.insert(name.to_owned(), (shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
}
