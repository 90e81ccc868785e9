//! Causal grouped-query attention on slices, forward and backward.
//!
//! Rows hold packed queries, keys and values, (H + 2 K) S values each. Scores of a block of rows
//! are computed only up to the block's last row: most of the masked half of the square is skipped.
//! Rows of scores are padded to whole vectors, since short remainders cost more than the rest.

use multiversion::multiversion;

use super::buffer::PooledBuffer;
use super::gemm::{MatrixView, gemm};
use super::vector_math::{exp, max_lanes, sum_lanes};
use super::{AttentionHeads, RotaryTables};

/// Rows whose scores are computed together: a multiple of the matrix kernel's panels.
const BLOCK: usize = 48;
/// Values that a row of scores is padded to a multiple of.
const LANES: usize = 16;
/// Stands in for minus infinity where a score is masked.
const MASKED: f32 = -1e30;

/// Values of the attention probabilities that [`forward`] keeps: T rows, padded, for each head of
/// each sequence in turn.
#[must_use]
pub fn probability_count(lengths: &[usize], heads: &AttentionHeads) -> usize {
    lengths
        .iter()
        .map(|t| t * t.next_multiple_of(LANES))
        .sum::<usize>()
        * heads.query_heads
}

/// Attention within each sequence of rotated rows \[N, (H + 2 K) S\]; writes the probabilities
/// (see [`probability_count`]) and the result \[N, H S\].
pub fn forward(
    rotated: &[f32],
    heads: &AttentionHeads,
    lengths: &[usize],
    probabilities: &mut [f32],
    y: &mut [f32],
) {
    let (stride, width) = (heads.qkv_width(), heads.query_width());
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut keys = PooledBuffer::acquire(heads.head_size * longest.next_multiple_of(LANES));
    let (mut row, mut square) = (0, 0);
    for &t in lengths {
        let rows = &rotated[row * stride..(row + t) * stride];
        let y = &mut y[row * width..(row + t) * width];
        let padded = t.next_multiple_of(LANES);
        for head in 0..heads.query_heads {
            let place = HeadOffsets::new(heads, head);
            if place.first_of_group {
                transpose_head(
                    rows,
                    [stride, place.key, heads.head_size],
                    padded,
                    &mut keys,
                );
            }
            let p = &mut probabilities[square..square + t * padded];
            forward_head(rows, &keys, heads, place, t, p, y);
            square += t * padded;
        }
        row += t;
    }
}

/// Where a query head and its key and value head begin within a row.
#[derive(Clone, Copy)]
struct HeadOffsets {
    query: usize,
    key: usize,
    value: usize,
    /// Whether no earlier head has the same keys and values.
    first_of_group: bool,
}

impl HeadOffsets {
    const fn new(heads: &AttentionHeads, head: usize) -> Self {
        let group = heads.query_heads / heads.kv_heads;
        let (query, key) = (
            head * heads.head_size,
            (heads.query_heads + head / group) * heads.head_size,
        );
        let value = key + heads.kv_heads * heads.head_size;
        Self {
            query,
            key,
            value,
            first_of_group: head.is_multiple_of(group),
        }
    }
}

/// One head of all rows, transposed to rows of `padded` values: the matrix kernel reads it so.
fn transpose_head(rows: &[f32], [stride, place, size]: [usize; 3], padded: usize, out: &mut [f32]) {
    for (row, values) in rows.chunks_exact(stride).enumerate() {
        for (line, &value) in out
            .chunks_exact_mut(padded)
            .zip(&values[place..place + size])
        {
            line[row] = value;
        }
    }
}

fn forward_head(
    rows: &[f32],
    keys: &[f32],
    heads: &AttentionHeads,
    place: HeadOffsets,
    t: usize,
    p: &mut [f32],
    y: &mut [f32],
) {
    let (stride, size, width) = (heads.qkv_width(), heads.head_size, heads.query_width());
    let (padded, scale) = (t.next_multiple_of(LANES), 1.0 / (size as f32).sqrt());
    for first in (0..t).step_by(BLOCK) {
        let last = (first + BLOCK).min(t);
        let count = last - first;
        let query = MatrixView::row_major(&rows[first * stride + place.query..], stride);
        let p = &mut p[first * padded..last * padded];
        gemm(
            [count, last, size],
            p,
            padded,
            query,
            MatrixView::row_major(keys, padded),
            scale,
            false,
        );
        softmax(p, padded, first);
        let values = MatrixView::row_major(&rows[place.value..], stride);
        let out = &mut y[first * width + place.query..];
        gemm(
            [count, size, last],
            out,
            width,
            MatrixView::row_major(p, padded),
            values,
            1.0,
            false,
        );
    }
}

