//! SwiGLU's gate (Shazeer 2020) on slices, forward and backward: `silu(gate) * up`, with gate and
//! up packed side by side in rows of 2 F values.

use multiversion::multiversion;

use super::exponential::exp;

/// From packed rows of 2 F values to rows of F.
pub fn forward(packed: &[f32], width: usize) -> Vec<f32> {
    let mut y = vec![0.0; packed.len() / 2];
    forward_into(packed, width, &mut y);
    y
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn forward_into(packed: &[f32], width: usize, y: &mut [f32]) {
    for (packed, y) in packed.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
        let (gate, up) = packed.split_at(width);
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate / (1.0 + exp(-gate)) * up;
        }
    }
}

/// Gradient of the packed rows from the gradient of the result.
pub fn backward(packed: &[f32], width: usize, dy: &[f32]) -> Vec<f32> {
    let mut dpacked = vec![0.0; packed.len()];
    backward_into(packed, width, dy, &mut dpacked);
    dpacked
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn backward_into(packed: &[f32], width: usize, dy: &[f32], dpacked: &mut [f32]) {
    let rows = packed.chunks_exact(2 * width).zip(dpacked.chunks_exact_mut(2 * width));
    for ((packed, dpacked), dy) in rows.zip(dy.chunks_exact(width)) {
        let (gate, up) = packed.split_at(width);
        let (dgate, dup) = dpacked.split_at_mut(width);
        for ((((dgate, dup), gate), up), dy) in dgate.iter_mut().zip(dup).zip(gate).zip(up).zip(dy) {
            let sigmoid = 1.0 / (1.0 + exp(-gate));
            let silu = gate * sigmoid;
            *dup = dy * silu;
            *dgate = dy * up * (sigmoid + silu * (1.0 - sigmoid));
        }
    }
}
