//! The request to stop, which comes from outside while work goes on.
//!
//! Responsible for being asked from a signal handler or another thread. Must not know what stopping means.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Asked once, work stops at the next safe place; asked twice, at once.
#[derive(Debug, Default)]
pub struct StopSignal(AtomicUsize);

impl StopSignal {
    /// Asks for a stop, or for a quicker one.
    pub fn request(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// How often it was asked for.
    pub fn request_count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
