//! Causal grouped-query attention on slices: forward and backward, for training.
//!
//! Rows hold packed queries, keys and values, (H + 2 K) S values each. Scores of a block of rows
//! are computed only up to the block's last row: the masked half of the square is skipped.

use multiversion::multiversion;

use super::buffer::Buffer;
use super::exponential::{dot, exp, max, sum};
use super::gemm::{View, gemm};
use super::{Heads, Rotary};

/// Rows whose scores are computed together.
const BLOCK: usize = 64;

/// Values of the attention probabilities that [`forward`] keeps: T x T for each head of each
/// sequence in turn.
#[must_use]
pub fn squares(lengths: &[usize], heads: &Heads) -> usize {
    lengths.iter().map(|t| t * t).sum::<usize>() * heads.queries
}

/// Attention within each sequence of rotated rows \[N, (H + 2 K) S\]; writes the probabilities
/// (see [`squares`]) and the result \[N, H S\].
pub fn forward(rotated: &[f32], heads: &Heads, lengths: &[usize], probabilities: &mut [f32], y: &mut [f32]) {
    let (stride, width) = (heads.packed(), heads.width());
    let (mut row, mut square) = (0, 0);
    for &t in lengths {
        let rows = &rotated[row * stride..(row + t) * stride];
        for head in 0..heads.queries {
            let p = &mut probabilities[square..square + t * t];
            forward_head(rows, heads, Place::new(heads, head), t, p, &mut y[row * width..(row + t) * width]);
            square += t * t;
        }
        row += t;
    }
}

/// Where a query head and its key and value head begin within a row.
#[derive(Clone, Copy)]
struct Place {
    query: usize,
    key: usize,
    value: usize,
}

impl Place {
    const fn new(heads: &Heads, head: usize) -> Self {
        let group = head / (heads.queries / heads.keys);
        let (query, key) = (head * heads.size, (heads.queries + group) * heads.size);
        Self { query, key, value: key + heads.keys * heads.size }
    }
}

fn forward_head(rows: &[f32], heads: &Heads, place: Place, t: usize, p: &mut [f32], y: &mut [f32]) {
    let (stride, size, width) = (heads.packed(), heads.size, heads.width());
    let scale = 1.0 / (size as f32).sqrt();
    for first in (0..t).step_by(BLOCK) {
        let last = (first + BLOCK).min(t);
        let count = last - first;
        let query = View::rows(&rows[first * stride + place.query..], stride);
        let keys = View::transposed(&rows[place.key..], stride);
        gemm([count, last, size], &mut p[first * t..], t, query, keys, scale, false);
        softmax(&mut p[first * t..last * t], t, first);
        let scores = View::rows(&p[first * t..], t);
        let values = View::rows(&rows[place.value..], stride);
        let out = &mut y[first * width + place.query..];
        gemm([count, size, last], out, width, scores, values, 1.0, false);
    }
}

/// Softmax of each row of a block, over its causal part; the rest becomes 0.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn softmax(block: &mut [f32], t: usize, first: usize) {
    for (offset, row) in block.chunks_exact_mut(t).enumerate() {
        let (seen, masked) = row.split_at_mut(first + offset + 1);
        let highest = max(seen);
        for score in seen.iter_mut() {
            *score = exp(*score - highest);
        }
        let inverse = 1.0 / sum(seen);
        for score in seen.iter_mut() {
            *score *= inverse;
        }
        masked.fill(0.0);
    }
}

/// Gradient of the rotated rows, from the rotated rows, the probabilities, and the gradient of the
/// result.
pub fn backward(
    rotated: &[f32],
    probabilities: &[f32],
    heads: &Heads,
    lengths: &[usize],
    dy: &[f32],
    drotated: &mut [f32],
) {
    let (stride, width) = (heads.packed(), heads.width());
    drotated.fill(0.0);
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut dscores = Buffer::take(BLOCK * longest);
    let (mut row, mut square) = (0, 0);
    for &t in lengths {
        let sequence = Sequence {
            rows: &rotated[row * stride..(row + t) * stride],
            dy: &dy[row * width..(row + t) * width],
            t,
        };
        let drotated = &mut drotated[row * stride..(row + t) * stride];
        for head in 0..heads.queries {
            let p = &probabilities[square..square + t * t];
            backward_head(&sequence, heads, Place::new(heads, head), p, &mut dscores, drotated);
            square += t * t;
        }
        row += t;
    }
}

struct Sequence<'a> {
    rows: &'a [f32],
    dy: &'a [f32],
    t: usize,
}

fn backward_head(
    sequence: &Sequence<'_>,
    heads: &Heads,
    place: Place,
    p: &[f32],
    dscores: &mut [f32],
    drotated: &mut [f32],
) {
    let (stride, size, width) = (heads.packed(), heads.size, heads.width());
    let (rows, t) = (sequence.rows, sequence.t);
    let scale = 1.0 / (size as f32).sqrt();
    for first in (0..t).step_by(BLOCK) {
        let last = (first + BLOCK).min(t);
        let count = last - first;
        let (p, dy) = (&p[first * t..last * t], &sequence.dy[first * width + place.query..]);
        let by_row = View::rows(dy, width);
        let dvalues = &mut drotated[place.value..];
        gemm([last, size, count], dvalues, stride, View::transposed(p, t), by_row, 1.0, true);
        let values = View::transposed(&rows[place.value..], stride);
        gemm([count, last, size], dscores, last, by_row, values, 1.0, false);
        softmax_backward(&p[..count * t], t, first, &mut dscores[..count * last], last);
        let (ds, ds_t) = (View::rows(dscores, last), View::transposed(dscores, last));
        let keys = View::rows(&rows[place.key..], stride);
        let dquery = &mut drotated[first * stride + place.query..];
        gemm([count, size, last], dquery, stride, ds, keys, scale, false);
        let query = View::rows(&rows[first * stride + place.query..], stride);
        gemm([last, size, count], &mut drotated[place.key..], stride, ds_t, query, scale, true);
    }
}

/// Turns gradients of probabilities into gradients of scores, in place.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn softmax_backward(p: &[f32], t: usize, first: usize, dscores: &mut [f32], last: usize) {
    for (offset, (p, ds)) in p.chunks_exact(t).zip(dscores.chunks_exact_mut(last)).enumerate() {
        let seen = first + offset + 1;
        let (ds, masked) = ds.split_at_mut(seen);
        let mean = dot(ds, &p[..seen]);
        for (ds, p) in ds.iter_mut().zip(p) {
            *ds = p * (*ds - mean);
        }
        masked.fill(0.0);
    }
}

/// Rotates the queries and keys of each sequence by their positions; backwards if `inverse`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn rotate(packed: &mut [f32], heads: &Heads, lengths: &[usize], rotary: &Rotary, inverse: bool) {
    let turned = (heads.queries + heads.keys) * heads.size;
    let positions = lengths.iter().flat_map(|&t| 0..t);
    for (row, position) in packed.chunks_exact_mut(heads.packed()).zip(positions) {
        rotary.rotate(&mut row[..turned], position, inverse);
    }
}
