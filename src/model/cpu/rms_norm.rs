//! Root-mean-square normalisation (Zhang and Sennrich 2019) on slices, forward and backward.

use multiversion::multiversion;

use super::vector_math::{dot, dot3};

/// `y = x / sqrt(mean(x^2) + epsilon) * gain` for each row; also gives the inverse norms, \[N\].
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn forward(x: &[f32], gain: &[f32], epsilon: f32, y: &mut [f32], inverse: &mut [f32]) {
    let width = gain.len();
    for ((x, y), inverse) in x
        .chunks_exact(width)
        .zip(y.chunks_exact_mut(width))
        .zip(inverse)
    {
        *inverse = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
        for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
            *y = x * *inverse * gain;
        }
    }
}

/// The same `y` once more from the kept inverse norms: cheaper than keeping `y`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn recompute(x: &[f32], gain: &[f32], inverse: &[f32], y: &mut [f32]) {
    let width = gain.len();
    for ((x, y), inverse) in x
        .chunks_exact(width)
        .zip(y.chunks_exact_mut(width))
        .zip(inverse)
    {
        for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
            *y = x * inverse * gain;
        }
    }
}

/// Adds the gradients of x and of the gain, given the gradient of y.
///
/// Where x is a residual stream, `dx` already holds the gradient that bypasses the normalisation.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn backward(
    x: &[f32],
    gain: &[f32],
    inverse: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dgain: &mut [f32],
) {
    let width = gain.len();
    let rows = x
        .chunks_exact(width)
        .zip(dy.chunks_exact(width))
        .zip(dx.chunks_exact_mut(width));
    for (((x, dy), dx), &inverse) in rows.zip(inverse) {
        let shrink = dot3(dy, gain, x) * inverse * inverse / width as f32;
        for ((((dx, x), dy), gain), dgain) in
            dx.iter_mut().zip(x).zip(dy).zip(gain).zip(dgain.iter_mut())
        {
            *dx += inverse * (dy * gain - x * shrink);
            *dgain += dy * x * inverse;
        }
    }
}
