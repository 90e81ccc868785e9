//! The last normalisation, the output head and the weighted negative log-likelihood on slices.
//!
//! Logits are made for a few hundred rows at a time and turned into their own gradient at once, so
//! neither logits nor log-probabilities of a batch ever exist as a whole; rows that are no target
//! are left out. Must not know of tensors.

use super::buffer::PooledBuffer;
use super::gemm::{MatrixView, gemm};
use super::{cross_entropy, rms_norm};

/// Logits that are made at a time, about.
const MAX_LOGITS: usize = 1 << 22;
/// Rows whose logits are made at a time at most.
const MAX_ROWS: usize = 512;

/// The weights of the head.
#[derive(Clone, Copy, Debug)]
pub struct CpuHead<'a> {
    /// Gain of the last normalisation, \[D\].
    pub gain: &'a [f32],
    /// Output weights, \[D, V\].
    pub weights: &'a [f32],
    /// The same transposed, \[V, D\].
    pub transposed: &'a [f32],
    /// Added to the mean square in `RMSNorm`.
    pub epsilon: f32,
}

/// Where gradients of one unit of loss are added.
#[derive(Debug)]
pub struct HeadGradientSums<'a> {
    /// Of the input, \[N, D\].
    pub dx: &'a mut [f32],
    /// Of the gain, \[D\].
    pub dgain: &'a mut [f32],
    /// Of the weights: \[V, D\] if `tied`, for they are the embedding's, else \[D, V\].
    pub dweights: &'a mut [f32],
    /// Whether the head shares the embedding's weights.
    pub tied: bool,
}

impl CpuHead<'_> {
    const fn vocabulary(&self) -> usize {
        self.weights.len() / self.gain.len()
    }

    /// Sum over rows of `x` \[N, D\] of weight times negative log-likelihood of the row's target,
    /// from target ids \[N\] and weights \[N\]; adds the gradients to `sums`.
    pub fn loss(
        &self,
        x: &[f32],
        ids: &[u32],
        weights: &[f32],
        sums: &mut HeadGradientSums<'_>,
    ) -> f64 {
        let rows = target_rows(weights);
        let mut loss = 0.0;
        for rows in rows.chunks(tile_rows(self.vocabulary(), rows.len())) {
            let tile = HeadTile::gather(self, x, ids, weights, rows);
            let (part, dlogits) = tile.dlogits(self);
            loss += part;
            tile.backward(self, rows, &dlogits, sums);
        }
        loss
    }

    /// Log-probabilities of the target ids \[N\] from rows of `x` \[N, D\], into `values` \[N\]; 0
    /// where the weight is 0.
    pub fn log_probabilities(&self, x: &[f32], ids: &[u32], weights: &[f32], values: &mut [f32]) {
        values.fill(0.0);
        let rows = target_rows(weights);
        for rows in rows.chunks(tile_rows(self.vocabulary(), rows.len())) {
            let tile = HeadTile::gather(self, x, ids, weights, rows);
            let (mut logits, mut found) = (tile.logits(self), vec![0.0; rows.len()]);
            cross_entropy::log_probabilities(&mut logits, self.vocabulary(), &tile.ids, &mut found);
            for (&row, value) in rows.iter().zip(found) {
                values[row] = value;
            }
        }
    }
}

/// Rows of a tile; `rows` target rows are spread evenly over the tiles.
#[must_use]
pub fn tile_rows(vocabulary: usize, rows: usize) -> usize {
    let size = (MAX_LOGITS / vocabulary).clamp(16, MAX_ROWS);
    rows.div_ceil(rows.div_ceil(size).max(1)).max(1)
}

/// The rows that are targets.
fn target_rows(weights: &[f32]) -> Vec<usize> {
    (0..weights.len())
        .filter(|&row| weights[row] != 0.0)
        .collect()
}

/// Some target rows on their way through the head.
struct HeadTile {
    x: PooledBuffer,
    normed: PooledBuffer,
    inverse: PooledBuffer,
    ids: Vec<u32>,
    weights: Vec<f32>,
}

impl HeadTile {
    fn gather(head: &CpuHead<'_>, x: &[f32], ids: &[u32], weights: &[f32], rows: &[usize]) -> Self {
        let width = head.gain.len();
        let mut gathered = PooledBuffer::acquire(rows.len() * width);
        for (to, &row) in gathered.chunks_exact_mut(width).zip(rows) {
            to.copy_from_slice(&x[row * width..(row + 1) * width]);
        }
        let (mut normed, mut inverse) = (
            PooledBuffer::acquire(rows.len() * width),
            PooledBuffer::acquire(rows.len()),
        );
        rms_norm::forward(
            &gathered,
            head.gain,
            head.epsilon,
            &mut normed,
            &mut inverse,
        );
        let ids = rows.iter().map(|&row| ids[row]).collect();
        let weights = rows.iter().map(|&row| weights[row]).collect();
        Self {
            x: gathered,
            normed,
            inverse,
            ids,
            weights,
        }
    }

    fn logits(&self, head: &CpuHead<'_>) -> PooledBuffer {
        let (width, vocabulary, rows) = (head.gain.len(), head.vocabulary(), self.ids.len());
        let mut logits = PooledBuffer::acquire(rows * vocabulary);
        let (normed, weights) = (
            MatrixView::row_major(&self.normed, width),
            MatrixView::row_major(head.weights, vocabulary),
        );
        gemm(
            [rows, vocabulary, width],
            &mut logits,
            vocabulary,
            normed,
            weights,
            1.0,
            false,
        );
        logits
    }

    /// The loss of these rows, and the gradient of their logits.
    fn dlogits(&self, head: &CpuHead<'_>) -> (f64, PooledBuffer) {
        let mut logits = self.logits(head);
        let loss = cross_entropy::loss_and_gradient_in_place(
            &mut logits,
            head.vocabulary(),
            &self.ids,
            &self.weights,
        );
        (loss, logits)
    }

    fn backward(
        &self,
        head: &CpuHead<'_>,
        rows: &[usize],
        dlogits: &[f32],
        sums: &mut HeadGradientSums<'_>,
    ) {
        let (width, vocabulary, count) = (head.gain.len(), head.vocabulary(), rows.len());
        let by_row = MatrixView::row_major(dlogits, vocabulary);
        if sums.tied {
            let (by_column, normed) = (
                MatrixView::transposed(dlogits, vocabulary),
                MatrixView::row_major(&self.normed, width),
            );
            gemm(
                [vocabulary, width, count],
                sums.dweights,
                width,
                by_column,
                normed,
                1.0,
                true,
            );
        } else {
            let normed = MatrixView::transposed(&self.normed, width);
            gemm(
                [width, vocabulary, count],
                sums.dweights,
                vocabulary,
                normed,
                by_row,
                1.0,
                true,
            );
        }
        let mut dnormed = PooledBuffer::acquire(count * width);
        let turned = MatrixView::row_major(head.transposed, width);
        gemm(
            [count, width, vocabulary],
            &mut dnormed,
            width,
            by_row,
            turned,
            1.0,
            false,
        );
        let mut dx = PooledBuffer::zeros(count * width);
        rms_norm::backward(
            &self.x,
            head.gain,
            &self.inverse,
            &dnormed,
            &mut dx,
            sums.dgain,
        );
        for (&row, from) in rows.iter().zip(dx.chunks_exact(width)) {
            add_into(&mut sums.dx[row * width..(row + 1) * width], from);
        }
    }
}

/// Adds `from` to `to`, value by value.
pub fn add_into(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
