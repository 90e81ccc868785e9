//! From logits on the device to one token of each row.
//!
//! The random numbers are the host's, as everywhere. Where the whole distribution is drawn from, or
//! its highest point, tokens are all that leaves the device; truncation sorts on the host.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};

use super::to_f32_vec;
use crate::domain::{SamplingConfig, Seed};
use crate::model::Threads;
use crate::model::sampler::Sampler;

/// Draws the token of each row of logits \[R, V\], whose seed and number in its attempt are given.
pub fn sample_tokens(
    logits: Tensor<2>,
    sampling: &SamplingConfig,
    rows: &[(Seed, usize)],
    threads: &Threads,
) -> Vec<u32> {
    if sampling.temperature == 0.0 {
        return token_ids(logits.argmax(1));
    }
    if sampling.top_k == 0 && sampling.top_p >= 1.0 {
        return sample_full_distribution(logits, sampling.temperature, rows);
    }
    let vocabulary = logits.dims()[1];
    let logits = to_f32_vec(logits);
    let mut tokens = vec![0; rows.len()];
    let size = rows.len().div_ceil(threads.count()).max(1);
    let pieces = rows
        .chunks(size)
        .zip(logits.chunks(size * vocabulary))
        .zip(tokens.chunks_mut(size));
    threads.for_each(pieces.collect(), |((rows, logits), tokens)| {
        let mut sampler = Sampler::default();
        for ((&(seed, index), logits), token) in
            rows.iter().zip(logits.chunks(vocabulary)).zip(tokens)
        {
            *token = sampler.sample(logits, sampling, seed, index);
        }
    });
    tokens
}

/// The token in whose stretch of the running sum each row's point falls.
fn sample_full_distribution(
    logits: Tensor<2>,
    temperature: f64,
    rows: &[(Seed, usize)],
) -> Vec<u32> {
    let [count, vocabulary] = logits.dims();
    let reached = softmax(logits / temperature, 1).cumsum(1);
    let shares: Vec<f32> = rows
        .iter()
        .map(|(seed, index)| seed.uniform_at(*index as u64) as f32)
        .collect();
    let shares = Tensor::<2>::from_data(TensorData::new(shares, [count, 1]), &reached.device());
    let points = shares * reached.clone().slice_dim(1, vocabulary - 1..vocabulary);
    let passed = reached.lower_equal(points.expand([count, vocabulary]));
    // Rounding can leave the point at the very end.
    token_ids(passed.int().sum_dim(1))
        .into_iter()
        .map(|token| token.min(vocabulary as u32 - 1))
        .collect()
}

fn token_ids(tokens: Tensor<2, burn::tensor::Int>) -> Vec<u32> {
    let tokens = tokens.into_data();
    tokens.iter::<i64>().map(|token| token as u32).collect()
}
