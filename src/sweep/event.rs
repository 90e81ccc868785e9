//! What happens while stages are executed, as a watcher is told it.
//!
//! Responsible for naming everything that progress can be shown from. Must not know who watches, nor how
//! it is shown.

use std::collections::BTreeMap;

use crate::domain::{Key, StageEvent};
use crate::pipeline::{StageManifest, StageNode};

/// What a watcher is told, while it happens.
#[derive(Clone, Debug)]
pub enum SweepEvent<'a> {
    /// Work is about to begin.
    SweepStarted {
        /// Every stage, inputs first.
        stages: &'a [StageNode],
        /// Expected seconds of the stages that are to be executed.
        open: &'a BTreeMap<Key, f64>,
        /// Workers at a time.
        jobs: usize,
    },
    /// A worker has begun a stage.
    StageStarted {
        /// The worker's slot, from 0.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
    },
    /// A worker uses so many threads from now on.
    ThreadsChanged {
        /// The worker's slot.
        slot: usize,
        /// How many.
        threads: usize,
    },
    /// Something happened inside a stage.
    StageEvent {
        /// The worker's slot.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
        /// What happened.
        event: StageEvent,
    },
    /// A stage is finished.
    StageFinished {
        /// The worker's slot.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
        /// What it left behind.
        manifest: &'a StageManifest,
    },
    /// A stage that was published before the last sweep was killed is now in the ledger.
    StageAdopted {
        /// The stage.
        stage: &'a StageNode,
    },
    /// A stage has failed for good.
    StageFailed {
        /// The worker's slot, if one was at work.
        slot: Option<usize>,
        /// The stage.
        stage: &'a StageNode,
        /// Why.
        reason: &'a str,
        /// How many stages cannot be executed because of it.
        lost: usize,
    },
    /// A worker has died; its stage is tried again, or fails with the next news.
    WorkerDied {
        /// The worker's slot.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
        /// How it ended.
        reason: &'a str,
    },
    /// A stage was left unfinished on request.
    StageInterrupted {
        /// The worker's slot.
        slot: usize,
        /// The stage.
        stage: &'a StageNode,
    },
    /// A stop was asked for.
    StopRequested {
        /// Whether workers are killed rather than asked.
        at_once: bool,
    },
    /// Nothing happened for a while.
    Tick,
}
