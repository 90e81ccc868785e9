//! Events that long work reports to its observer.

use serde::{Deserialize, Serialize};

/// One value of a named series at a step: a training curve or a counter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricPoint {
    /// Name of the series, e.g. `loss`.
    pub series: String,
    /// Position in the series, e.g. the optimizer step.
    pub step: u64,
    /// The value.
    pub value: f64,
}

/// Something that happened inside a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageEvent {
    /// How far the stage is.
    Progress {
        /// Units done so far.
        done: u64,
        /// Units in all.
        total: u64,
        /// The unit in the plural, e.g. `steps` or `problems`.
        unit: String,
        /// Tokens trained on or sampled so far, in this process.
        tokens: u64,
        /// The latest training loss, where there is one.
        loss: Option<f64>,
    },
    /// A value worth keeping with the run.
    Point(MetricPoint),
    /// Something a person should read.
    Note(String),
}

/// A listener to events, which may ask for a stop.
pub trait Observer {
    /// Takes notice of an event.
    fn on_event(&mut self, event: StageEvent);

    /// Whether the work should stop at the next safe place.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopObserver;

impl Observer for NoopObserver {
    fn on_event(&mut self, _: StageEvent) {}
}
