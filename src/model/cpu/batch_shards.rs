//! How a ragged batch is cut for the fused kernels.
//!
//! A *shard* is a few whole sequences whose activations stay in a core's own cache while a block
//! works on them. A *group* is several shards whose weight gradients are added up in one place;
//! groups are what threads work on. The cut follows from the lengths alone, so that sums are taken
//! in the same order on any number of threads.

use std::ops::{Range, RangeInclusive};

/// Rows of a shard, about: few enough that its activations stay in a core's cache, but more where
/// the weights are large, since each shard reads them all.
const SHARD_ROWS: RangeInclusive<usize> = 192..=1024;
/// Parameters for which a shard has one more row.
const PARAMETERS_PER_SHARD_ROW: usize = 4096;
/// Rows of a group at least: adding up its gradients must cost little compared to computing them.
const MIN_GROUP_ROWS: usize = 1024;
/// Parameters for which a group has one more row: their gradients are held once per group.
const PARAMETERS_PER_GROUP_ROW: usize = 1 << 15;
/// The most groups of a batch, and so the most threads that can share a backward pass.
const MAX_GROUPS: usize = 16;

/// Consecutive sequences that are worked on together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchShard {
    /// Which sequences.
    pub sequences: Range<usize>,
    /// Which rows of the batch.
    pub rows: Range<usize>,
}

/// The groups of a batch, and the shards of each, in order, for a network with this number of parameters.
#[must_use]
pub fn shard_groups(lengths: &[usize], parameters: usize) -> Vec<Vec<BatchShard>> {
    let whole = BatchShard {
        sequences: 0..lengths.len(),
        rows: 0..lengths.iter().sum(),
    };
    let group = MIN_GROUP_ROWS.max(parameters / PARAMETERS_PER_GROUP_ROW);
    // Two from one and a half on: two threads are worth two small groups.
    let least = if 2 * whole.rows.len() >= 3 * group {
        2
    } else {
        1
    };
    let count = (whole.rows.len() / group).clamp(least, MAX_GROUPS);
    // A power of two divides evenly among two, four or eight threads.
    let count = 1 << count.ilog2();
    let size =
        (parameters / PARAMETERS_PER_SHARD_ROW).clamp(*SHARD_ROWS.start(), *SHARD_ROWS.end());
    split_shard(&whole, count, lengths)
        .into_iter()
        .map(|group| split_shard(&group, group.rows.len().div_ceil(size), lengths))
        .collect()
}

/// Cuts between sequences into at most `count` parts of about equal rows.
fn split_shard(whole: &BatchShard, count: usize, lengths: &[usize]) -> Vec<BatchShard> {
    let mut parts: Vec<BatchShard> = Vec::with_capacity(count);
    let mut row = whole.rows.start;
    let mut last = usize::MAX;
    for sequence in whole.sequences.clone() {
        let middle = 2 * (row - whole.rows.start) + lengths[sequence];
        let part = (middle * count / (2 * whole.rows.len()).max(1)).min(count - 1);
        let next = row + lengths[sequence];
        match parts.last_mut() {
            Some(open) if part == last => {
                open.sequences.end = sequence + 1;
                open.rows.end = next;
            }
            _ => parts.push(BatchShard {
                sequences: sequence..sequence + 1,
                rows: row..next,
            }),
        }
        (row, last) = (next, part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sixty_four_sequences_make_four_groups() {
        let small = shard_groups(&[96; 64], 0);
        let rows: Vec<Vec<usize>> = small
            .iter()
            .map(|group| group.iter().map(|shard| shard.rows.len()).collect())
            .collect();
        assert_eq!(rows, vec![vec![192; 8]; 4]);
        let large = shard_groups(&[96; 64], 200 << 20);
        assert_eq!((large.len(), large[0].len()), (1, 6));
    }

    #[test]
    fn small_batches_are_one_shard_and_long_sequences_stay_whole() {
        let counts = [1535, 1536, 4095, 4096].map(|rows| shard_groups(&vec![1; rows], 0).len());
        assert_eq!(counts, [1, 2, 2, 4]);
        assert_eq!(
            shard_groups(&[3, 4], 0),
            [[BatchShard {
                sequences: 0..2,
                rows: 0..7
            }]]
        );
        assert_eq!(
            shard_groups(&[2000], 0),
            [[BatchShard {
                sequences: 0..1,
                rows: 0..2000
            }]]
        );
        assert!(shard_groups(&[], 0).is_empty());
    }

    proptest! {
        #[test]
        fn every_sequence_is_in_one_shard_in_order(
            lengths in proptest::collection::vec(0_usize..700, 0..90),
        ) {
            let (mut sequence, mut row) = (0, 0);
            for shard in shard_groups(&lengths, 0).into_iter().flatten() {
                prop_assert_eq!((shard.sequences.start, shard.rows.start), (sequence, row));
                prop_assert!(!shard.sequences.is_empty());
                let rows: usize = lengths[shard.sequences.clone()].iter().sum();
                prop_assert_eq!(rows, shard.rows.len());
                (sequence, row) = (shard.sequences.end, shard.rows.end);
            }
            prop_assert_eq!((sequence, row), (lengths.len(), lengths.iter().sum::<usize>()));
        }
    }
}
