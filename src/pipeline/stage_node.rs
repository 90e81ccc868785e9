//! One node of the graph of work: a job, the stages it reads, and the key made of both.
//!
//! Paths, devices and worker counts are never part of a key. Must not know how jobs are done.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::Key;

use super::{StageKind, StageSpec};

/// One node of the graph of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageNode {
    /// Its identity.
    pub key: Key,
    /// What kind of work it is.
    pub kind: StageKind,
    /// Readable name, e.g. `train weak round 2`.
    pub label: String,
    /// What to do.
    #[serde(rename = "job")]
    pub spec: StageSpec,
    /// The stages whose files it reads.
    pub inputs: Vec<Key>,
    /// Expected seconds on one core of a laptop; only for plans and progress.
    #[serde(rename = "estimate")]
    pub estimated_seconds: f64,
}

impl StageNode {
    /// A stage with the key of its job; `content` replaces what must not enter the key as it
    /// stands (a path by the hash of what lies there).
    #[must_use]
    pub fn new(
        kind: StageKind,
        label: String,
        job: StageSpec,
        inputs: Vec<Key>,
        content: &Value,
        estimate: f64,
    ) -> Self {
        let key = Key::from_value(&json!({
            "kind": kind,
            "version": kind.version(),
            "content": content,
            "inputs": inputs,
        }));
        Self {
            key,
            kind,
            label,
            spec: job,
            inputs,
            estimated_seconds: estimate,
        }
    }
}
