//! Scores of queries against the keys of a cache, a vector of positions at a time: each lane is one
//! chain of additions over the head's S values.
#![expect(
    clippy::inline_always,
    reason = "callers are compiled once per instruction set, and so must this be"
)]

use super::super::kv_cache::{KvCache, LANES};
use super::{CachedAttention, TILE, add_product};

/// Scores of a vector of positions.
type ScoreLanes = [f32; LANES];

/// Scores \[H, Q, positions\] of Q scaled queries against every block; Q is 1 or 4.
#[inline(always)]
pub fn compute_scores<const Q: usize, const FMA: bool>(
    call: CachedAttention<'_>,
    cache: &KvCache,
    rows: &[f32],
    blocks: usize,
    scores: &mut [f32],
) {
    let (size, stride, group) = (
        call.heads.head_size,
        call.heads.qkv_width(),
        call.heads.query_heads / call.heads.kv_heads,
    );
    let mut first = 0;
    while first < blocks {
        // A single query has one chain of additions per block: four blocks keep the units busy.
        // Past the last block, that one is done again.
        let at: [usize; 4] = if Q == 1 {
            next_four(first, blocks)
        } else {
            [first; 4]
        };
        let parts = at.map(|block| cache.keys_and_values(call.layer, block).0);
        for head in 0..call.heads.query_heads {
            let place = head / group * size * LANES;
            let keys = parts.map(|part| part[place..place + size * LANES].as_chunks::<LANES>().0);
            let row: [usize; 4] = if Q == 1 { [0; 4] } else { [0, 1, 2, 3] };
            let queries = row.map(|q| &rows[q * stride + head * size..][..size]);
            let sums = four_dot_products::<FMA>(queries, keys);
            for (i, sums) in sums.iter().enumerate() {
                let place = ((head * Q + row[i]) * blocks + at[i]) * LANES;
                scores[place..place + LANES].copy_from_slice(sums);
            }
        }
        first += if Q == 1 { TILE } else { 1 };
    }
}

/// Four numbers from `first` on, none of them beyond the last below `end`.
#[inline(always)]
pub fn next_four(first: usize, end: usize) -> [usize; 4] {
    [
        first,
        (first + 1).min(end - 1),
        (first + 2).min(end - 1),
        (first + 3).min(end - 1),
    ]
}

/// Four queries, each against its own block of one key head.
///
/// Written out four times: a loop would keep the sums in memory.
#[expect(
    clippy::many_single_char_names,
    reason = "four queries and four blocks of one kind each"
)]
#[inline(always)]
fn four_dot_products<const FMA: bool>(
    [p, q, r, s]: [&[f32]; 4],
    [a, b, c, d]: [&[ScoreLanes]; 4],
) -> [ScoreLanes; 4] {
    let mut sums = [[0.0; LANES]; 4];
    let keys = a.iter().zip(b).zip(c.iter().zip(d));
    for (((p, q), (r, s)), ((a, b), (c, d))) in p.iter().zip(q).zip(r.iter().zip(s)).zip(keys) {
        sums = [
            add_scaled::<LANES, FMA>(sums[0], *p, a),
            add_scaled::<LANES, FMA>(sums[1], *q, b),
            add_scaled::<LANES, FMA>(sums[2], *r, c),
            add_scaled::<LANES, FMA>(sums[3], *s, d),
        ];
    }
    sums
}

/// `sums + factor * values`.
#[inline(always)]
pub fn add_scaled<const L: usize, const FMA: bool>(
    mut sums: [f32; L],
    factor: f32,
    values: &[f32; L],
) -> [f32; L] {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum = add_product::<FMA>(factor, *value, *sum);
    }
    sums
}
