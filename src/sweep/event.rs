//! The events of a sweep, for progress displays.

use std::collections::BTreeMap;

use crate::domain::{Key, StageEvent};
use crate::pipeline::{StageManifest, StageNode};

/// An event of a sweep.
#[derive(Clone, Debug)]
pub enum SweepEvent<'a> {
    /// The sweep starts.
    SweepStarted {
        /// Every stage, inputs first.
        stages: &'a [StageNode],
        /// Expected seconds of the stages to execute.
        open: &'a BTreeMap<Key, f64>,
        /// The number of workers.
        jobs: usize,
    },
    /// A worker has started a stage.
    StageStarted {
        /// The worker's slot, from 0.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
    },
    /// A worker uses another number of threads from now on.
    ThreadsChanged {
        /// The worker's slot.
        slot: usize,
        /// The number of threads.
        threads: usize,
    },
    /// Something happened inside a stage.
    StageEvent {
        /// The worker's slot.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
        /// The event.
        event: StageEvent,
    },
    /// A stage is finished.
    StageFinished {
        /// The worker's slot.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
        /// Its files and counts.
        manifest: &'a StageManifest,
    },
    /// A stage that a killed sweep published is now recorded.
    StageAdopted {
        /// The stage.
        stage: &'a StageNode,
    },
    /// A stage has failed for good.
    StageFailed {
        /// The worker's slot, if a worker had it.
        slot: Option<usize>,
        /// The stage.
        stage: &'a StageNode,
        /// Why.
        reason: &'a str,
        /// The number of stages that depend on it and are skipped.
        lost: usize,
    },
    /// A worker has died; its stage is retried, or fails with the next event.
    WorkerDied {
        /// The worker's slot.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
        /// How it ended.
        reason: &'a str,
    },
    /// A stage was stopped on request and is unfinished.
    StageInterrupted {
        /// The worker's slot.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
    },
    /// A stop was requested.
    StopRequested {
        /// Whether workers are killed.
        at_once: bool,
    },
    /// Nothing happened for a while.
    Tick,
}
