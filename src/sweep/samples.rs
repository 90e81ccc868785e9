//! Small stage graphs for the tests of this module.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::{Key, Seed};
use crate::pipeline::{Footprint, Graph, Job, Kind, Needs, Stage};

/// Stages from (label, labels of the inputs, expected seconds), inputs first.
pub fn stages(rows: &[(&str, &str, f64)]) -> Vec<Stage> {
    rows.iter()
        .map(|&(label, inputs, estimate)| stage(label, inputs, estimate))
        .collect()
}

/// What a small run needs.
pub fn needs() -> Needs {
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
    Needs {
        backend: "flex".to_owned(),
        sampling,
        training: Some(training),
        checkpoint: 4 << 20,
    }
}

/// The same stages as a graph.
pub fn graph(stages: &[Stage]) -> Graph {
    let mut graph = Graph::default();
    for stage in stages {
        graph.add(stage.clone());
    }
    graph
}

/// The expected seconds of all stages.
pub fn seconds(stages: &[Stage]) -> BTreeMap<Key, f64> {
    stages
        .iter()
        .map(|stage| (stage.key.clone(), stage.estimate))
        .collect()
}

/// The key of the sample stage with this label.
pub fn key(label: &str) -> Key {
    Key::of_bytes(label.as_bytes())
}

fn stage(label: &str, inputs: &str, estimate: f64) -> Stage {
    Stage {
        key: key(label),
        kind: Kind::Train,
        label: label.to_owned(),
        job: Job::Train {
            start: key("start"),
            examples: Vec::new(),
            train: serde_json::from_value(json!({}))
                .expect("every setting of a training has a default"),
            seed: Seed(0),
            backend: "flex".to_owned(),
        },
        inputs: inputs.split_whitespace().map(key).collect(),
        estimate,
    }
}
