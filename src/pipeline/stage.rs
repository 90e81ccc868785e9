//! One node of the graph of work: a job, the stages it reads, and the key made of both.
//!
//! Paths, devices and worker counts are never part of a key. Must not know how jobs are done.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::Key;

use super::{Job, Kind};

/// One node of the graph of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its identity.
    pub key: Key,
    /// What kind of work it is.
    pub kind: Kind,
    /// Readable name, e.g. `train weak round 2`.
    pub label: String,
    /// What to do.
    pub job: Job,
    /// The stages whose files it reads.
    pub inputs: Vec<Key>,
    /// Expected seconds on one core of a laptop; only for plans and progress.
    pub estimate: f64,
}

impl Stage {
    /// A stage with the key of its job; `content` replaces what must not enter the key as it
    /// stands (a path by the hash of what lies there).
    #[must_use]
    pub fn new(
        kind: Kind,
        label: String,
        job: Job,
        inputs: Vec<Key>,
        content: &Value,
        estimate: f64,
    ) -> Self {
        let key = Key::of(&json!({
            "kind": kind,
            "version": kind.version(),
            "content": content,
            "inputs": inputs,
        }));
        Self {
            key,
            kind,
            label,
            job,
            inputs,
            estimate,
        }
    }
}
