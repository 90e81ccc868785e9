//! Small stage graphs for the tests of `sweep` and `cli`.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::{Key, Seed};
use crate::model::footprint::Footprint;
use crate::pipeline::{
    ResourceEstimate, RunStages, StageGraph, StageKind, StageManifest, StageNode, TrainStage,
};

use super::{SweepCell, SweepRun};

/// Stages from (label, labels of the inputs, expected seconds), inputs first.
pub fn stages(rows: &[(&str, &str, f64)]) -> Vec<StageNode> {
    rows.iter()
        .map(|&(label, inputs, estimate)| {
            let inputs = inputs.split_whitespace().map(key_for).collect();
            stage(StageKind::Train, label, inputs, estimate)
        })
        .collect()
}

/// A small run with these stages.
pub fn sweep_run(cell: SweepCell, stages: Vec<Key>) -> SweepRun {
    SweepRun {
        key: key_for(&cell.label),
        cell,
        stages: RunStages {
            stages,
            checkpoints: vec![],
        },
        resources: resource_estimate(),
    }
}

fn resource_estimate() -> ResourceEstimate {
    let sampling = Footprint {
        weights: 4 << 20,
        cache: 60 << 20,
        ..Footprint::default()
    };
    let training = Footprint {
        weights: 4 << 20,
        moments: 8 << 20,
        activations: 90 << 20,
        ..Footprint::default()
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

/// The manifest of a finished stage.
pub fn manifest(key: &Key, seconds: f64) -> StageManifest {
    StageManifest {
        key: key.clone(),
        artifacts: Vec::new(),
        seconds,
        peak_bytes: None,
        counts: json!({}),
        origin: json!({}),
    }
}

/// A stage of any kind.
pub fn stage(kind: StageKind, label: &str, inputs: Vec<Key>, estimate: f64) -> StageNode {
    StageNode {
        key: key_for(label),
        kind,
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
        inputs,
        estimated_seconds: estimate,
    }
}
