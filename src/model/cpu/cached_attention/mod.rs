//! Attention of new rows against a cache of keys and values, on slices: the sampling half.
//!
//! Hides how the loops are cut. A row's result is computed in one order of additions, whether it
//! comes alone or with the rows before and after it, and whoever computed what the cache holds.

#![expect(
    clippy::inline_always,
    reason = "callers are compiled once per instruction set, and so must this be"
)]

mod scores;
#[cfg(test)]
mod tests;
mod values;

use multiversion::multiversion;
use multiversion::target::match_target;

use super::kv_cache::{KvCache, LANES};
use super::vector_math::{exp, max, sum};
use super::{AttentionHeads, RotaryTables};

/// Rows that go through the cache together: each key and value is loaded once for all of them.
const TILE: usize = 4;

/// Inputs that all rows of a call share.
#[derive(Clone, Copy, Debug)]
pub struct CachedAttention<'a> {
    /// Sizes of the layer.
    pub heads: &'a AttentionHeads,
    /// Angles of the positions.
    pub rotary: &'a RotaryTables,
    /// Which layer of the cache it is.
    pub layer: usize,
}

/// Buffers that are used again from call to call.
#[derive(Clone, Debug, Default)]
pub struct AttentionScratch {
    scores: Vec<f32>,
    inverse: Vec<f32>,
}

/// Takes in consecutive rows of packed, not yet rotated queries, keys and values, at the positions
/// after those filled, and writes the attention of the rows from number `from` on to `y`
/// \[rows - from, H S\].
///
/// # Panics
/// If no room was made in the cache, or the positions are beyond the rotary tables.
pub fn attend(
    call: CachedAttention<'_>,
    cache: &mut KvCache,
    rows: &mut [f32],
    from: usize,
    scratch: &mut AttentionScratch,
    y: &mut [f32],
) {
    store_keys_values(call, cache, rows);
    let (stride, width) = (call.heads.qkv_width(), call.heads.query_width());
    let mut position = cache.token_count() + from;
    let (tiles, rest) = rows[from * stride..]
        .split_at(rows[from * stride..].len() / (TILE * stride) * TILE * stride);
    let (y_tiles, y_rest) = y.split_at_mut(tiles.len() / stride * width);
    for (rows, y) in tiles
        .chunks_exact(TILE * stride)
        .zip(y_tiles.chunks_exact_mut(TILE * width))
    {
        attend_tile(call, cache, rows, position, scratch, y);
        position += TILE;
    }
    for (row, y) in rest
        .chunks_exact(stride)
        .zip(y_rest.chunks_exact_mut(width))
    {
        attend_row(call, cache, row, position, scratch, y);
        position += 1;
    }
}

/// Rotates queries and keys, scales queries, and stores keys and values.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn store_keys_values<'a>(call: CachedAttention<'a>, cache: &mut KvCache, rows: &mut [f32]) {
    let heads = call.heads;
    let (turned, width) = (
        (heads.query_heads + heads.kv_heads) * heads.head_size,
        heads.kv_heads * heads.head_size,
    );
    let scale = 1.0 / (heads.head_size as f32).sqrt();
    for (row, position) in rows
        .chunks_exact_mut(heads.qkv_width())
        .zip(cache.token_count()..)
    {
        call.rotary.rotate(&mut row[..turned], position, false);
        row[..heads.query_width()]
            .iter_mut()
            .for_each(|query| *query *= scale);
        let (keys, values) = row[heads.query_width()..].split_at(width);
        cache.store(call.layer, position, keys, values);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn attend_tile<'a>(
    call: CachedAttention<'a>,
    cache: &KvCache,
    rows: &[f32],
    first: usize,
    scratch: &mut AttentionScratch,
    y: &mut [f32],
) {
    match_target! {
        "x86_64+avx512f" => attend_rows::<TILE, true>(call, cache, rows, first, scratch, y),
        "x86_64+avx2+fma" => attend_rows::<TILE, true>(call, cache, rows, first, scratch, y),
        "aarch64+neon" => attend_rows::<TILE, true>(call, cache, rows, first, scratch, y),
        _ => attend_rows::<TILE, false>(call, cache, rows, first, scratch, y),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn attend_row<'a>(
    call: CachedAttention<'a>,
    cache: &KvCache,
    row: &[f32],
    first: usize,
    scratch: &mut AttentionScratch,
    y: &mut [f32],
) {
    match_target! {
        "x86_64+avx512f" => attend_rows::<1, true>(call, cache, row, first, scratch, y),
        "x86_64+avx2+fma" => attend_rows::<1, true>(call, cache, row, first, scratch, y),
        "aarch64+neon" => attend_rows::<1, true>(call, cache, row, first, scratch, y),
        _ => attend_rows::<1, false>(call, cache, row, first, scratch, y),
    }
}

/// Q rows at the positions from `first` on, whose keys and values are stored.
#[inline(always)]
fn attend_rows<const Q: usize, const FMA: bool>(
    call: CachedAttention<'_>,
    cache: &KvCache,
    rows: &[f32],
    first: usize,
    scratch: &mut AttentionScratch,
    y: &mut [f32],
) {
    let heads = call.heads;
    let blocks = (first + Q).div_ceil(LANES);
    let positions = blocks * LANES;
    let (needed, sums) = (heads.query_heads * Q * positions, heads.query_heads * Q);
    if scratch.scores.len() < needed {
        scratch.scores.resize(needed, 0.0);
    }
    if scratch.inverse.len() < sums {
        scratch.inverse.resize(sums, 0.0);
    }
    let (scores, inverse) = (&mut scratch.scores[..needed], &mut scratch.inverse[..sums]);
    scores::compute_scores::<Q, FMA>(call, cache, rows, blocks, scores);
    for (at, (scores, inverse)) in scores
        .chunks_exact_mut(positions)
        .zip(inverse.iter_mut())
        .enumerate()
    {
        let seen = first + at % Q + 1;
        *inverse = softmax_numerators(&mut scores[..seen.next_multiple_of(LANES)], seen);
    }
    y.fill(0.0);
    values::add_weighted_values::<Q, FMA>(call, cache, scores, first, y);
    for (q, y) in y.chunks_exact_mut(heads.query_width()).enumerate() {
        for (y, inverse) in y
            .chunks_exact_mut(heads.head_size)
            .zip(inverse.iter().skip(q).step_by(Q))
        {
            for y in y {
                *y *= inverse;
            }
        }
    }
}

/// Turns the first `seen` scores into exponentials and those after them into 0; returns the
/// inverse of their sum.
#[inline(always)]
fn softmax_numerators(scores: &mut [f32], seen: usize) -> f32 {
    scores[seen..].fill(f32::NEG_INFINITY);
    let highest = max(scores);
    for score in scores.iter_mut() {
        *score = exp(*score - highest);
    }
    scores[seen..].fill(0.0);
    1.0 / sum(scores)
}

/// `a * b + c`, in one rounding where the hardware has it: elsewhere that would be a slow call.
#[inline(always)]
fn add_product<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
