//! Decides which stage comes next and how many threads it gets, without processes or clocks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::domain::Key;
use crate::pipeline::StageNode;

/// The unfinished stages, by their index in the graph's list.
#[derive(Clone, Debug)]
pub struct StageQueue {
    dependants: Vec<Vec<usize>>,
    /// Unfinished inputs of each open stage; none for stages that are not open.
    open_inputs: Vec<Option<usize>>,
    /// Milliseconds of the longest path that begins with a stage.
    longest_path_ms: Vec<u64>,
    ready: BTreeSet<(Reverse<u64>, usize)>,
}

impl StageQueue {
    /// A queue of the stages (inputs first) that have an entry in `seconds`, their expected time.
    #[must_use]
    pub fn new(stages: &[StageNode], seconds: &BTreeMap<Key, f64>) -> Self {
        let indices: BTreeMap<&Key, usize> = stages
            .iter()
            .enumerate()
            .map(|(index, stage)| (&stage.key, index))
            .collect();
        let mut queue = Self {
            dependants: vec![Vec::new(); stages.len()],
            open_inputs: vec![None; stages.len()],
            longest_path_ms: vec![0; stages.len()],
            ready: BTreeSet::new(),
        };
        for (index, stage) in stages.iter().enumerate() {
            if !seconds.contains_key(&stage.key) {
                continue;
            }
            let inputs: BTreeSet<usize> = stage
                .inputs
                .iter()
                .filter_map(|input| indices.get(input).copied())
                .collect();
            let open = inputs
                .iter()
                .filter(|&&input| seconds.contains_key(&stages[input].key));
            queue.open_inputs[index] = Some(open.count());
            for input in inputs {
                queue.dependants[input].push(index);
            }
        }
        for (index, stage) in stages.iter().enumerate().rev() {
            let dependants = queue.dependants[index].iter();
            let after = dependants.map(|&next| queue.longest_path_ms[next]).max();
            queue.longest_path_ms[index] = milliseconds(stage, seconds) + after.unwrap_or(0);
        }
        for index in 0..stages.len() {
            queue.push_if_ready(index);
        }
        queue
    }

    /// Takes the ready stage with the longest path behind it.
    ///
    /// Named unlike an iterator's method because stages become ready between two calls.
    pub fn pop(&mut self) -> Option<usize> {
        self.ready.pop_first().map(|(_, index)| index)
    }

    /// Milliseconds of the longest path that begins with a stage.
    #[must_use]
    pub fn longest_path_ms(&self, index: usize) -> u64 {
        self.longest_path_ms[index]
    }

    /// Returns a stage that was taken and not finished.
    pub fn put_back(&mut self, index: usize) {
        self.push_if_ready(index);
    }

    /// Marks a stage as finished, which may make its dependants ready.
    pub fn mark_finished(&mut self, index: usize) {
        self.open_inputs[index] = None;
        for dependant in self.dependants[index].clone() {
            if let Some(waits) = &mut self.open_inputs[dependant] {
                *waits -= 1;
                self.push_if_ready(dependant);
            }
        }
    }

    /// Gives up a stage and all its dependants; returns the dependants, inputs first.
    pub fn mark_failed(&mut self, index: usize) -> Vec<usize> {
        let mut lost = BTreeSet::new();
        let mut open = vec![index];
        while let Some(index) = open.pop() {
            self.open_inputs[index] = None;
            self.ready
                .remove(&(Reverse(self.longest_path_ms[index]), index));
            open.extend(
                self.dependants[index]
                    .iter()
                    .copied()
                    .filter(|&next| lost.insert(next)),
            );
        }
        lost.into_iter().collect()
    }

    /// The number of stages that are neither finished nor given up.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open_inputs.iter().flatten().count()
    }

    fn push_if_ready(&mut self, index: usize) {
        if self.open_inputs[index] == Some(0) {
            self.ready
                .insert((Reverse(self.longest_path_ms[index]), index));
        }
    }
}

/// The expected time of a stage; 0 if it is not open.
fn milliseconds(stage: &StageNode, seconds: &BTreeMap<Key, f64>) -> u64 {
    let seconds = seconds.get(&stage.key).copied().unwrap_or(0.0);
    (seconds.max(0.0) * 1e3) as u64
}

