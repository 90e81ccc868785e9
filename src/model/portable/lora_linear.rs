//! The product of rows with a matrix and its adapters, and the way back.

use burn::tensor::{FloatDType, Tensor};

use super::dropout::AdapterDropout;
use crate::model::adapters::{BlockMatrix, LoraAdapter};

/// A matrix of a block, with the adapters of the projections that lie in it.
pub struct LoraLinear<'a> {
    /// \[in, out\], in the precision of products.
    pub matrix: &'a Tensor<2>,
    pub adapters: Vec<&'a LoraAdapter>,
    /// `alpha / rank`.
    pub scale: f64,
    /// Dropout of the adapters, with the layer and the matrix that it is drawn for.
    pub dropout: Option<(&'a AdapterDropout, usize, BlockMatrix)>,
}

/// Gradients of the trained parameters of a [`LoraLinear`].
pub struct LinearGradients {
    /// That of the matrix; none if it is frozen.
    pub matrix: Option<Tensor<2>>,
    /// Those of both halves of each adapter.
    pub adapters: Vec<[Tensor<2>; 2]>,
}

impl LoraLinear<'_> {
    /// `x W + scale (x A) B`, with each adapter's part in its own columns; of `x` the adapters see what is kept.
    pub fn forward(&self, x: &Tensor<2>) -> Tensor<2> {
        let y = x.clone().matmul(self.matrix.clone());
        match self.adapter_output(x) {
            Some(more) => y + more,
            None => y,
        }
    }

    /// Gradients of `x` and of the trained parameters, from that of the result.
    ///
    /// `dx = dy W' + scale dy B' A'`, `dA = scale x' (dy B')`, `dB = scale (x A)' dy`; the matrix is
    /// trained where it has no adapters in the whole decoder.
    pub fn backward(
        &self,
        x: &Tensor<2>,
        dy: &Tensor<2>,
        frozen: bool,
    ) -> (Tensor<2>, LinearGradients) {
        let mut dx = dy.clone().matmul(self.matrix.clone().transpose());
        let mask = self.dropout_mask(x);
        let seen = apply_mask(x, mask.as_ref());
        let matrix = (!frozen).then(|| x.clone().transpose().matmul(dy.clone()));
        let mut adapters = Vec::with_capacity(self.adapters.len());
        for adapter in &self.adapters {
            let [down, up] = self.cast_halves(adapter);
            let dy = dy.clone().slice_dim(1, adapter.columns.clone()) * self.scale;
            let dinner = dy.clone().matmul(up.transpose());
            let inner = seen.clone().matmul(down.clone());
            adapters.push([
                seen.clone().transpose().matmul(dinner.clone()),
                inner.transpose().matmul(dy),
            ]);
            dx = dx + apply_mask(&dinner.matmul(down.transpose()), mask.as_ref());
        }
        (dx, LinearGradients { matrix, adapters })
    }

    /// `x` after dropout; none without dropout.
    fn dropout_mask(&self, x: &Tensor<2>) -> Option<Tensor<2>> {
        let (dropout, layer, packed) = self.dropout.filter(|_| !self.adapters.is_empty())?;
        Some(dropout.mask(layer, packed, x))
    }

    /// Sum of the adapters' products, \[N, out\].
    fn adapter_output(&self, x: &Tensor<2>) -> Option<Tensor<2>> {
        let seen = apply_mask(x, self.dropout_mask(x).as_ref());
        let [_, width] = self.matrix.dims();
        let mut parts = Vec::new();
        let mut at = 0;
        for adapter in &self.adapters {
            if at < adapter.columns.start {
                parts.push(zero_columns(x, adapter.columns.start - at));
            }
            let [down, up] = self.cast_halves(adapter);
            parts.push(seen.clone().matmul(down).matmul(up) * self.scale);
            at = adapter.columns.end;
        }
        if parts.is_empty() {
            return None;
        }
        if at < width {
            parts.push(zero_columns(x, width - at));
        }
        Some(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Tensor::cat(parts, 1)
        })
    }

    /// Both halves in the precision of products.
    fn cast_halves(&self, adapter: &LoraAdapter) -> [Tensor<2>; 2] {
        let precision: FloatDType = self.matrix.dtype().into();
        [&adapter.down, &adapter.up].map(|half| half.clone().cast(precision))
    }
}

/// Makes columns of zeros beside the rows of `x`.
fn zero_columns(x: &Tensor<2>, columns: usize) -> Tensor<2> {
    let [rows, _] = x.dims();
    Tensor::<2>::zeros([rows, columns], &x.device()).cast(FloatDType::from(x.dtype()))
}

fn apply_mask(x: &Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<2> {
    match mask {
        Some(mask) => x.clone() * mask.clone(),
        None => x.clone(),
    }
}
