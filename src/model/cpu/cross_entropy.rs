//! Weighted negative log-likelihood from logits on slices, without storing log-probabilities.

use std::sync::Arc;

use multiversion::multiversion;

use super::vector_math::{exp, max, sum};

/// The target token and its weight for each row.
#[derive(Clone, Debug)]
pub struct LossTargets {
    /// Token ids, \[N\]; read only where the weight is not 0.
    pub ids: Arc<[u32]>,
    /// Weights, \[N\]; may be negative.
    pub weights: Arc<[f32]>,
}

/// Sum of weighted losses; turns the logits \[N, V\] into the gradient of that sum.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn loss_and_gradient_in_place(
    logits: &mut [f32],
    vocabulary: usize,
    ids: &[u32],
    weights: &[f32],
) -> f64 {
    let mut loss = 0.0_f64;
    for (row, (&id, &weight)) in logits
        .chunks_exact_mut(vocabulary)
        .zip(ids.iter().zip(weights))
    {
        if weight == 0.0 {
            row.fill(0.0);
            continue;
        }
        let (highest, chosen) = (max(row), row[id as usize]);
        for value in row.iter_mut() {
            *value = exp(*value - highest);
        }
        let total = sum(row);
        let scale = weight / total;
        for value in row.iter_mut() {
            *value *= scale;
        }
        row[id as usize] -= weight;
        loss += f64::from(weight) * f64::from(total.ln() + highest - chosen);
    }
    loss
}

/// The log-probability of each row's id, \[N\]; turns the logits \[N, V\] into something else.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn log_probabilities(logits: &mut [f32], vocabulary: usize, ids: &[u32], values: &mut [f32]) {
    for (row, (&id, log)) in logits
        .chunks_exact_mut(vocabulary)
        .zip(ids.iter().zip(values))
    {
        let (highest, chosen) = (max(row), row[id as usize]);
        for value in row.iter_mut() {
            *value = exp(*value - highest);
        }
        *log = chosen - highest - sum(row).ln();
    }
}
