//! Causal attention with grouped heads and rotary positions, square by square, and the way back.
//!
//! Queries that share keys are rows of one product: nothing is repeated.

use burn::tensor::activation::softmax;
use burn::tensor::{FloatDType, Tensor};

use super::padded_layout::{PaddedBatch, PaddedLayout};
use crate::model::cpu::AttentionHeads;

/// Score of a masked key.
pub const MASKED_SCORE: f32 = -1e30;

/// Sizes, tables and layout of an attention.
pub struct PaddedAttention<'a> {
    pub heads: &'a AttentionHeads,
    /// Cosines and sines of every position, \[positions, S / 2\].
    pub rotary_tables: &'a [Tensor<2>; 2],
    pub layout: &'a PaddedLayout,
}

/// Activations of one square that the backward pass reads.
pub struct AttentionActivations {
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    /// Attention probabilities, \[B, K, G T, T\].
    probabilities: Tensor<4>,
}

impl PaddedAttention<'_> {
    /// Packed queries, keys and values \[N, (H + 2 K) S\] to mixed values \[N, H S\].
    pub fn forward(&self, packed: &Tensor<2>) -> (Tensor<2>, Vec<AttentionActivations>) {
        let squares = self.layout.batches.iter();
        let (mixed, kept) = squares
            .map(|square| self.forward_batch(square, packed))
            .unzip();
        (self.layout.unpad(mixed), kept)
    }

    /// Gradient of the packed input from that of the mixed values.
    pub fn backward(&self, kept: Vec<AttentionActivations>, dmixed: &Tensor<2>) -> Tensor<2> {
        let squares = self.layout.batches.iter().zip(kept);
        self.layout.unpad(
            squares
                .map(|(square, kept)| self.backward_batch(square, kept, dmixed))
                .collect(),
        )
    }

    fn forward_batch(
        &self,
        square: &PaddedBatch,
        packed: &Tensor<2>,
    ) -> (Tensor<3>, AttentionActivations) {
        let (b, t) = (square.sequences, square.length);
        let (h, k, size) = (
            self.heads.query_heads,
            self.heads.kv_heads,
            self.heads.head_size,
        );
        let all = PaddedLayout::pad(square, packed)
            .reshape([b, t, h + 2 * k, size])
            .swap_dims(1, 2);
        let turned = rotate(all.clone().slice_dim(1, 0..h + k), self.angles(t), false);
        let queries = turned
            .clone()
            .slice_dim(1, 0..h)
            .reshape([b, k, h / k * t, size]);
        let (keys, values) = (
            turned.slice_dim(1, h..h + k),
            all.slice_dim(1, h + k..h + 2 * k),
        );
        let probabilities = self.probabilities(square, queries.clone(), keys.clone());
        let mixed = probabilities.clone().matmul(values.clone());
        let mixed = mixed
            .reshape([b, h, t, size])
            .swap_dims(1, 2)
            .reshape([b, t, h * size]);
        (
            mixed,
            AttentionActivations {
                queries,
                keys,
                values,
                probabilities,
            },
        )
    }

    fn probabilities(
        &self,
        square: &PaddedBatch,
        queries: Tensor<4>,
        keys: Tensor<4>,
    ) -> Tensor<4> {
        let (b, t) = (square.sequences, square.length);
        let (k, group) = (
            self.heads.kv_heads,
            self.heads.query_heads / self.heads.kv_heads,
        );
        let precision: FloatDType = queries.dtype().into();
        let scores = (queries * self.scale()).matmul(keys.swap_dims(2, 3));
        let scores = scores.cast(FloatDType::F32).reshape([b, k, group, t, t]);
        let hidden = square
            .causal_mask
            .clone()
            .unsqueeze::<5>()
            .expand([b, k, group, t, t]);
        softmax(scores.mask_fill(hidden, MASKED_SCORE), 4)
            .cast(precision)
            .reshape([b, k, group * t, t])
    }

    fn backward_batch(
        &self,
        square: &PaddedBatch,
        kept: AttentionActivations,
        dmixed: &Tensor<2>,
    ) -> Tensor<3> {
        let (b, t) = (square.sequences, square.length);
        let (h, k, size) = (
            self.heads.query_heads,
            self.heads.kv_heads,
            self.heads.head_size,
        );
        let AttentionActivations {
            queries,
            keys,
            values,
            probabilities,
        } = kept;
        let dmixed = PaddedLayout::pad_with_zeros(square, dmixed)
            .reshape([b, t, h, size])
            .swap_dims(1, 2);
        let dmixed = dmixed.reshape([b, k, h / k * t, size]);
        let dvalues = probabilities.clone().swap_dims(2, 3).matmul(dmixed.clone());
        let dscores =
            softmax_backward(probabilities, dmixed.matmul(values.swap_dims(2, 3))) * self.scale();
        let dkeys = dscores.clone().swap_dims(2, 3).matmul(queries);
        let dqueries = dscores.matmul(keys).reshape([b, h, t, size]);
        let turned = rotate(Tensor::cat(vec![dqueries, dkeys], 1), self.angles(t), true);
        let all = Tensor::cat(vec![turned, dvalues], 1).swap_dims(1, 2);
        all.reshape([b, t, (h + 2 * k) * size])
    }

    fn scale(&self) -> f64 {
        (self.heads.head_size as f64).sqrt().recip()
    }

    /// Cosines and sines of the first `t` positions, \[1, 1, T, S / 2\].
    fn angles(&self, t: usize) -> [Tensor<4>; 2] {
        [0, 1].map(|table| {
            self.rotary_tables[table]
                .clone()
                .slice_dim(0, 0..t)
                .unsqueeze()
        })
    }
}

/// Gradient of scores from that of their softmax: `p (dp - sum of p dp)`.
fn softmax_backward(probabilities: Tensor<4>, gradient: Tensor<4>) -> Tensor<4> {
    let weighed = probabilities.clone() * gradient;
    let sums = weighed
        .clone()
        .cast(FloatDType::F32)
        .sum_dim(3)
        .cast(FloatDType::from(weighed.dtype()));
    weighed - probabilities * sums
}

/// Rotates the first half of each head \[.., S\] against its second half; backwards if `inverse`.
pub fn rotate(x: Tensor<4>, [cosines, sines]: [Tensor<4>; 2], inverse: bool) -> Tensor<4> {
    let size = x.dims()[3];
    let sines = if inverse { sines.neg() } else { sines };
    let first = x.clone().slice_dim(3, 0..size / 2);
    let second = x.slice_dim(3, size / 2..size);
    let a = first.clone() * cosines.clone() - second.clone() * sines.clone();
    let b = first * sines + second * cosines;
    Tensor::cat(vec![a, b], 3)
}
