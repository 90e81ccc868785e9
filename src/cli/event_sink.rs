//! Hands a sweep's news on: drawn for people, as JSON lines for machines.

use crate::sweep::SweepEvent;

use super::error::CliError;
use super::event_json;
use super::output::CliOutput;
use super::progress::SweepProgress;

/// Listens to a sweep.
pub struct EventSink {
    output: CliOutput,
    progress: Option<SweepProgress>,
    /// The first line that could not be written.
    write_error: Option<CliError>,
}

impl EventSink {
    /// A watcher that tells `output`.
    pub const fn new(output: CliOutput) -> Self {
        Self {
            output,
            progress: None,
            write_error: None,
        }
    }

    /// Hands on some news.
    pub fn on_event(&mut self, told: &SweepEvent<'_>) {
        if let SweepEvent::SweepStarted { stages, open, jobs } = told {
            self.progress = Some(SweepProgress::new(
                self.output,
                stages,
                (*open).clone(),
                *jobs,
            ));
        }
        if let Some(progress) = &mut self.progress {
            progress.on_event(told);
        }
        if self.write_error.is_none() {
            self.write_error = event_json::json_event(told)
                .and_then(|(reason, about)| self.output.print_event(reason, about).err());
        }
    }

    /// Clears the screen of what was drawn.
    ///
    /// # Errors
    /// If news could not be written.
    pub fn finish(self) -> Result<(), CliError> {
        if let Some(progress) = self.progress {
            progress.clear();
        }
        self.write_error.map_or(Ok(()), Err)
    }
}
