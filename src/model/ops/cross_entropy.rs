//! Weighted negative log-likelihood from logits on slices, without storing log-probabilities.

use std::sync::Arc;

use multiversion::multiversion;

use super::exponential::{exp, max, sum};

/// What each row should predict, and how much that counts.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Token ids, \[N\]; read only where the weight is not 0.
    pub ids: Arc<[u32]>,
    /// Weights, \[N\]; may be negative.
    pub weights: Arc<[f32]>,
}

/// Sum of weighted losses, and the gradient of that sum with respect to the logits.
pub fn forward(logits: &[f32], vocabulary: usize, targets: &Targets) -> (f32, Vec<f32>) {
    let mut gradient = vec![0.0; logits.len()];
    let loss = forward_into(logits, vocabulary, &targets.ids, &targets.weights, &mut gradient);
    (loss as f32, gradient)
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn forward_into(
    logits: &[f32],
    vocabulary: usize,
    ids: &[u32],
    weights: &[f32],
    gradient: &mut [f32],
) -> f64 {
    let mut loss = 0.0_f64;
    let rows = logits.chunks_exact(vocabulary).zip(gradient.chunks_exact_mut(vocabulary));
    for ((logits, gradient), (&id, &weight)) in rows.zip(ids.iter().zip(weights)) {
        if weight == 0.0 {
            continue;
        }
        let highest = max(logits);
        for (gradient, logit) in gradient.iter_mut().zip(logits) {
            *gradient = exp(logit - highest);
        }
        let total = sum(gradient);
        let scale = weight / total;
        for gradient in gradient.iter_mut() {
            *gradient *= scale;
        }
        gradient[id as usize] -= weight;
        loss += f64::from(weight) * f64::from(total.ln() + highest - logits[id as usize]);
    }
    loss
}
