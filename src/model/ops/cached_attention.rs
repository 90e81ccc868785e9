//! Attention of new rows against a cache of keys and values, on slices: the sampling half.
//!
//! Hides how the loops are cut. A row's result is computed in one order of additions, whether it
//! comes alone or with the rows before and after it, and whoever computed what the cache holds.

use multiversion::multiversion;
use multiversion::target::match_target;

use super::cache::{Cache, LANES};
use super::exponential::{exp, max, sum};
use super::{Heads, Rotary};

/// Rows that go through the cache together: each key and value is loaded once for all of them.
const TILE: usize = 4;

/// Blocks that a single query is multiplied with together.
const ABREAST: usize = 4;

/// What is the same for every row of a call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Sizes of the layer.
    pub heads: &'a Heads,
    /// Angles of the positions.
    pub rotary: &'a Rotary,
    /// Which layer of the cache it is.
    pub layer: usize,
}

/// Buffers that are used again from call to call.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
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
    call: Call<'_>,
    cache: &mut Cache,
    rows: &mut [f32],
    from: usize,
    scratch: &mut Scratch,
    y: &mut [f32],
) {
    take_in(call, cache, rows);
    let (stride, width) = (call.heads.packed(), call.heads.width());
    let mut position = cache.filled() + from;
    let (tiles, rest) = rows[from * stride..].split_at(rows[from * stride..].len() / (TILE * stride) * TILE * stride);
    let (y_tiles, y_rest) = y.split_at_mut(tiles.len() / stride * width);
    for (rows, y) in tiles.chunks_exact(TILE * stride).zip(y_tiles.chunks_exact_mut(TILE * width)) {
        attend_tile(call, cache, rows, position, scratch, y);
        position += TILE;
    }
    for (row, y) in rest.chunks_exact(stride).zip(y_rest.chunks_exact_mut(width)) {
        attend_row(call, cache, row, position, scratch, y);
        position += 1;
    }
}

