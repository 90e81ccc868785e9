//! The same operations made of ordinary burn operations, differentiated by its graph: the yardstick
//! of the gradients that are written out by hand.

use std::sync::Arc;

use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Bool, Int, Tensor, TensorData};

use super::{AttentionHeads, Call, LossTargets, RotaryTables};

pub fn block(
    x: Tensor<2>,
    gains: [Tensor<1>; 2],
    matrices: [Tensor<2>; 4],
    call: &Call,
) -> Tensor<2> {
    let ([attention_norm, mlp_norm], [packed, output, gate_up, down]) = (gains, matrices);
    let epsilon = f64::from(call.shape.epsilon);
    let packed = rms_norm(x.clone(), attention_norm, epsilon).matmul(packed);
    let mixed = attention(
        &packed,
        &call.shape.heads,
        &call.lengths,
        &call.shape.rotary,
    );
    let x = x + mixed.matmul(output);
    let gated = swiglu(rms_norm(x.clone(), mlp_norm, epsilon).matmul(gate_up));
    x + gated.matmul(down)
}

pub fn rms_norm(x: Tensor<2>, gain: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let norm = (x.clone().square().mean_dim(1) + epsilon).sqrt();
    x / norm * gain.unsqueeze()
}

pub fn swiglu(packed: Tensor<2>) -> Tensor<2> {
    let mut parts = packed.chunk(2, 1).into_iter();
    let (gate, up) = (
        parts.next().expect("a first half"),
        parts.next().expect("a second half"),
    );
    silu(gate) * up
}

pub fn cross_entropy(logits: Tensor<2>, targets: &LossTargets) -> Tensor<1> {
    let device = logits.device();
    let ids: Vec<i64> = targets.ids.iter().map(|&id| i64::from(id)).collect();
    let ids = Tensor::<1, Int>::from_data(TensorData::from(ids.as_slice()), &device);
    let weights = Tensor::<1>::from_data(TensorData::from(&*targets.weights), &device);
    let chosen = log_softmax(logits, 1)
        .gather(1, ids.unsqueeze_dim(1))
        .squeeze_dim::<1>(1);
    (chosen * weights).sum().neg()
}

/// One sequence after the other; each is a small square of its own.
pub fn attention(
    packed: &Tensor<2>,
    heads: &AttentionHeads,
    lengths: &Arc<[usize]>,
    rotary: &RotaryTables,
) -> Tensor<2> {
    let mut first = 0;
    let sequences = lengths.iter().map(|&t| {
        let rows = packed.clone().slice_dim(0, first..first + t);
        first += t;
        attend(rows, heads, t, rotary)
    });
    Tensor::cat(sequences.collect(), 0)
}

fn attend(rows: Tensor<2>, heads: &AttentionHeads, t: usize, rotary: &RotaryTables) -> Tensor<2> {
    let (h, k, size) = (heads.query_heads, heads.kv_heads, heads.head_size);
    // [T, (H + 2K) S] -> [H + 2K, T, S]
    let all = rows.reshape([t, h + 2 * k, size]).swap_dims(0, 1);
    let turned = rotate(all.clone().slice_dim(0, 0..h + k), t, size, rotary);
    let spread = |x: Tensor<3>| {
        x.unsqueeze_dim::<4>(1)
            .repeat_dim(1, h / k)
            .reshape([h, t, size])
    };
    let query = turned.clone().slice_dim(0, 0..h);
    let key = spread(turned.slice_dim(0, h..h + k));
    let value = spread(all.slice_dim(0, h + k..h + 2 * k));
    let scores = query.matmul(key.swap_dims(1, 2)) / (size as f64).sqrt();
    let future = Tensor::<2, Bool>::tril_mask([t, t], 0, &scores.device()).unsqueeze::<3>();
    let p = softmax(
        scores.mask_fill(future.expand([h, t, t]), f32::NEG_INFINITY),
        2,
    );
    p.matmul(value).swap_dims(0, 1).reshape([t, h * size])
}

fn rotate(x: Tensor<3>, t: usize, size: usize, rotary: &RotaryTables) -> Tensor<3> {
    let (half, device) = (size / 2, x.device());
    let table = |values: &[f32]| {
        let data = TensorData::new(values[..t * half].to_vec(), [1, t, half]);
        Tensor::<3>::from_data(data, &device)
    };
    let (cosines, sines) = (table(&rotary.cosines), table(&rotary.sines));
    let first = x.clone().slice_dim(2, 0..half);
    let second = x.slice_dim(2, half..size);
    let a = first.clone() * cosines.clone() - second.clone() * sines.clone();
    let b = first * sines + second * cosines;
    Tensor::cat(vec![a, b], 2)
}
