//! What some architectures do to queries, keys and values before attention: a bias (Qwen2), and a
//! norm of each head of queries and keys (Qwen3).

use burn::tensor::{FloatDType, Tensor};

use super::norm;
use crate::model::ops::Heads;

/// The bias and the norms of one block, where it has them.
pub struct Inputs<'a> {
    pub heads: &'a Heads,
    /// \[(H + 2 K) S\].
    pub bias: Option<&'a Tensor<1>>,
    /// Gains of query heads and of key heads, \[S\] each.
    pub norms: Option<&'a [Tensor<1>; 2]>,
    pub epsilon: f64,
}

/// What is kept for the way back: the rows before their norms.
pub struct Kept(Option<Tensor<2>>);

/// Gradients of the bias and the norms' gains.
pub struct Parts {
    pub bias: Option<Tensor<1>>,
    pub norms: Option<[Tensor<1>; 2]>,
}

impl Inputs<'_> {
    /// Packed products \[N, (H + 2 K) S\] to what attention takes.
    pub fn forward(&self, packed: Tensor<2>) -> (Tensor<2>, Kept) {
        let precision: FloatDType = packed.dtype().into();
        let packed = match self.bias {
            Some(bias) => packed + bias.clone().cast(precision).unsqueeze(),
            None => packed,
        };
        let Some(gains) = self.norms else {
            return (packed, Kept(None));
        };
        let [queries, keys, values] = self.parts(&packed);
        let normed = [(queries, &gains[0]), (keys, &gains[1])].map(|(part, gain)| {
            let [rows, width] = part.dims();
            norm::forward(&self.by_head(part), gain, self.epsilon).reshape([rows, width])
        });
        let [queries, keys] = normed;
        (
            Tensor::cat(vec![queries, keys, values], 1),
            Kept(Some(packed)),
        )
    }

    /// Gradient of the packed products from that of attention's input, and those of the parts.
    pub fn backward(&self, kept: Kept, d: Tensor<2>) -> (Tensor<2>, Parts) {
        let (d, norms) = match (self.norms, kept.0) {
            (Some(gains), Some(packed)) => {
                let (d, dgains) = self.through_norms(gains, &packed, &d);
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
        (d, Parts { bias, norms })
    }

    fn through_norms(
        &self,
        gains: &[Tensor<1>; 2],
        packed: &Tensor<2>,
        d: &Tensor<2>,
    ) -> (Tensor<2>, [Tensor<1>; 2]) {
        let [queries, keys, _] = self.parts(packed);
        let [dqueries, dkeys, dvalues] = self.parts(d);
        let [(dqueries, query), (dkeys, key)] =
            [(queries, dqueries, &gains[0]), (keys, dkeys, &gains[1])].map(|(part, d, gain)| {
                let [rows, width] = part.dims();
                let (d, dgain) =
                    norm::backward(&self.by_head(part), gain, self.epsilon, self.by_head(d));
                (d.reshape([rows, width]), dgain)
            });
        (Tensor::cat(vec![dqueries, dkeys, dvalues], 1), [query, key])
    }

    /// Queries, keys and values, \[N, H S\] and twice \[N, K S\].
    fn parts(&self, packed: &Tensor<2>) -> [Tensor<2>; 3] {
        let (q, k) = (self.heads.width(), self.heads.keys * self.heads.size);
        [0..q, q..q + k, q + k..q + 2 * k].map(|columns| packed.clone().slice_dim(1, columns))
    }

    /// One row a head.
    fn by_head(&self, part: Tensor<2>) -> Tensor<2> {
        let [rows, width] = part.dims();
        part.reshape([rows * width / self.heads.size, self.heads.size])
    }
}
