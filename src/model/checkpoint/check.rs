//! Whether a folder holds every tensor that its sizes ask for, found out without reading one.

use std::path::Path;

use super::shards::Shards;
use super::{CONFIG, CheckpointError, Sizes, WEIGHTS, file, read_sizes};
use crate::model::ModelConfig;

/// Makes sure that every tensor is there in its shape; returns the number of parameters.
///
/// # Errors
/// If sizes or a file cannot be read, or a tensor is missing, of another shape, or no float.
pub fn check(folder: &Path) -> Result<usize, CheckpointError> {
    let path = folder.join(CONFIG);
    let Sizes { config, vocabulary, .. } = read_sizes(&path)?;
    let rows = vocabulary.ok_or_else(|| file("use", &path, &"it does not say `vocab_size`"))?;
    let shards = Shards::open(&folder.join(WEIGHTS))?;
    let mut count = 0;
    for (name, shape) in tensors(&config, rows) {
        shards.view(&name, &shape)?;
        count += shape.iter().product::<usize>();
    }
    Ok(count)
}

/// Names and shapes of all tensors on disk.
fn tensors(config: &ModelConfig, vocabulary: usize) -> Vec<(String, Vec<usize>)> {
    let width = config.width;
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocabulary, width]),
        ("model.norm.weight".to_owned(), vec![width]),
    ];
    if !config.tied {
        all.push(("lm_head.weight".to_owned(), vec![vocabulary, width]));
    }
    for layer in 0..config.layers {
        let named = |(name, shape)| (format!("model.layers.{layer}.{name}"), shape);
        all.extend(block(config).into_iter().map(named));
    }
    all
}

/// Names within a block, and shapes.
fn block(config: &ModelConfig) -> Vec<(&'static str, Vec<usize>)> {
    let (d, f, q, kv) = (config.width, config.hidden, config.queries_width(), config.keys_width());
    let mut all = vec![
        ("input_layernorm.weight", vec![d]),
        ("post_attention_layernorm.weight", vec![d]),
        ("self_attn.q_proj.weight", vec![q, d]),
        ("self_attn.k_proj.weight", vec![kv, d]),
        ("self_attn.v_proj.weight", vec![kv, d]),
        ("self_attn.o_proj.weight", vec![d, q]),
        ("mlp.gate_proj.weight", vec![f, d]),
        ("mlp.up_proj.weight", vec![f, d]),
        ("mlp.down_proj.weight", vec![d, f]),
    ];
    if config.qkv_bias {
        let biases =
            [("self_attn.q_proj.bias", q), ("self_attn.k_proj.bias", kv), ("self_attn.v_proj.bias", kv)];
        all.extend(biases.map(|(name, size)| (name, vec![size])));
    }
    if config.qk_norm {
        let norms = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"];
        all.extend(norms.map(|name| (name, vec![config.head_size()])));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tensors_are_all_the_parameters() {
        let plain =
            ModelConfig { width: 8, layers: 2, heads: 2, kv_heads: 1, hidden: 16, ..Default::default() };
        let full =
            ModelConfig { head_size: Some(6), qkv_bias: true, qk_norm: true, tied: true, ..plain.clone() };
        for config in [plain, full] {
            let count: usize =
                tensors(&config, 10).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(count, config.weights(10));
        }
    }
}