/// Rotates queries and keys, scales queries, and stores keys and values.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn take_in<'a>(call: Call<'a>, cache: &mut Cache, rows: &mut [f32]) {
    let heads = call.heads;
    let (turned, width) = ((heads.queries + heads.keys) * heads.size, heads.keys * heads.size);
    let scale = 1.0 / (heads.size as f32).sqrt();
    for (row, position) in rows.chunks_exact_mut(heads.packed()).zip(cache.filled()..) {
        call.rotary.rotate(&mut row[..turned], position, false);
        row[..heads.width()].iter_mut().for_each(|query| *query *= scale);
        let (keys, values) = row[heads.width()..].split_at(width);
        cache.store(call.layer, position, keys, values);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn attend_tile<'a>(call: Call<'a>, cache: &Cache, rows: &[f32], first: usize, scratch: &mut Scratch, y: &mut [f32]) {
    match_target! {
        "x86_64+avx512f" => any_size::<TILE, true>(call, cache, rows, first, scratch, y),
        "x86_64+avx2+fma" => any_size::<TILE, true>(call, cache, rows, first, scratch, y),
        "aarch64+neon" => any_size::<TILE, true>(call, cache, rows, first, scratch, y),
        _ => tile::<TILE, 0, false>(call, cache, rows, first, scratch, y),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn attend_row<'a>(call: Call<'a>, cache: &Cache, row: &[f32], first: usize, scratch: &mut Scratch, y: &mut [f32]) {
    match_target! {
        "x86_64+avx512f" => any_size::<1, true>(call, cache, row, first, scratch, y),
        "x86_64+avx2+fma" => any_size::<1, true>(call, cache, row, first, scratch, y),
        "aarch64+neon" => any_size::<1, true>(call, cache, row, first, scratch, y),
        _ => tile::<1, 0, false>(call, cache, row, first, scratch, y),
    }
}

/// The usual head sizes have loops of their own; 0 stands for any other.
#[inline(always)]
fn any_size<const Q: usize, const FMA: bool>(
    call: Call<'_>,
    cache: &Cache,
    rows: &[f32],
    first: usize,
    scratch: &mut Scratch,
    y: &mut [f32],
) {
    match call.heads.size {
        16 => tile::<Q, 16, FMA>(call, cache, rows, first, scratch, y),
        24 => tile::<Q, 24, FMA>(call, cache, rows, first, scratch, y),
        32 => tile::<Q, 32, FMA>(call, cache, rows, first, scratch, y),
        64 => tile::<Q, 64, FMA>(call, cache, rows, first, scratch, y),
        _ => tile::<Q, 0, FMA>(call, cache, rows, first, scratch, y),
    }
}

/// Q rows at the positions from `first` on, whose keys and values are stored.
#[inline(always)]
fn tile<const Q: usize, const S: usize, const FMA: bool>(
    call: Call<'_>,
    cache: &Cache,
    rows: &[f32],
    first: usize,
    scratch: &mut Scratch,
    y: &mut [f32],
) {
    let heads = call.heads;
    let blocks = (first + Q).div_ceil(LANES);
    let positions = blocks * LANES;
    let (needed, sums) = (heads.queries * Q * positions, heads.queries * Q);
    if scratch.scores.len() < needed {
        scratch.scores.resize(needed, 0.0);
    }
    if scratch.inverse.len() < sums {
        scratch.inverse.resize(sums, 0.0);
    }
    let (scores, inverse) = (&mut scratch.scores[..needed], &mut scratch.inverse[..sums]);
    score::<Q, S, FMA>(call, cache, rows, blocks, scores);
    for (at, (scores, inverse)) in scores.chunks_exact_mut(positions).zip(inverse.iter_mut()).enumerate() {
        let seen = first + at % Q + 1;
        *inverse = soften(&mut scores[..seen.next_multiple_of(LANES)], seen);
    }
    y.fill(0.0);
    weigh::<Q, S, FMA>(call, cache, scores, first, y);
    for (q, y) in y.chunks_exact_mut(heads.width()).enumerate() {
        for (y, inverse) in y.chunks_exact_mut(heads.size).zip(inverse.iter().skip(q).step_by(Q)) {
            y.iter_mut().for_each(|y| *y *= inverse);
        }
    }
}

/// Scores \[H, Q, positions\] of scaled queries against every block.
#[inline(always)]
fn score<const Q: usize, const S: usize, const FMA: bool>(
    call: Call<'_>,
    cache: &Cache,
    rows: &[f32],
    blocks: usize,
    scores: &mut [f32],
) {
    let mut block = 0;
    // A single query has one chain of additions per block: several blocks keep the units busy.
    while Q == 1 && block + ABREAST <= blocks {
        score_blocks::<Q, ABREAST, S, FMA>(call, cache, rows, [block, blocks], scores);
        block += ABREAST;
    }
    while block < blocks {
        score_blocks::<Q, 1, S, FMA>(call, cache, rows, [block, blocks], scores);
        block += 1;
    }
}

/// Scores of Q rows against B blocks.
#[inline(always)]
fn score_blocks<const Q: usize, const B: usize, const S: usize, const FMA: bool>(
    call: Call<'_>,
    cache: &Cache,
    rows: &[f32],
    [first, blocks]: [usize; 2],
    scores: &mut [f32],
) {
    let size = if S > 0 { S } else { call.heads.size };
    let (stride, group) = (call.heads.packed(), call.heads.queries / call.heads.keys);
    let all_keys: [&[f32]; B] = std::array::from_fn(|b| cache.part(call.layer, first + b).0);
    for head in 0..call.heads.queries {
        let place = head / group * size * LANES;
        let keys: [&[[f32; LANES]]; B] =
            std::array::from_fn(|b| all_keys[b][place..place + size * LANES].as_chunks::<LANES>().0);
        let queries: [&[f32]; Q] = std::array::from_fn(|q| &rows[q * stride + head * size..][..size]);
        let mut sums = [[[0.0_f32; LANES]; B]; Q];
        for i in 0..size {
            for (sums, query) in sums.iter_mut().zip(queries) {
                for (sums, keys) in sums.iter_mut().zip(keys) {
                    for (sum, key) in sums.iter_mut().zip(&keys[i]) {
                        *sum = add_product::<FMA>(query[i], *key, *sum);
                    }
                }
            }
        }
        for (q, sums) in sums.iter().enumerate() {
            let place = ((head * Q + q) * blocks + first) * LANES;
            scores[place..place + B * LANES].copy_from_slice(sums.as_flattened());
        }
    }
}

/// Turns the first `seen` scores into exponentials and those after them into 0; returns the
/// inverse of their sum.
#[inline(always)]
fn soften(scores: &mut [f32], seen: usize) -> f32 {
    scores[seen..].fill(f32::NEG_INFINITY);
    let highest = max(scores);
    for score in scores.iter_mut() {
        *score = exp(*score - highest);
    }
    scores[seen..].fill(0.0);
    1.0 / sum(scores)
}

/// Adds to `y` \[Q, H S\] the values of every position, weighted by the row's scores, position
/// after position.
#[inline(always)]
fn weigh<const Q: usize, const S: usize, const FMA: bool>(
    call: Call<'_>,
    cache: &Cache,
    scores: &[f32],
    first: usize,
    y: &mut [f32],
) {
    let blocks = (first + Q).div_ceil(LANES);
    let width = call.heads.width();
    for block in 0..blocks {
        let before = block * LANES;
        let part = Part { heads: call.heads, values: cache.part(call.layer, block).1, scores: &scores[before..] };
        if Q == 1 {
            let seen = (first + 1 - before).min(LANES);
            part.add_row::<S, FMA>([0, 1, blocks], seen, y);
        } else if before + LANES <= first + 1 {
            part.add_rows::<Q, S, FMA>(blocks, y);
        } else {
            // Every row ends elsewhere: what lies beyond its own position is not its past.
            for (q, y) in y.chunks_exact_mut(width).enumerate() {
                let seen = (first + q + 1).saturating_sub(before).min(LANES);
                part.add_row::<S, FMA>([q, Q, blocks], seen, y);
            }
        }
    }
}

/// One block of values and of scores.
struct Part<'a> {
    heads: &'a Heads,
    values: &'a [f32],
    scores: &'a [f32],
}

