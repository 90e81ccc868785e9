//! What happens while stages are executed, as a watcher is told it.
//!
//! Responsible for naming everything that progress can be shown from. Must not know who watches, nor how
//! it is shown.

use std::collections::BTreeMap;

use crate::domain::{Event, Key};
use crate::pipeline::{Manifest, Stage};

/// What a watcher is told, while it happens.
#[derive(Clone, Debug)]
pub enum News<'a> {
    /// Work is about to begin.
    Begun {
        /// Every stage, inputs first.
        stages: &'a [Stage],
        /// Expected seconds of the stages that are to be executed.
        open: &'a BTreeMap<Key, f64>,
        /// Workers at a time.
        jobs: usize,
    },
    /// A worker has begun a stage.
    Started {
        /// The worker's seat, from 0.
        seat: usize,
        /// The stage.
        stage: &'a Stage,
    },
    /// A worker uses so many threads from now on.
    Threads {
        /// The worker's seat.
        seat: usize,
        /// How many.
        threads: usize,
    },
    /// Something happened inside a stage.
    Event {
        /// The worker's seat.
        seat: usize,
        /// The stage.
        stage: &'a Stage,
        /// What happened.
        event: Event,
    },
    /// A stage is finished.
    Finished {
        /// The worker's seat.
        seat: usize,
        /// The stage.
        stage: &'a Stage,
        /// What it left behind.
        manifest: &'a Manifest,
    },
    /// A stage that was published before the last sweep was killed is now in the ledger.
    TakenIn {
        /// The stage.
        stage: &'a Stage,
    },
    /// A stage has failed for good.
    Failed {
        /// The worker's seat, if one was at work.
        seat: Option<usize>,
        /// The stage.
        stage: &'a Stage,
        /// Why.
        reason: &'a str,
        /// How many stages cannot be executed because of it.
        lost: usize,
    },
    /// A worker has died; its stage is tried again, or fails with the next news.
    Died {
        /// The worker's seat.
        seat: usize,
        /// The stage.
        stage: &'a Stage,
        /// How it ended.
        reason: &'a str,
    },
    /// A stage was left unfinished on request.
    Interrupted {
        /// The worker's seat.
        seat: usize,
        /// The stage.
        stage: &'a Stage,
    },
    /// A stop was asked for.
    Stopping {
        /// Whether workers are killed rather than asked.
        at_once: bool,
    },
    /// Nothing happened for a while.
    Tick,
}
