//! Small stage graphs for the tests of this module.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::{Key, Seed};
use crate::model::footprint::Footprint;
use crate::pipeline::{ResourceEstimate, StageGraph, StageKind, StageNode, TrainStage};

/// Stages from (label, labels of the inputs, expected seconds), inputs first.
pub fn stages(rows: &[(&str, &str, f64)]) -> Vec<StageNode> {
    rows.iter()
        .map(|&(label, inputs, estimate)| stage(label, inputs, estimate))
        .collect()
}

/// What a small run needs.
pub fn resource_estimate() -> ResourceEstimate {
    let sampling = Footprint {
        weights: 4 << 20,
        cache: 60 << 20,
        ..Footprint::default()
    };
    let training = Footprint {
        weights: 4 << 20,
        moments: 8 << 20,
        activations: 90 << 20,
        ..sampling
    };
    ResourceEstimate {
        backend: "flex".to_owned(),
        sampling,
        training: Some(training),
        checkpoint_bytes: 4 << 20,
    }
}

/// The same stages as a graph.
pub fn graph(stages: &[StageNode]) -> StageGraph {
    let mut graph = StageGraph::default();
    for stage in stages {
        graph.add(stage.clone());
    }
    graph
}

/// The expected seconds of all stages.
pub fn seconds(stages: &[StageNode]) -> BTreeMap<Key, f64> {
    stages
        .iter()
        .map(|stage| (stage.key.clone(), stage.estimated_seconds))
        .collect()
}

/// The key of the sample stage with this label.
pub fn key_for(label: &str) -> Key {
    Key::from_bytes(label.as_bytes())
}

fn stage(label: &str, inputs: &str, estimate: f64) -> StageNode {
    StageNode {
        key: key_for(label),
        kind: StageKind::Train,
        label: label.to_owned(),
        spec: TrainStage {
            start: key_for("start"),
            examples: Vec::new(),
            train: serde_json::from_value(json!({}))
                .expect("every setting of a training has a default"),
            seed: Seed(0),
            backend: "flex".to_owned(),
        }
        .into(),
        inputs: inputs.split_whitespace().map(key_for).collect(),
        estimated_seconds: estimate,
    }
}