impl Part<'_> {
    /// Adds the first `seen` positions to row `q` of `rows` rows, several heads at a time.
    #[inline(always)]
    fn add_row<const S: usize, const FMA: bool>(
        &self,
        [q, rows, blocks]: [usize; 3],
        seen: usize,
        y: &mut [f32],
    ) {
        let weights = |head: usize| &self.scores[(head * rows + q) * blocks * LANES..][..seen];
        let mut head = 0;
        while S > 0 && S <= 32 && head + 4 <= self.heads.queries {
            self.add_heads::<4, S, FMA>(head, std::array::from_fn(|h| weights(head + h)), y);
            head += 4;
        }
        while S > 0 && S <= 64 && head + 2 <= self.heads.queries {
            self.add_heads::<2, S, FMA>(head, std::array::from_fn(|h| weights(head + h)), y);
            head += 2;
        }
        while S > 0 && head < self.heads.queries {
            self.add_heads::<1, S, FMA>(head, [weights(head)], y);
            head += 1;
        }
        while head < self.heads.queries {
            self.add_any::<FMA>(head, weights(head), y);
            head += 1;
        }
    }

    /// Adds all positions to H consecutive heads of S values of one row.
    #[inline(always)]
    fn add_heads<const H: usize, const S: usize, const FMA: bool>(
        &self,
        head: usize,
        weights: [&[f32]; H],
        y: &mut [f32],
    ) {
        let (group, width) = (self.heads.queries / self.heads.keys, self.heads.keys * S);
        let places: [usize; H] = std::array::from_fn(|h| (head + h) / group * S);
        let seen = weights[0].len();
        let y = y[head * S..][..H * S].as_chunks_mut::<S>().0;
        let mut sums: [[f32; S]; H] = std::array::from_fn(|h| y[h]);
        for (at, values) in self.values.chunks_exact(width).take(seen).enumerate() {
            for h in 0..H {
                let values: &[f32; S] = values[places[h]..].first_chunk().expect("a whole head");
                let weight = weights[h][at];
                for (sum, value) in sums[h].iter_mut().zip(values) {
                    *sum = add_product::<FMA>(weight, *value, *sum);
                }
            }
        }
        y.copy_from_slice(&sums);
    }

    /// Adds all positions to every head of Q rows, for each of which the whole block is past.
    #[inline(always)]
    fn add_rows<const Q: usize, const S: usize, const FMA: bool>(&self, blocks: usize, y: &mut [f32]) {
        let (stride, group) = (self.heads.width(), self.heads.queries / self.heads.keys);
        for head in 0..self.heads.queries {
            let weights: [&[f32; LANES]; Q] = std::array::from_fn(|q| {
                self.scores[(head * Q + q) * blocks * LANES..].first_chunk().expect("a whole block")
            });
            if S == 0 {
                for (y, weights) in y.chunks_exact_mut(stride).zip(weights) {
                    self.add_any::<FMA>(head, weights, y);
                }
                continue;
            }
            let mut sums: [[f32; S]; Q] =
                std::array::from_fn(|q| *y[q * stride + head * S..].first_chunk().expect("a whole head"));
            for (at, values) in self.values.chunks_exact(self.heads.keys * S).enumerate() {
                let values: &[f32; S] = values[head / group * S..].first_chunk().expect("a whole head");
                for (sums, weights) in sums.iter_mut().zip(weights) {
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = add_product::<FMA>(weights[at], *value, *sum);
                    }
                }
            }
            for (q, sums) in sums.iter().enumerate() {
                y[q * stride + head * S..][..S].copy_from_slice(sums);
            }
        }
    }

    /// Adds all positions to a head of any size.
    #[inline(always)]
    fn add_any<const FMA: bool>(&self, head: usize, weights: &[f32], y: &mut [f32]) {
        let (size, group) = (self.heads.size, self.heads.queries / self.heads.keys);
        let y = &mut y[head * size..][..size];
        for (values, weight) in self.values.chunks_exact(self.heads.keys * size).zip(weights) {
            for (y, value) in y.iter_mut().zip(&values[head / group * size..]) {
                *y = add_product::<FMA>(*weight, *value, *y);
            }
        }
    }
}

/// `a * b + c`, in one rounding where the hardware has it: elsewhere that would be a slow call.
#[inline(always)]
fn add_product<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