/// Seconds until all stages in `seconds` are finished by `jobs` workers that follow a `StageQueue`.
#[must_use]
pub fn forecast_seconds(stages: &[StageNode], seconds: &BTreeMap<Key, f64>, jobs: usize) -> f64 {
    let mut queue = StageQueue::new(stages, seconds);
    let mut busy = BinaryHeap::new();
    let mut now = 0_u64;
    loop {
        while busy.len() < jobs.max(1) {
            let Some(index) = queue.pop() else { break };
            busy.push(Reverse((
                now + milliseconds(&stages[index], seconds),
                index,
            )));
        }
        let Some(Reverse((end, index))) = busy.pop() else {
            break;
        };
        now = end;
        queue.mark_finished(index);
    }
    now as f64 / 1e3
}

/// Threads for the stage in every slot, 0 for an empty slot: one each, and the remaining `cores`
/// evenly, the first to the stage with the longest path behind it.
///
/// `paths` holds the milliseconds of that path for every busy slot. The sum never exceeds `cores`
/// unless there are more stages than cores.
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
    use crate::sweep::fixtures::{seconds, stages};

    fn labels(stages: &[StageNode], indices: &[usize]) -> String {
        indices
            .iter()
            .map(|&index| stages[index].label.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_stage_waits_for_its_inputs_and_long_paths_go_first() {
        let stages = stages(&[
            ("a", "", 1.0),
            ("short", "a", 2.0),
            ("long", "a", 1.0),
            ("end", "long", 9.0),
        ]);
        let mut queue = StageQueue::new(&stages, &seconds(&stages));
        let first = queue.pop().unwrap();
        assert_eq!(queue.pop(), None);
        queue.mark_finished(first);
        let rest: Vec<usize> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(labels(&stages, &rest), "long short");
        assert_eq!(queue.open_count(), 3);
    }

    #[test]
    fn an_input_that_is_there_already_is_not_waited_for() {
        let stages = stages(&[("a", "", 1.0), ("b", "a", 2.0)]);
        let mut open = seconds(&stages);
        open.remove(&stages[0].key);
        assert_eq!(StageQueue::new(&stages, &open).pop(), Some(1));
    }

    #[test]
    fn a_failure_takes_along_what_depends_on_it_and_nothing_else() {
        let stages = stages(&[
            ("a", "", 1.0),
            ("b", "a", 1.0),
            ("c", "b", 1.0),
            ("d", "", 1.0),
        ]);
        let mut queue = StageQueue::new(&stages, &seconds(&stages));
        assert_eq!(queue.pop(), Some(0));
        assert_eq!(labels(&stages, &queue.mark_failed(0)), "b c");
        assert_eq!(queue.pop(), Some(3));
        assert_eq!(queue.open_count(), 1);
    }

    #[test]
    fn a_failure_of_what_is_there_already_takes_along_its_dependants_too() {
        let stages = stages(&[("a", "", 1.0), ("b", "a", 1.0)]);
        let mut open = seconds(&stages);
        open.remove(&stages[0].key);
        let mut queue = StageQueue::new(&stages, &open);
        assert_eq!(queue.mark_failed(0), [1]);
        assert_eq!((queue.open_count(), queue.pop()), (0, None));
    }

    #[test]
    fn a_stage_given_back_is_offered_again() {
        let stages = stages(&[("a", "", 1.0)]);
        let mut queue = StageQueue::new(&stages, &seconds(&stages));
        queue.pop().unwrap();
        queue.put_back(0);
        assert_eq!(queue.pop(), Some(0));
    }

    #[test]
    fn the_forecast_overlaps_what_can_overlap() {
        let stages = stages(&[
            ("a", "", 2.0),
            ("b", "a", 3.0),
            ("c", "a", 4.0),
            ("d", "b c", 1.0),
        ]);
        let seconds = seconds(&stages);
        assert!((forecast_seconds(&stages, &seconds, 1) - 10.0).abs() < 1e-9);
        assert!((forecast_seconds(&stages, &seconds, 2) - 7.0).abs() < 1e-9);
        assert!((forecast_seconds(&stages, &seconds, 8) - 7.0).abs() < 1e-9);
        assert!(forecast_seconds(&stages, &BTreeMap::new(), 2).abs() < 1e-9);
    }

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
