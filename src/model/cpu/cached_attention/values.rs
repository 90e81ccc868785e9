//! Weighted sums of the values of a cache, position after position: each value is one chain of
//! additions over the positions.
#![expect(
    clippy::inline_always,
    reason = "callers are compiled once per instruction set, and so must this be"
)]

use super::super::AttentionHeads;
use super::super::kv_cache::{KvCache, LANES};
use super::scores::{add_scaled, next_four};
use super::{CachedAttention, add_product};

/// Adds to `y` \[Q, H S\] the values of every position, weighted by the row's scores; Q is 1 or 4.
#[inline(always)]
pub fn add_weighted_values<const Q: usize, const FMA: bool>(
    call: CachedAttention<'_>,
    cache: &KvCache,
    scores: &[f32],
    first: usize,
    y: &mut [f32],
) {
    let blocks = (first + Q).div_ceil(LANES);
    for block in 0..blocks {
        let before = block * LANES;
        let values = cache.keys_and_values(call.layer, block).1;
        let part = ValueBlock {
            heads: call.heads,
            values,
            scores: &scores[before..],
            rows: Q,
            blocks,
        };
        if Q > 1 && before + LANES <= first + 1 {
            part.add::<Q, FMA>([0, LANES], y);
        } else {
            // Every row ends elsewhere: what lies beyond its own position is not its past.
            for (q, y) in y.chunks_exact_mut(call.heads.query_width()).enumerate() {
                let seen = (first + q + 1).saturating_sub(before).min(LANES);
                part.add::<1, FMA>([q, seen], y);
            }
        }
    }
}

/// One block of values, and the scores \[H, rows, blocks, 16\] from that block on.
struct ValueBlock<'a> {
    heads: &'a AttentionHeads,
    values: &'a [f32],
    scores: &'a [f32],
    rows: usize,
    blocks: usize,
}

/// One chain of additions: the weights of its positions, and where its values begin in a position
/// and its sums in `y`.
#[derive(Clone, Copy)]
struct SumChain<'a> {
    weights: &'a [f32],
    value: usize,
    sum: usize,
}

impl<'a> ValueBlock<'a> {
    /// Adds the first `seen` positions to Q rows from row `q` on.
    #[inline(always)]
    fn add<const Q: usize, const FMA: bool>(&self, [q, seen]: [usize; 2], y: &mut [f32]) {
        match self.heads.head_size {
            size if size.is_multiple_of(32) => self.add_pieces::<Q, 32, FMA>([q, seen], y),
            size if size.is_multiple_of(24) => self.add_pieces::<Q, 24, FMA>([q, seen], y),
            size if size.is_multiple_of(16) => self.add_pieces::<Q, 16, FMA>([q, seen], y),
            size if size.is_multiple_of(8) => self.add_pieces::<Q, 8, FMA>([q, seen], y),
            _ => self.add_any::<Q, FMA>([q, seen], y),
        }
    }

    /// Heads in pieces of L values, four chains at a time. Where fewer are left, the last one is
    /// done again.
    #[inline(always)]
    fn add_pieces<const Q: usize, const L: usize, const FMA: bool>(
        &self,
        [q, seen]: [usize; 2],
        y: &mut [f32],
    ) {
        let (pieces, width) = (
            self.heads.query_width() / L,
            self.heads.kv_heads * self.heads.head_size,
        );
        let mut first = 0;
        while first < pieces {
            let at = if Q == 1 {
                next_four(first, pieces)
            } else {
                [first; 4]
            };
            let row = if Q == 1 { [0; 4] } else { [0, 1, 2, 3] };
            let chain = |i: usize| self.chain([q + row[i], seen], row[i], at[i] * L);
            add_four_chains::<L, FMA>(
                [chain(0), chain(1), chain(2), chain(3)],
                self.values,
                [seen, width],
                y,
            );
            first += if Q == 1 { 4 } else { 1 };
        }
    }

    /// The chain of row `q`, which is number `row` in `y`, from value `from` of its H S on.
    #[inline(always)]
    fn chain(&self, [q, seen]: [usize; 2], row: usize, from: usize) -> SumChain<'a> {
        let (size, group) = (
            self.heads.head_size,
            self.heads.query_heads / self.heads.kv_heads,
        );
        let head = from / size;
        let weights = &self.scores[(head * self.rows + q) * self.blocks * LANES..][..seen];
        SumChain {
            weights,
            value: head / group * size + from % size,
            sum: row * self.heads.query_width() + from,
        }
    }

    /// Heads of any size.
    fn add_any<const Q: usize, const FMA: bool>(&self, [q, seen]: [usize; 2], y: &mut [f32]) {
        let (size, width) = (
            self.heads.head_size,
            self.heads.kv_heads * self.heads.head_size,
        );
        for row in 0..Q {
            for head in 0..self.heads.query_heads {
                let chain = self.chain([q + row, seen], row, head * size);
                let y = &mut y[chain.sum..][..size];
                for (values, weight) in self.values.chunks_exact(width).zip(chain.weights) {
                    for (y, value) in y.iter_mut().zip(&values[chain.value..]) {
                        *y = add_product::<FMA>(*weight, *value, *y);
                    }
                }
            }
        }
    }
}

/// Adds the first `seen` positions, `width` values apart, to four pieces of `y`.
///
/// Written out four times: a loop would keep the sums in memory.
#[expect(
    clippy::many_single_char_names,
    reason = "four chains and their weights"
)]
#[inline(always)]
fn add_four_chains<const L: usize, const FMA: bool>(
    [a, b, c, d]: [SumChain<'_>; 4],
    values: &[f32],
    [seen, width]: [usize; 2],
    y: &mut [f32],
) {
    let mut sums = [
        load_chunk(y, a.sum),
        load_chunk(y, b.sum),
        load_chunk(y, c.sum),
        load_chunk(y, d.sum),
    ];
    let weights = a
        .weights
        .iter()
        .zip(b.weights)
        .zip(c.weights.iter().zip(d.weights));
    for (values, ((p, q), (r, s))) in values.chunks_exact(width).take(seen).zip(weights) {
        sums = [
            add_scaled::<L, FMA>(sums[0], *p, &load_chunk(values, a.value)),
            add_scaled::<L, FMA>(sums[1], *q, &load_chunk(values, b.value)),
            add_scaled::<L, FMA>(sums[2], *r, &load_chunk(values, c.value)),
            add_scaled::<L, FMA>(sums[3], *s, &load_chunk(values, d.value)),
        ];
    }
    for (chain, sums) in [a, b, c, d].iter().zip(sums) {
        y[chain.sum..][..L].copy_from_slice(&sums);
    }
}

#[inline(always)]
fn load_chunk<const L: usize>(values: &[f32], from: usize) -> [f32; L] {
    *values[from..].first_chunk().expect("a whole piece")
}
