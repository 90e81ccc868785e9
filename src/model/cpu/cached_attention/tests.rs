//! Attention against a cache: against sums in double precision, and against itself, bit by bit.

use proptest::prelude::*;

use super::*;

/// Head counts and sizes: with loops of their own and without, alone and in groups.
const SHAPES: [[usize; 3]; 9] = [
    [4, 4, 24],
    [4, 4, 32],
    [4, 2, 16],
    [2, 1, 64],
    [3, 1, 6],
    [6, 3, 32],
    [1, 1, 2],
    [2, 2, 10],
    [5, 5, 24],
];

fn heads(shape: usize) -> AttentionHeads {
    let [queries, keys, size] = SHAPES[shape];
    AttentionHeads {
        query_heads: queries,
        kv_heads: keys,
        head_size: size,
    }
}

/// Rows of numbers that look random, the same ones for the same seed.
fn rows(heads: &AttentionHeads, count: usize, seed: u64) -> Vec<f32> {
    let mut draws = crate::domain::Seed(seed).rng();
    (0..count * heads.qkv_width())
        .map(|_| draws.normal() as f32)
        .collect()
}

/// Takes in rows in pieces of these lengths, and returns the results of all.
fn run(heads: &AttentionHeads, cache: &mut KvCache, rows: &[f32], pieces: &[usize]) -> Vec<f32> {
    let rotary = RotaryTables::new(128, heads.head_size, 10_000.0);
    let call = CachedAttention {
        heads,
        rotary: &rotary,
        layer: 1,
    };
    let (mut scratch, mut y, mut from) = (AttentionScratch::default(), Vec::new(), 0);
    for &count in pieces {
        let mut piece = rows[from * heads.qkv_width()..(from + count) * heads.qkv_width()].to_vec();
        // Whatever the buffers held before must not matter.
        let mut out = vec![f32::NAN; count * heads.query_width()];
        scratch.scores.fill(f32::NAN);
        cache.reserve(count);
        attend(call, cache, &mut piece, 0, &mut scratch, &mut out);
        cache.commit(count);
        y.extend(out);
        from += count;
    }
    y
}

/// The same sums written down plainly, in double precision.
fn plainly(heads: &AttentionHeads, rows: &[f32]) -> Vec<f64> {
    let (stride, size, group) = (
        heads.qkv_width(),
        heads.head_size,
        heads.query_heads / heads.kv_heads,
    );
    let rotary = RotaryTables::new(128, size, 10_000.0);
    let mut rows = rows.to_vec();
    for (position, row) in rows.chunks_exact_mut(stride).enumerate() {
        rotary.rotate(
            &mut row[..(heads.query_heads + heads.kv_heads) * size],
            position,
            false,
        );
    }
    let at = |row: usize, place: usize, i: usize| f64::from(rows[row * stride + place + i]);
    let mut y = Vec::new();
    for row in 0..rows.len() / stride {
        for head in 0..heads.query_heads {
            let key = (heads.query_heads + head / group) * size;
            let value = key + heads.kv_heads * size;
            let score = |past| {
                (0..size)
                    .map(|i| at(row, head * size, i) * at(past, key, i))
                    .sum::<f64>()
            };
            let masses: Vec<f64> = (0..=row)
                .map(|past| (score(past) / (size as f64).sqrt()).exp())
                .collect();
            let total: f64 = masses.iter().sum();
            y.extend((0..size).map(|i| {
                masses
                    .iter()
                    .enumerate()
                    .map(|(past, mass)| mass * at(past, value, i))
                    .sum::<f64>()
                    / total
            }));
        }
    }
    y
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Lengths that add up to `count`, from arbitrary numbers.
fn pieces(count: usize, cuts: &[usize]) -> Vec<usize> {
    let (mut rest, mut pieces) = (count, Vec::new());
    for cut in cuts.iter().cycle() {
        if rest == 0 {
            break;
        }
        let piece = (*cut).min(rest);
        pieces.push(piece);
        rest -= piece;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn sums_are_those_of_double_precision(shape in 0..SHAPES.len(), count in 1..80_usize, seed: u64) {
        let heads = heads(shape);
        let rows = rows(&heads, count, seed);
        let y = run(&heads, &mut KvCache::new(&heads, 2), &rows, &[count]);
        for (ours, real) in y.iter().zip(plainly(&heads, &rows)) {
            prop_assert!((f64::from(*ours) - real).abs() < 2e-5, "{ours} {real}");
        }
    }

    #[test]
    fn a_row_has_the_same_bits_however_its_sequence_was_cut(
        shape in 0..SHAPES.len(),
        count in 1..80_usize,
        cuts in prop::collection::vec(1..23_usize, 1..6),
        seed: u64,
    ) {
        let heads = heads(shape);
        let rows = rows(&heads, count, seed);
        let single = run(&heads, &mut KvCache::new(&heads, 2), &rows, &vec![1; count]);
        let cut = run(&heads, &mut KvCache::new(&heads, 2), &rows, &pieces(count, &cuts));
        prop_assert!(bits(&single) == bits(&cut));
    }

    #[test]
    fn a_beginning_goes_on_as_if_it_had_never_gone_on_otherwise(
        shape in 0..SHAPES.len(),
        [count, more] in [1..40_usize, 1..40_usize],
        share in 0.0..1.0,
        seed: u64,
    ) {
        let heads = heads(shape);
        let rows = rows(&heads, count + more, seed);
        let other = self::rows(&heads, more, seed ^ 1);
        let kept = (count as f64 * share) as usize;
        let mut long = KvCache::new(&heads, 2);
        run(&heads, &mut long, &rows, &[count]);
        let mut fork = long.prefix(kept);
        let from = kept * heads.qkv_width();
        // Both write into the block in which the beginning ends.
        let went_on = run(&heads, &mut long, &rows[count * heads.qkv_width()..], &[more]);
        let forked = run(&heads, &mut fork, &other, &[more]);
        let joined = [&rows[..from], &other[..]].concat();
        let alone = run(&heads, &mut KvCache::new(&heads, 2), &joined, &[kept + more]);
        prop_assert!(bits(&forked) == bits(&alone[kept * heads.query_width()..]));
        let whole = run(&heads, &mut KvCache::new(&heads, 2), &rows, &[count + more]);
        prop_assert!(bits(&went_on) == bits(&whole[count * heads.query_width()..]));
    }
}

#[test]
fn only_the_wanted_rows_are_written() {
    let heads = heads(0);
    let rotary = RotaryTables::new(128, heads.head_size, 10_000.0);
    let call = CachedAttention {
        heads: &heads,
        rotary: &rotary,
        layer: 0,
    };
    let rows = rows(&heads, 9, 3);
    let attended = |from: usize| {
        let mut cache = KvCache::new(&heads, 1);
        cache.reserve(9);
        let mut y = vec![0.0; (9 - from) * heads.query_width()];
        attend(
            call,
            &mut cache,
            &mut rows.clone(),
            from,
            &mut AttentionScratch::default(),
            &mut y,
        );
        bits(&y)
    };
    let all = attended(0);
    for from in 1..9 {
        assert!(
            attended(from) == all[from * heads.query_width()..],
            "from row {from}"
        );
    }
    assert!(attended(9).is_empty());
}
