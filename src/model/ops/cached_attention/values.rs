//! Weighted sums of the values of a cache, position after position: each value is one chain of
//! additions over the positions.
#![expect(
    clippy::inline_always,
    reason = "callers are compiled once per instruction set, and so must this be"
)]

use super::super::Heads;
use super::super::cache::{Cache, LANES};
use super::scores::{add, ahead};
use super::{Call, add_product};

/// Adds to `y` \[Q, H S\] the values of every position, weighted by the row's scores; Q is 1 or 4.
#[inline(always)]
pub fn weigh<const Q: usize, const FMA: bool>(
    call: Call<'_>,
    cache: &Cache,
    scores: &[f32],
    first: usize,
    y: &mut [f32],
) {
    let blocks = (first + Q).div_ceil(LANES);
    for block in 0..blocks {
        let before = block * LANES;
        let values = cache.part(call.layer, block).1;
        let part = Part {
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
            for (q, y) in y.chunks_exact_mut(call.heads.width()).enumerate() {
                let seen = (first + q + 1).saturating_sub(before).min(LANES);
                part.add::<1, FMA>([q, seen], y);
            }
        }
    }
}

/// One block of values, and the scores \[H, rows, blocks, 16\] from that block on.
struct Part<'a> {
    heads: &'a Heads,
    values: &'a [f32],
    scores: &'a [f32],
    rows: usize,
    blocks: usize,
}

/// One chain of additions: the weights of its positions, and where its values begin in a position
/// and its sums in `y`.
#[derive(Clone, Copy)]
struct Chain<'a> {
    weights: &'a [f32],
    value: usize,
    sum: usize,
}

impl<'a> Part<'a> {
    /// Adds the first `seen` positions to Q rows from row `q` on.
    #[inline(always)]
    fn add<const Q: usize, const FMA: bool>(&self, [q, seen]: [usize; 2], y: &mut [f32]) {
        match self.heads.size {
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
        let (pieces, width) = (self.heads.width() / L, self.heads.keys * self.heads.size);
        let mut first = 0;
        while first < pieces {
            let at = if Q == 1 {
                ahead(first, pieces)
            } else {
                [first; 4]
            };
            let row = if Q == 1 { [0; 4] } else { [0, 1, 2, 3] };
            let chain = |i: usize| self.chain([q + row[i], seen], row[i], at[i] * L);
            add_four::<L, FMA>(
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
    fn chain(&self, [q, seen]: [usize; 2], row: usize, from: usize) -> Chain<'a> {
        let (size, group) = (self.heads.size, self.heads.queries / self.heads.keys);
        let head = from / size;
        let weights = &self.scores[(head * self.rows + q) * self.blocks * LANES..][..seen];
        Chain {
            weights,
            value: head / group * size + from % size,
            sum: row * self.heads.width() + from,
        }
    }

    /// Heads of any size.
    fn add_any<const Q: usize, const FMA: bool>(&self, [q, seen]: [usize; 2], y: &mut [f32]) {
        let (size, width) = (self.heads.size, self.heads.keys * self.heads.size);
        for row in 0..Q {
            for head in 0..self.heads.queries {
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
fn add_four<const L: usize, const FMA: bool>(
    [a, b, c, d]: [Chain<'_>; 4],
    values: &[f32],
    [seen, width]: [usize; 2],
    y: &mut [f32],
) {
    let mut sums = [
        piece(y, a.sum),
        piece(y, b.sum),
        piece(y, c.sum),
        piece(y, d.sum),
    ];
    let weights = a
        .weights
        .iter()
        .zip(b.weights)
        .zip(c.weights.iter().zip(d.weights));
    for (values, ((p, q), (r, s))) in values.chunks_exact(width).take(seen).zip(weights) {
        sums = [
            add::<L, FMA>(sums[0], *p, &piece(values, a.value)),
            add::<L, FMA>(sums[1], *q, &piece(values, b.value)),
            add::<L, FMA>(sums[2], *r, &piece(values, c.value)),
            add::<L, FMA>(sums[3], *s, &piece(values, d.value)),
        ];
    }
    for (chain, sums) in [a, b, c, d].iter().zip(sums) {
        y[chain.sum..][..L].copy_from_slice(&sums);
    }
}

#[inline(always)]
fn piece<const L: usize>(values: &[f32], from: usize) -> [f32; L] {
    *values[from..].first_chunk().expect("a whole piece")
}