/// Softmax of each row of a block, over its causal part; the rest becomes 0.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn softmax(block: &mut [f32], padded: usize, first: usize) {
    for (offset, row) in block.chunks_exact_mut(padded).enumerate() {
        let seen = first + offset + 1;
        let (vectors, _) = row.as_chunks_mut::<LANES>();
        let (whole, beyond) = vectors.split_at_mut(seen.div_ceil(LANES));
        let mut highest = [MASKED; LANES];
        for (number, vector) in whole.iter_mut().enumerate() {
            mask_tail(vector, seen - number * LANES, MASKED);
            for (highest, score) in highest.iter_mut().zip(vector) {
                *highest = if *score > *highest { *score } else { *highest };
            }
        }
        let highest = max_lanes(&highest);
        let mut total = [0.0; LANES];
        for (number, vector) in whole.iter_mut().enumerate() {
            for score in vector.iter_mut() {
                *score = exp(*score - highest);
            }
            mask_tail(vector, seen - number * LANES, 0.0);
            for (total, score) in total.iter_mut().zip(vector) {
                *total += *score;
            }
        }
        let inverse = 1.0 / sum_lanes(&total);
        for vector in whole {
            for score in vector {
                *score *= inverse;
            }
        }
        for vector in beyond {
            *vector = [0.0; LANES];
        }
    }
}

/// As many ones as zeros, in bits: a window of it keeps the first lanes of a vector.
const KEEP_BITS: [u32; 2 * LANES] = {
    let mut keep = [0; 2 * LANES];
    let mut lane = 0;
    while lane < LANES {
        keep[lane] = u32::MAX;
        lane += 1;
    }
    keep
};

/// Puts `value` in every lane from number `valid` on, whatever is there. Written in bits, since the
/// compiler turns a comparison into a branch for each lane.
#[expect(
    clippy::inline_always,
    reason = "compiled once per instruction set with its callers"
)]
#[inline(always)]
fn mask_tail(vector: &mut [f32; LANES], valid: usize, value: f32) {
    let keep = &KEEP_BITS[LANES - valid.min(LANES)..][..LANES];
    for (slot, keep) in vector.iter_mut().zip(keep) {
        *slot = f32::from_bits(slot.to_bits() & keep | value.to_bits() & !keep);
    }
}

/// Gradient of the rotated rows, from the rotated rows, the probabilities, and the gradient of the
/// result.
pub fn backward(
    rotated: &[f32],
    probabilities: &[f32],
    heads: &AttentionHeads,
    lengths: &[usize],
    dy: &[f32],
    drotated: &mut [f32],
) {
    let (stride, width) = (heads.qkv_width(), heads.query_width());
    drotated.fill(0.0);
    let longest = lengths
        .iter()
        .copied()
        .max()
        .unwrap_or(0)
        .next_multiple_of(LANES);
    let (mut dscores, mut values) = (
        PooledBuffer::acquire(BLOCK * longest),
        PooledBuffer::acquire(heads.head_size * longest),
    );
    let (mut row, mut square) = (0, 0);
    for &t in lengths {
        let rows = &rotated[row * stride..(row + t) * stride];
        let dy = &dy[row * width..(row + t) * width];
        let drotated = &mut drotated[row * stride..(row + t) * stride];
        let padded = t.next_multiple_of(LANES);
        for head in 0..heads.query_heads {
            let place = HeadOffsets::new(heads, head);
            if place.first_of_group {
                transpose_head(
                    rows,
                    [stride, place.value, heads.head_size],
                    padded,
                    &mut values,
                );
            }
            let p = &probabilities[square..square + t * padded];
            let sequence = BackwardHead {
                rows,
                values: &values,
                dy,
                p,
                t,
            };
            backward_head(&sequence, heads, place, &mut dscores, drotated);
            square += t * padded;
        }
        row += t;
    }
}

