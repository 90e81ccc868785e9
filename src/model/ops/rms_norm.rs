//! Root-mean-square normalisation (Zhang and Sennrich 2019) on slices, forward and backward.

use multiversion::multiversion;

use super::exponential::dot;

/// `y = x / sqrt(mean(x^2) + epsilon) * gain` for each row; returns (y, inverse norms).
pub fn forward(x: &[f32], gain: &[f32], epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let rows = x.len() / gain.len();
    let (mut y, mut inverse) = (vec![0.0; x.len()], vec![0.0; rows]);
    forward_into(x, gain, epsilon, &mut y, &mut inverse);
    (y, inverse)
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn forward_into(x: &[f32], gain: &[f32], epsilon: f32, y: &mut [f32], inverse: &mut [f32]) {
    let width = gain.len();
    for ((x, y), inverse) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(inverse) {
        *inverse = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
        for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
            *y = x * *inverse * gain;
        }
    }
}

/// Gradients of (x, gain) from the gradient of y.
pub fn backward(x: &[f32], gain: &[f32], inverse: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut dx, mut dgain) = (vec![0.0; x.len()], vec![0.0; gain.len()]);
    backward_into(x, gain, inverse, dy, &mut dx, &mut dgain);
    (dx, dgain)
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn backward_into(x: &[f32], gain: &[f32], inverse: &[f32], dy: &[f32], dx: &mut [f32], dgain: &mut [f32]) {
    let width = gain.len();
    let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
    for (((x, dy), dx), &inverse) in rows.zip(inverse) {
        for ((dx, dy), gain) in dx.iter_mut().zip(dy).zip(gain) {
            *dx = dy * gain;
        }
        let shrink = dot(dx, x) * inverse * inverse / width as f32;
        for (((dx, x), dy), dgain) in dx.iter_mut().zip(x).zip(dy).zip(dgain.iter_mut()) {
            *dx = inverse * (*dx - x * shrink);
            *dgain += dy * x * inverse;
        }
    }
}
