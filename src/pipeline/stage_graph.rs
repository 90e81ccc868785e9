//! All runs' stages in one graph, which holds a shared stage once.

use std::collections::BTreeMap;

use crate::domain::Key;

use super::stage_node::StageNode;

/// The stages of one run.
#[derive(Clone, Debug, Default)]
pub struct RunStages {
    /// Its stages in the order of the algorithm, shared ones included.
    pub stages: Vec<Key>,
    /// Its evaluated checkpoints, in the same order.
    pub checkpoints: Vec<ScoredCheckpoint>,
}

/// A checkpoint and the source of its scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoredCheckpoint {
    /// Its name in reports, e.g. `round 2`.
    pub name: String,
    /// The stage with its weights.
    pub weights: Key,
    /// The stage with its scores.
    pub evaluation: Key,
}

/// Distinct stages in an order in which every stage comes after its inputs.
#[derive(Clone, Debug, Default)]
pub struct StageGraph {
    stages: Vec<StageNode>,
    index_by_key: BTreeMap<Key, usize>,
}

impl StageGraph {
    /// Adds a stage unless an equal one is there, and returns its key.
    pub fn add(&mut self, stage: StageNode) -> Key {
        let key = stage.key.clone();
        if !self.index_by_key.contains_key(&key) {
            self.index_by_key.insert(key.clone(), self.stages.len());
            self.stages.push(stage);
        }
        key
    }

    /// Every stage, inputs first.
    #[must_use]
    pub fn stages(&self) -> &[StageNode] {
        &self.stages
    }

    /// The stage with this key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&StageNode> {
        self.index_by_key.get(key).map(|&index| &self.stages[index])
    }
}
