//! Which stage comes next: inputs before dependants, the longest remaining path first.
//!
//! A plain value without processes or clocks, used alike by the schedule and by forecasts of its
//! time. Hides how readiness is tracked; must not know what a stage does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::domain::Key;
use crate::pipeline::StageNode;

/// The stages that are still to be executed, by their place in the graph's list.
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
    /// The open stages among `stages` (inputs first), which are those that have an entry in
    /// `seconds`: the time that each is expected to take.
    #[must_use]
    pub fn new(stages: &[StageNode], seconds: &BTreeMap<Key, f64>) -> Self {
        let places: BTreeMap<&Key, usize> = stages
            .iter()
            .enumerate()
            .map(|(place, stage)| (&stage.key, place))
            .collect();
        let mut queue = Self {
            dependants: vec![Vec::new(); stages.len()],
            open_inputs: vec![None; stages.len()],
            longest_path_ms: vec![0; stages.len()],
            ready: BTreeSet::new(),
        };
        for (place, stage) in stages
            .iter()
            .enumerate()
            .filter(|(_, stage)| seconds.contains_key(&stage.key))
        {
            let inputs: BTreeSet<usize> = stage
                .inputs
                .iter()
                .filter_map(|input| places.get(input).copied())
                .collect();
            let open = inputs
                .iter()
                .filter(|&&input| seconds.contains_key(&stages[input].key))
                .count();
            queue.open_inputs[place] = Some(open);
            for input in inputs {
                queue.dependants[input].push(place);
            }
        }
        for (place, stage) in stages.iter().enumerate().rev() {
            let own = seconds
                .get(&stage.key)
                .map_or(0, |&seconds| (seconds.max(0.0) * 1e3) as u64);
            let after = queue.dependants[place]
                .iter()
                .map(|&next| queue.longest_path_ms[next])
                .max()
                .unwrap_or(0);
            queue.longest_path_ms[place] = own + after;
        }
        for place in 0..stages.len() {
            queue.push_if_ready(place);
        }
        queue
    }

    /// Takes the ready stage with the longest path behind it.
    ///
    /// Named unlike an iterator's method because stages become ready between two calls.
    pub fn pop(&mut self) -> Option<usize> {
        self.ready.pop_first().map(|(_, place)| place)
    }

    /// Milliseconds of the longest path that begins with a stage.
    #[must_use]
    pub fn longest_path_ms(&self, place: usize) -> u64 {
        self.longest_path_ms[place]
    }

    /// Gives back a stage that was taken and not finished.
    pub fn put_back(&mut self, place: usize) {
        self.push_if_ready(place);
    }

    /// Takes note that a stage is finished, which may make its dependants ready.
    pub fn mark_finished(&mut self, place: usize) {
        self.open_inputs[place] = None;
        for dependant in self.dependants[place].clone() {
            if let Some(waits) = &mut self.open_inputs[dependant] {
                *waits -= 1;
                self.push_if_ready(dependant);
            }
        }
    }

    /// Gives up a stage and all that depends on it; returns the latter, inputs first.
    pub fn mark_failed(&mut self, place: usize) -> Vec<usize> {
        let mut lost = BTreeSet::new();
        let mut open = vec![place];
        while let Some(place) = open.pop() {
            self.open_inputs[place] = None;
            self.ready
                .remove(&(Reverse(self.longest_path_ms[place]), place));
            open.extend(
                self.dependants[place]
                    .iter()
                    .copied()
                    .filter(|&next| lost.insert(next)),
            );
        }
        lost.into_iter().collect()
    }

    /// How many stages are neither finished nor given up.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open_inputs.iter().flatten().count()
    }

    fn push_if_ready(&mut self, place: usize) {
        if self.open_inputs[place] == Some(0) {
            self.ready
                .insert((Reverse(self.longest_path_ms[place]), place));
        }
    }
}

/// Seconds until all stages in `seconds` are finished by `jobs` workers that follow a `StageQueue`.
#[must_use]
pub fn forecast_seconds(stages: &[StageNode], seconds: &BTreeMap<Key, f64>, jobs: usize) -> f64 {
    let mut queue = StageQueue::new(stages, seconds);
    let mut busy = BinaryHeap::new();
    let mut now = 0_u64;
    loop {
        while busy.len() < jobs.max(1) {
            let Some(place) = queue.pop() else { break };
            let takes = (seconds[&stages[place].key].max(0.0) * 1e3) as u64;
            busy.push(Reverse((now + takes, place)));
        }
        let Some(Reverse((end, place))) = busy.pop() else {
            break;
        };
        now = end;
        queue.mark_finished(place);
    }
    now as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::fixtures::{seconds, stages};

    fn labels(stages: &[StageNode], places: &[usize]) -> String {
        places
            .iter()
            .map(|&place| stages[place].label.as_str())
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
}