/// A head of a sequence on its way back.
struct BackwardHead<'a> {
    rows: &'a [f32],
    /// Its values, transposed.
    values: &'a [f32],
    dy: &'a [f32],
    p: &'a [f32],
    t: usize,
}

fn backward_head(
    sequence: &BackwardHead<'_>,
    heads: &AttentionHeads,
    place: HeadOffsets,
    dscores: &mut [f32],
    drotated: &mut [f32],
) {
    let (stride, size, width) = (heads.qkv_width(), heads.head_size, heads.query_width());
    let &BackwardHead {
        rows,
        values,
        dy,
        p,
        t,
    } = sequence;
    let (padded, scale) = (t.next_multiple_of(LANES), 1.0 / (size as f32).sqrt());
    for first in (0..t).step_by(BLOCK) {
        let last = (first + BLOCK).min(t);
        let (count, row) = (last - first, last.next_multiple_of(LANES));
        let p = &p[first * padded..last * padded];
        let dy = MatrixView::row_major(&dy[first * width + place.query..], width);
        let dvalues = &mut drotated[place.value..];
        gemm(
            [last, size, count],
            dvalues,
            stride,
            MatrixView::transposed(p, padded),
            dy,
            1.0,
            true,
        );
        gemm(
            [count, last, size],
            dscores,
            row,
            dy,
            MatrixView::row_major(values, padded),
            1.0,
            false,
        );
        softmax_backward(p, padded, first, &mut dscores[..count * row], row);
        let (ds, ds_t) = (
            MatrixView::row_major(dscores, row),
            MatrixView::transposed(dscores, row),
        );
        let keys = MatrixView::row_major(&rows[place.key..], stride);
        let dquery = &mut drotated[first * stride + place.query..];
        gemm([count, size, last], dquery, stride, ds, keys, scale, false);
        let query = MatrixView::row_major(&rows[first * stride + place.query..], stride);
        gemm(
            [last, size, count],
            &mut drotated[place.key..],
            stride,
            ds_t,
            query,
            scale,
            true,
        );
    }
}

/// Turns gradients of probabilities into gradients of scores, in place.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn softmax_backward(p: &[f32], padded: usize, first: usize, dscores: &mut [f32], row: usize) {
    for (offset, (p, ds)) in p
        .chunks_exact(padded)
        .zip(dscores.chunks_exact_mut(row))
        .enumerate()
    {
        let seen = first + offset + 1;
        let (p, (vectors, _)) = (p.as_chunks::<LANES>().0, ds.as_chunks_mut::<LANES>());
        let (whole, beyond) = vectors.split_at_mut(seen.div_ceil(LANES));
        let mut total = [0.0; LANES];
        for (number, (ds, p)) in whole.iter_mut().zip(p).enumerate() {
            // Nothing was computed beyond the block's last row.
            mask_tail(ds, seen - number * LANES, 0.0);
            for ((total, ds), p) in total.iter_mut().zip(ds).zip(p) {
                *total += *ds * p;
            }
        }
        let mean = sum_lanes(&total);
        for (ds, p) in whole.iter_mut().zip(p) {
            for (ds, p) in ds.iter_mut().zip(p) {
                *ds = p * (*ds - mean);
            }
        }
        for vector in beyond {
            *vector = [0.0; LANES];
        }
    }
}

/// Rotates the queries and keys of each sequence by their positions; backwards if `inverse`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn rotate(
    packed: &mut [f32],
    heads: &AttentionHeads,
    lengths: &[usize],
    rotary: &RotaryTables,
    inverse: bool,
) {
    let turned = (heads.query_heads + heads.kv_heads) * heads.head_size;
    let positions = lengths.iter().flat_map(|&t| 0..t);
    for (row, position) in packed.chunks_exact_mut(heads.qkv_width()).zip(positions) {
        rotary.rotate(&mut row[..turned], position, inverse);
    }
}
