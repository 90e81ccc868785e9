//! SwiGLU's gate (Shazeer 2020) on slices, forward and backward: `silu(gate) * up`, with gate and
//! up packed side by side in rows of 2 F values.

use multiversion::multiversion;

use super::vector_math::exp;

/// From packed rows of 2 F values to rows of F.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn forward(packed: &[f32], width: usize, y: &mut [f32]) {
    for (packed, y) in packed
        .chunks_exact(2 * width)
        .zip(y.chunks_exact_mut(width))
    {
        let (gate, up) = packed.split_at(width);
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate / (1.0 + exp(-gate)) * up;
        }
    }
}

/// Gradient of the packed rows from the gradient of the result, and the result once more: it is
/// needed for the next layer's weight gradient and costs less to make than to keep.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn backward(packed: &[f32], width: usize, dy: &[f32], y: &mut [f32], dpacked: &mut [f32]) {
    let rows = packed
        .chunks_exact(2 * width)
        .zip(dpacked.chunks_exact_mut(2 * width));
    for (((packed, dpacked), dy), y) in rows
        .zip(dy.chunks_exact(width))
        .zip(y.chunks_exact_mut(width))
    {
        let (gate, up) = packed.split_at(width);
        let (dgate, dup) = dpacked.split_at_mut(width);
        let values = gate.iter().zip(up).zip(dy);
        for (((dgate, dup), y), ((gate, up), dy)) in dgate.iter_mut().zip(dup).zip(y).zip(values) {
            let sigmoid = 1.0 / (1.0 + exp(-gate));
            let silu = gate * sigmoid;
            *y = silu * up;
            *dup = dy * silu;
            *dgate = dy * up * (sigmoid + silu * (1.0 - sigmoid));
        }
    }
}
