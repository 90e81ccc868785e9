//! All runs' stages in one graph; a stage that several runs ask for is there once.

use std::collections::BTreeMap;

use crate::domain::Key;

use super::StageNode;

/// The stages that one run stands for.
#[derive(Clone, Debug, Default)]
pub struct RunStages {
    /// Its stages in the order of the algorithm, shared ones included.
    pub stages: Vec<Key>,
    /// Evaluated checkpoints: (name, stage of the weights, stage of the evaluation).
    pub checkpoints: Vec<(String, Key, Key)>,
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
        self.index_by_key.get(key).map(|&place| &self.stages[place])
    }
}
