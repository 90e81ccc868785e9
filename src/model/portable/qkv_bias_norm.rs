//! What some architectures do to queries, keys and values before attention: a bias (Qwen2), and a
//! norm of each head of queries and keys (Qwen3).

use burn::tensor::{FloatDType, Tensor};

use super::rms_norm;
use crate::model::cpu::AttentionHeads;

/// The bias and the norms of one block, where it has them.
pub struct QkvBiasNorm<'a> {
    pub heads: &'a AttentionHeads,
    /// \[(H + 2 K) S\].
    pub bias: Option<&'a Tensor<1>>,
    /// Gains of query heads and of key heads, \[S\] each.
    pub norms: Option<&'a [Tensor<1>; 2]>,
    pub epsilon: f64,
}

/// Activations for the backward pass: the rows before their norms.
pub struct QkvActivations(Option<Tensor<2>>);

/// Gradients of the bias and the norms' gains.
pub struct QkvGradients {
    pub bias: Option<Tensor<1>>,
    pub norms: Option<[Tensor<1>; 2]>,
}

impl QkvBiasNorm<'_> {
    /// Turns packed products \[N, (H + 2 K) S\] into the input of attention.
    pub fn forward(&self, packed: Tensor<2>) -> (Tensor<2>, QkvActivations) {
        let precision: FloatDType = packed.dtype().into();
        let packed = match self.bias {
            Some(bias) => packed + bias.clone().cast(precision).unsqueeze(),
            None => packed,
        };
        let Some(gains) = self.norms else {
            return (packed, QkvActivations(None));
        };
        let [queries, keys, values] = self.split_qkv(&packed);
        let normed = [(queries, &gains[0]), (keys, &gains[1])].map(|(part, gain)| {
            let [rows, width] = part.dims();
            rms_norm::forward(&self.per_head_rows(part), gain, self.epsilon).reshape([rows, width])
        });
        let [queries, keys] = normed;
        (
            Tensor::cat(vec![queries, keys, values], 1),
            QkvActivations(Some(packed)),
        )
    }

    /// Gradient of the packed products from that of attention's input, and those of the parts.
    pub fn backward(&self, kept: QkvActivations, d: Tensor<2>) -> (Tensor<2>, QkvGradients) {
        let (d, norms) = match (self.norms, kept.0) {
            (Some(gains), Some(packed)) => {
                let (d, dgains) = self.norms_backward(gains, &packed, &d);
                (d, Some(dgains))
            }
            _ => (d, None),
        };
        let bias = self.bias.map(|_| {
            d.clone()
                .cast(FloatDType::F32)
                .sum_dim(0)
                .squeeze_dim::<1>(0)
        });
        (d, QkvGradients { bias, norms })
    }

    fn norms_backward(
        &self,
        gains: &[Tensor<1>; 2],
        packed: &Tensor<2>,
        d: &Tensor<2>,
    ) -> (Tensor<2>, [Tensor<1>; 2]) {
        let [queries, keys, _] = self.split_qkv(packed);
        let [dqueries, dkeys, dvalues] = self.split_qkv(d);
        let [(dqueries, query), (dkeys, key)] =
            [(queries, dqueries, &gains[0]), (keys, dkeys, &gains[1])].map(|(part, d, gain)| {
                let [rows, width] = part.dims();
                let (d, dgain) = rms_norm::backward(
                    &self.per_head_rows(part),
                    gain,
                    self.epsilon,
                    self.per_head_rows(d),
                );
                (d.reshape([rows, width]), dgain)
            });
        (Tensor::cat(vec![dqueries, dkeys, dvalues], 1), [query, key])
    }

    /// Queries, keys and values, \[N, H S\] and twice \[N, K S\].
    fn split_qkv(&self, packed: &Tensor<2>) -> [Tensor<2>; 3] {
        let (q, k) = (
            self.heads.query_width(),
            self.heads.kv_heads * self.heads.head_size,
        );
        [0..q, q..q + k, q + k..q + 2 * k].map(|columns| packed.clone().slice_dim(1, columns))
    }

    /// One row a head.
    fn per_head_rows(&self, part: Tensor<2>) -> Tensor<2> {
        let [rows, width] = part.dims();
        part.reshape([rows * width / self.heads.head_size, self.heads.head_size])
    }
}
