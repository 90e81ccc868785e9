//! Handles Ctrl-C: it stops a sweep, and ends the program afterwards.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sweep::StopSignal;

use super::error::{CliError, ExitReason};

/// Handles signals as soon as it is installed.
pub struct InterruptHandler {
    stop_signal: Arc<StopSignal>,
    is_working: Arc<AtomicBool>,
}

impl InterruptHandler {
    /// Installs the handler; once per process.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn install() -> Result<Self, CliError> {
        let interrupt = Self {
            stop_signal: Arc::default(),
            is_working: Arc::new(AtomicBool::new(true)),
        };
        let (stop, working) = (
            Arc::clone(&interrupt.stop_signal),
            Arc::clone(&interrupt.is_working),
        );
        ctrlc::set_handler(move || {
            if working.load(Ordering::SeqCst) {
                stop.request();
            } else {
                process::exit(i32::from(ExitReason::Interrupted as u8));
            }
        })
        .map_err(|error| CliError::new(ExitReason::Bug, error))?;
        Ok(interrupt)
    }

    /// The signal that stops the work.
    pub fn stop_signal(&self) -> &StopSignal {
        &self.stop_signal
    }

    /// Ends the resumable work: from now on a signal ends the program.
    pub fn disarm(&self) {
        self.is_working.store(false, Ordering::SeqCst);
    }
}
