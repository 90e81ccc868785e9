//! Ctrl-C and its kin: a request to stop while there is work, the end of the program afterwards.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sweep::Stop;

use super::exit::{Exit, Fault};

/// Listens for signals from the time it is made.
pub struct Interrupt {
    stop: Arc<Stop>,
    working: Arc<AtomicBool>,
}

impl Interrupt {
    /// Begins to listen; once in a process.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn listen() -> Result<Self, Fault> {
        let interrupt = Self {
            stop: Arc::default(),
            working: Arc::new(AtomicBool::new(true)),
        };
        let (stop, working) = (Arc::clone(&interrupt.stop), Arc::clone(&interrupt.working));
        ctrlc::set_handler(move || {
            if working.load(Ordering::SeqCst) {
                stop.ask();
            } else {
                process::exit(i32::from(Exit::Interrupted as u8));
            }
        })
        .map_err(|error| Fault::new(Exit::Bug, error))?;
        Ok(interrupt)
    }

    /// How the work is told.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The work that can be resumed is over: from now on a signal ends the program.
    pub fn release(&self) {
        self.working.store(false, Ordering::SeqCst);
    }
}
