//! The last normalisation and the output head, for the rows that have a target.

use burn::tensor::activation::log_softmax;
use burn::tensor::{FloatDType, IndexingUpdateOp, Int, Tensor, TensorData};

use super::{int_tensor, rms_norm};
use crate::model::LossTargets;

/// Logits that are there at a time, about.
pub const MAX_LOGITS: usize = 1 << 28;

/// The rows that have a target, with their targets.
pub struct TargetRows {
    /// M: how many.
    pub count: usize,
    rows: Tensor<1, Int>,
    /// Token ids, \[M, 1\].
    ids: Tensor<2, Int>,
    /// Weights, \[M, 1\].
    weights: Tensor<2>,
}

/// The head with its normalisation.
pub struct PortableHead<'a> {
    pub gain: &'a Tensor<1>,
    /// \[D, V\], in the precision of products.
    pub matrix: Tensor<2>,
    pub epsilon: f64,
}

/// Loss and gradients of the head.
pub struct HeadGradients {
    /// The weighted loss, \[1\].
    pub loss: Tensor<1>,
    /// Gradient of all rows, \[N, D\].
    pub dx: Tensor<2>,
    /// Gradients of the gain \[D\] and the matrix \[D, V\]; none if they are frozen.
    pub params: Option<(Tensor<1>, Tensor<2>)>,
}

impl TargetRows {
    /// The rows among `range` of the targets; none if there is no target.
    pub fn new(
        targets: &LossTargets,
        range: std::ops::Range<usize>,
        x: &Tensor<2>,
    ) -> Option<Self> {
        let (ids, weights) = (&targets.ids[range.clone()], &targets.weights[range]);
        let rows: Vec<usize> = (0..ids.len()).filter(|&row| weights[row] != 0.0).collect();
        if rows.is_empty() {
            return None;
        }
        let (count, device) = (rows.len(), x.device());
        let chosen = int_tensor(rows.iter().map(|&row| ids[row] as usize), &device);
        let weights: Vec<f32> = rows.iter().map(|&row| weights[row]).collect();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [count, 1]), &device);
        Some(Self {
            count,
            rows: int_tensor(rows, &device),
            ids: chosen.unsqueeze_dim(1),
            weights,
        })
    }
}

impl PortableHead<'_> {
    /// Logits of rows \[M, D\], \[M, V\].
    pub fn logits(&self, x: &Tensor<2>) -> Tensor<2> {
        rms_norm::forward(x, self.gain, self.epsilon).matmul(self.matrix.clone())
    }

    /// Log-probabilities of the wanted rows' targets, \[M\].
    pub fn log_probabilities(&self, x: &Tensor<2>, wanted: &TargetRows) -> Tensor<1> {
        let x = x.clone().select(0, wanted.rows.clone());
        let pieces = self.row_chunks(wanted.count).map(|piece| {
            let logits = self
                .logits(&x.clone().slice_dim(0, piece.clone()))
                .cast(FloatDType::F32);
            log_softmax(logits, 1).gather(1, wanted.ids.clone().slice_dim(0, piece))
        });
        Tensor::cat(pieces.collect(), 0).squeeze_dim::<1>(1)
    }

    /// The wanted rows' weighted negative log-likelihood, and its gradients; `x` \[N, D\].
    pub fn backward(&self, x: &Tensor<2>, wanted: &TargetRows, frozen: bool) -> HeadGradients {
        let chosen = x.clone().select(0, wanted.rows.clone());
        let normed = rms_norm::forward(&chosen, self.gain, self.epsilon);
        let mut dnormed = Vec::new();
        let mut losses = Vec::new();
        let mut sum: Option<Tensor<2>> = None;
        for piece in self.row_chunks(wanted.count) {
            let ids = wanted.ids.clone().slice_dim(0, piece.clone());
            let [rows, weights] =
                [&normed, &wanted.weights].map(|tensor| tensor.clone().slice_dim(0, piece.clone()));
            let (loss, dlogits) = loss(rows.clone().matmul(self.matrix.clone()), ids, weights);
            dnormed.push(dlogits.clone().matmul(self.matrix.clone().transpose()));
            losses.push(loss);
            if !frozen {
                let dmatrix = rows.transpose().matmul(dlogits).cast(FloatDType::F32);
                sum = Some(match sum {
                    Some(sum) => sum + dmatrix,
                    None => dmatrix,
                });
            }
        }
        let loss = Tensor::cat(losses, 0).sum();
        let (dchosen, dgain) =
            rms_norm::backward(&chosen, self.gain, self.epsilon, Tensor::cat(dnormed, 0));
        let dx =
            x.zeros_like()
                .select_assign(0, wanted.rows.clone(), dchosen, IndexingUpdateOp::Add);
        HeadGradients {
            loss,
            dx,
            params: sum.map(|dmatrix| (dgain, dmatrix)),
        }
    }

    fn row_chunks(&self, count: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let size = (MAX_LOGITS / self.matrix.dims()[1]).max(1);
        (0..count)
            .step_by(size)
            .map(move |from| from..count.min(from + size))
    }
}

/// Weighted negative log-likelihood \[1\] of logits \[M, V\], and its gradient in their precision:
/// `weight (softmax - one-hot)`.
fn loss(logits: Tensor<2>, ids: Tensor<2, Int>, weights: Tensor<2>) -> (Tensor<1>, Tensor<2>) {
    let precision: FloatDType = logits.dtype().into();
    let log = log_softmax(logits.cast(FloatDType::F32), 1);
    let loss = (log.clone().gather(1, ids.clone()) * weights.clone())
        .sum()
        .neg();
    let gradient = log.exp() * weights.clone();
    (
        loss,
        gradient
            .scatter(1, ids, weights.neg(), IndexingUpdateOp::Add)
            .cast(precision),
    )
}
