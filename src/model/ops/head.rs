//! The last normalisation, the output head and the weighted negative log-likelihood as one
//! operation on slices.
//!
//! Logits are made for a few hundred rows at a time and turned into their own gradient at once, so
//! neither logits nor log-probabilities of a batch ever exist as a whole; rows that are no target
//! are left out. Must not know of tensors.

use super::buffer::Buffer;
use super::gemm::{View, gemm};
use super::shards::{Shard, groups};
use super::{Targets, cross_entropy, rms_norm};
use crate::model::Threads;

/// The weights of the head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Gain of the last normalisation, \[D\].
    pub gain: &'a [f32],
    /// Output weights: \[D, V\], or \[V, D\] if `tied`.
    pub weights: &'a [f32],
    /// Whether the weights are the embedding's.
    pub tied: bool,
    /// Added to the mean square in `RMSNorm`.
    pub epsilon: f32,
}

/// Gradients of one unit of loss.
#[derive(Debug)]
pub struct Gradients {
    /// Of the input, \[N, D\].
    pub dx: Vec<f32>,
    /// Of the gain, \[D\].
    pub dgain: Vec<f32>,
    /// Of the weights, in their own layout.
    pub dweights: Vec<f32>,
}

/// One group of target rows and what it adds up.
struct Part {
    shards: Vec<Shard>,
    loss: f64,
    dgain: Buffer,
    dweights: Buffer,
    /// Gradients of the group's target rows, one after the other.
    dx: Buffer,
}

impl Head<'_> {
    const fn vocabulary(&self) -> usize {
        self.weights.len() / self.gain.len()
    }

    /// Sum over rows of `x` \[N, D\] of weight times negative log-likelihood of the row's target,
    /// with its gradients if `tracked`.
    #[must_use]
    pub fn loss(
        &self,
        x: &[f32],
        targets: &Targets,
        tracked: bool,
        threads: &Threads,
    ) -> (f32, Option<Gradients>) {
        let rows: Vec<usize> =
            (0..targets.weights.len()).filter(|&row| targets.weights[row] != 0.0).collect();
        let mut parts: Vec<Part> =
            groups(&vec![1; rows.len()]).into_iter().map(|shards| self.part(shards, tracked)).collect();
        threads.each(parts.iter_mut().collect(), |part| self.run(x, targets, &rows, part, tracked));
        let loss: f64 = parts.iter().map(|part| part.loss).sum();
        (loss as f32, tracked.then(|| self.gather(x.len(), &rows, &parts)))
    }

    fn part(&self, shards: Vec<Shard>, tracked: bool) -> Part {
        let rows: usize = shards.iter().map(|shard| shard.rows.len()).sum();
        let size = |values: usize| if tracked { values } else { 0 };
        let dgain = Buffer::zeros(self.gain.len());
        let dweights = Buffer::take(size(self.weights.len()));
        Part { shards, loss: 0.0, dgain, dweights, dx: Buffer::zeros(size(rows * self.gain.len())) }
    }

    fn run(&self, x: &[f32], targets: &Targets, rows: &[usize], part: &mut Part, tracked: bool) {
        let (width, mut first) = (self.gain.len(), 0);
        for (number, shard) in part.shards.iter().enumerate() {
            let rows = &rows[shard.rows.clone()];
            let tile = Tile::gather(self, x, targets, rows);
            let (loss, dlogits) = tile.dlogits(self);
            part.loss += loss;
            if tracked {
                let dx = &mut part.dx[first..first + rows.len() * width];
                tile.backward(self, &dlogits, dx, &mut part.dgain, &mut part.dweights, number > 0);
            }
            first += rows.len() * width;
        }
    }

    /// Puts the parts' gradients together, in their order.
    fn gather(&self, size: usize, rows: &[usize], parts: &[Part]) -> Gradients {
        let width = self.gain.len();
        let mut dx = vec![0.0; size];
        let compact = parts.iter().flat_map(|part| part.dx.chunks_exact(width));
        for (&row, values) in rows.iter().zip(compact) {
            dx[row * width..(row + 1) * width].copy_from_slice(values);
        }
        let (mut dgain, mut dweights) = (vec![0.0; width], vec![0.0; self.weights.len()]);
        for part in parts {
            add(&mut dgain, &part.dgain);
            add(&mut dweights, &part.dweights);
        }
        Gradients { dx, dgain, dweights }
    }
}

/// Adds `from` to `to`, value by value.
pub fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

/// Some target rows on their way through the head.
struct Tile {
    x: Buffer,
    normed: Buffer,
    inverse: Buffer,
    ids: Vec<u32>,
    weights: Vec<f32>,
}

impl Tile {
    fn gather(head: &Head<'_>, x: &[f32], targets: &Targets, rows: &[usize]) -> Self {
        let width = head.gain.len();
        let mut gathered = Buffer::take(rows.len() * width);
        for (to, &row) in gathered.chunks_exact_mut(width).zip(rows) {
            to.copy_from_slice(&x[row * width..(row + 1) * width]);
        }
        let (mut normed, mut inverse) = (Buffer::take(rows.len() * width), Buffer::take(rows.len()));
        rms_norm::forward(&gathered, head.gain, head.epsilon, &mut normed, &mut inverse);
        let ids = rows.iter().map(|&row| targets.ids[row]).collect();
        let weights = rows.iter().map(|&row| targets.weights[row]).collect();
        Self { x: gathered, normed, inverse, ids, weights }
    }

    /// The loss of these rows, and the gradient of their logits.
    fn dlogits(&self, head: &Head<'_>) -> (f64, Buffer) {
        let (width, vocabulary, rows) = (head.gain.len(), head.vocabulary(), self.ids.len());
        let mut logits = Buffer::take(rows * vocabulary);
        let weights = if head.tied {
            View::transposed(head.weights, width)
        } else {
            View::rows(head.weights, vocabulary)
        };
        let normed = View::rows(&self.normed, width);
        gemm([rows, vocabulary, width], &mut logits, vocabulary, normed, weights, 1.0, false);
        let loss = cross_entropy::in_place(&mut logits, vocabulary, &self.ids, &self.weights);
        (loss, logits)
    }

    fn backward(
        &self,
        head: &Head<'_>,
        dlogits: &[f32],
        dx: &mut [f32],
        dgain: &mut [f32],
        dweights: &mut [f32],
        accumulate: bool,
    ) {
        let (width, vocabulary, rows) = (head.gain.len(), head.vocabulary(), self.ids.len());
        let (by_row, by_column) = (View::rows(dlogits, vocabulary), View::transposed(dlogits, vocabulary));
        let mut dnormed = Buffer::take(rows * width);
        let weights = if head.tied {
            let normed = View::rows(&self.normed, width);
            gemm([vocabulary, width, rows], dweights, width, by_column, normed, 1.0, accumulate);
            View::rows(head.weights, width)
        } else {
            let normed = View::transposed(&self.normed, width);
            gemm([width, vocabulary, rows], dweights, vocabulary, normed, by_row, 1.0, accumulate);
            View::transposed(head.weights, vocabulary)
        };
        gemm([rows, width, vocabulary], &mut dnormed, width, by_row, weights, 1.0, false);
        rms_norm::backward(&self.x, head.gain, &self.inverse, &dnormed, dx, dgain);
    }
}
