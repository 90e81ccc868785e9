//! How the cores of a sweep are divided between the stages that are being executed.
//!
//! A plain rule without processes or clocks. Must not know what a stage does with its threads, nor
//! how a worker is told of them.

use std::cmp::Reverse;

/// Threads for the stage in every slot, 0 for an empty slot: each stage gets one, and what is left
/// of `thread_allocation` because nothing else is ready is dealt out evenly, the first of it to the stage with
/// the longest path behind it. `paths` holds the milliseconds of that path for every busy slot.
///
/// The sum is never above `thread_allocation`, unless there are more stages than that.
#[must_use]
pub fn allocate_threads(cores: usize, paths: &[Option<u64>]) -> Vec<usize> {
    let mut busy: Vec<(Reverse<u64>, usize)> = (0..)
        .zip(paths)
        .filter_map(|(slot, path)| Some((Reverse((*path)?), slot)))
        .collect();
    busy.sort_unstable();
    let mut threads = vec![0; paths.len()];
    for (rank, &(_, slot)) in busy.iter().enumerate() {
        let (each, over) = (cores / busy.len(), cores % busy.len());
        threads[slot] = (each + usize::from(rank < over)).max(1);
    }
    threads
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lone_stage_gets_every_core() {
        assert_eq!(allocate_threads(2, &[None, Some(5)]), [0, 2]);
        assert_eq!(allocate_threads(8, &[Some(0)]), [8]);
        assert_eq!(allocate_threads(1, &[Some(5)]), [1]);
    }

    #[test]
    fn a_full_house_gets_one_each() {
        assert_eq!(allocate_threads(2, &[Some(5), Some(9)]), [1, 1]);
    }

    #[test]
    fn what_is_left_goes_to_the_longest_path_and_of_equals_to_the_first_seat() {
        assert_eq!(allocate_threads(3, &[Some(5), Some(9), None]), [1, 2, 0]);
        assert_eq!(allocate_threads(8, &[Some(1), Some(7), Some(7)]), [2, 3, 3]);
        assert_eq!(allocate_threads(4, &[Some(7), Some(7), Some(7)]), [2, 1, 1]);
    }

    #[test]
    fn nobody_is_nobody() {
        assert_eq!(allocate_threads(4, &[None, None]), [0, 0]);
        assert!(allocate_threads(4, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn every_core_is_given_once_and_every_stage_gets_one(
            cores in 1..20_usize,
            paths in prop::collection::vec(prop::option::of(0..9_u64), 0..20),
        ) {
            let busy = paths.iter().flatten().count();
            let threads = allocate_threads(cores, &paths);
            let given: usize = threads.iter().sum();
            prop_assert_eq!(given, if busy == 0 { 0 } else { cores.max(busy) });
            prop_assert!(paths.iter().zip(&threads).all(|(path, &threads)| path.is_some() == (threads > 0)));
        }
    }
}
