//! A decoder of ordinary burn operations, differentiated by burn: the yardstick of both engines.

use std::collections::BTreeMap;

use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Bool, Gradients, Int, Tensor, TensorData};
use rise_lab::model::cpu::{AttentionHeads, RotaryTables};
use rise_lab::model::{Decoder, LossTargets, ModelConfig, ParameterVisitor, RaggedBatch, Weights};

/// Logits of every position, \[N, V\].
pub fn logits(decoder: &Decoder, batch: &RaggedBatch) -> Vec<f32> {
    values(forward(decoder.config(), decoder.weights(), batch))
}

/// The weighted loss, and the gradient of every parameter by its name.
pub fn loss_and_gradients(
    decoder: &Decoder,
    batch: &RaggedBatch,
    targets: &LossTargets,
) -> (f64, BTreeMap<String, Vec<f32>>) {
    struct RequireGrad;
    impl ParameterVisitor for RequireGrad {
        fn visit<const R: usize>(&mut self, _: &str, parameter: Tensor<R>) -> Tensor<R> {
            Tensor::from_inner(parameter).require_grad()
        }
    }
    struct Collect(Gradients, BTreeMap<String, Vec<f32>>);
    impl ParameterVisitor for Collect {
        fn visit<const R: usize>(&mut self, name: &str, parameter: Tensor<R>) -> Tensor<R> {
            let gradient = parameter.grad(&self.0).expect("a gradient");
            self.1.insert(name.to_owned(), values(gradient));
            parameter
        }
    }
    let weights = decoder.weights().clone().map_parameters(&mut RequireGrad);
    let loss = cross_entropy(forward(decoder.config(), &weights, batch), targets);
    let mut collect = Collect(loss.clone().backward(), BTreeMap::new());
    let _ = weights.map_parameters(&mut collect);
    (f64::from(loss.into_scalar::<f32>()), collect.1)
}

fn forward(config: &ModelConfig, weights: &Weights, batch: &RaggedBatch) -> Tensor<2> {
    let heads = AttentionHeads {
        query_heads: config.heads,
        kv_heads: config.kv_heads,
        head_size: config.head_size(),
    };
    let rotary = RotaryTables::new(config.positions, heads.head_size, config.rope_theta);
    let mut x = weights
        .embedding
        .clone()
        .select(0, ids(&batch.tokens, &weights.embedding));
    for block in &weights.blocks {
        let normed = rms_norm(x.clone(), block.attention_norm.clone(), config.norm_epsilon);
        let qkv = normed.matmul(block.qkv.clone());
        let mixed = attention(&qkv, &heads, &batch.lengths, Some(&rotary));
        x = x + mixed.matmul(block.output.clone());
        let normed = rms_norm(x.clone(), block.mlp_norm.clone(), config.norm_epsilon);
        x = x + swiglu(normed.matmul(block.gate_up.clone())).matmul(block.down.clone());
    }
    let head = match &weights.head {
        Some(head) => head.clone(),
        None => weights.embedding.clone().transpose(),
    };
    rms_norm(x, weights.norm.clone(), config.norm_epsilon).matmul(head)
}

/// Root-mean-square normalisation of each row of `x` \[N, D\], scaled by `gain` \[D\].
pub fn rms_norm(x: Tensor<2>, gain: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let norm = (x.clone().square().mean_dim(1) + epsilon).sqrt();
    x / norm * gain.unsqueeze()
}

/// `silu(gate) * up` from packed gates and ups \[N, 2 F\].
pub fn swiglu(packed: Tensor<2>) -> Tensor<2> {
    let width = packed.dims()[1];
    let gate = packed.clone().slice_dim(1, 0..width / 2);
    silu(gate) * packed.slice_dim(1, width / 2..width)
}

/// Sum over rows of weight times negative log-likelihood of the row's target, \[1\].
pub fn cross_entropy(logits: Tensor<2>, targets: &LossTargets) -> Tensor<1> {
    let weights = Tensor::<1>::from_data(TensorData::from(&*targets.weights), &logits.device());
    let ids = ids(&targets.ids, &logits).unsqueeze_dim(1);
    let chosen = log_softmax(logits, 1).gather(1, ids).squeeze_dim::<1>(1);
    (chosen * weights).sum().neg()
}

/// Causal attention within each sequence from packed queries, keys and values \[N, (H + 2 K) S\].
pub fn attention(
    packed: &Tensor<2>,
    heads: &AttentionHeads,
    lengths: &[usize],
    rotary: Option<&RotaryTables>,
) -> Tensor<2> {
    let mut sequences = Vec::new();
    let mut first = 0;
    for &length in lengths {
        let rows = packed.clone().slice_dim(0, first..first + length);
        sequences.push(attend(rows, heads, length, rotary));
        first += length;
    }
    Tensor::cat(sequences, 0)
}

fn attend(
    rows: Tensor<2>,
    heads: &AttentionHeads,
    t: usize,
    rotary: Option<&RotaryTables>,
) -> Tensor<2> {
    let (h, k, size) = (heads.query_heads, heads.kv_heads, heads.head_size);
    // [T, (H + 2K) S] -> [H + 2K, T, S]
    let all = rows.reshape([t, h + 2 * k, size]).swap_dims(0, 1);
    let mut rotated = all.clone().slice_dim(0, 0..h + k);
    if let Some(rotary) = rotary {
        rotated = rotate(rotated, t, size, rotary);
    }
    let query = rotated.clone().slice_dim(0, 0..h);
    let key = repeat(rotated.slice_dim(0, h..h + k), h / k);
    let value = repeat(all.slice_dim(0, h + k..h + 2 * k), h / k);
    let scores = query.matmul(key.swap_dims(1, 2)) / (size as f64).sqrt();
    let future = Tensor::<2, Bool>::tril_mask([t, t], 0, &scores.device()).unsqueeze::<3>();
    let masked = scores.mask_fill(future.expand([h, t, t]), f32::NEG_INFINITY);
    let mixed = softmax(masked, 2).matmul(value);
    mixed.swap_dims(0, 1).reshape([t, h * size])
}

/// Each key or value head once for every query head that reads it.
fn repeat(x: Tensor<3>, times: usize) -> Tensor<3> {
    let [heads, t, size] = x.dims();
    let repeated = x.unsqueeze_dim::<4>(1).repeat_dim(1, times);
    repeated.reshape([heads * times, t, size])
}

/// Rotates all heads \[heads, T, S\] by their positions.
fn rotate(x: Tensor<3>, t: usize, size: usize, rotary: &RotaryTables) -> Tensor<3> {
    let (half, device) = (size / 2, x.device());
    let [cosines, sines] = [&rotary.cosines, &rotary.sines].map(|table| {
        let data = TensorData::new(table[..t * half].to_vec(), [1, t, half]);
        Tensor::<3>::from_data(data, &device)
    });
    let first = x.clone().slice_dim(2, 0..half);
    let second = x.slice_dim(2, half..size);
    let a = first.clone() * cosines.clone() - second.clone() * sines.clone();
    let b = first * sines + second * cosines;
    Tensor::cat(vec![a, b], 2)
}

fn ids<const R: usize>(ids: &[u32], like: &Tensor<R>) -> Tensor<1, Int> {
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    Tensor::from_data(TensorData::from(ids.as_slice()), &like.device())
}

/// A tensor's values, row by row.
pub fn values<const R: usize>(tensor: Tensor<R>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}
