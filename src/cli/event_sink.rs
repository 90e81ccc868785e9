//! Shows the events of a sweep: as progress for people, as JSON lines for machines.

use crate::sweep::SweepEvent;

use super::error::CliError;
use super::event_json;
use super::output::CliOutput;
use super::progress::SweepProgress;

/// Receives the events of a sweep.
pub struct EventSink {
    output: CliOutput,
    progress: Option<SweepProgress>,
    /// The first line that could not be written.
    write_error: Option<CliError>,
}

impl EventSink {
    /// A sink that shows events on `output`.
    pub const fn new(output: CliOutput) -> Self {
        Self {
            output,
            progress: None,
            write_error: None,
        }
    }

    /// Shows an event.
    pub fn on_event(&mut self, event: &SweepEvent<'_>) {
        if let SweepEvent::SweepStarted { stages, open, jobs } = event {
            self.progress = Some(SweepProgress::new(
                self.output,
                stages,
                (*open).clone(),
                *jobs,
            ));
        }
        if let Some(progress) = &mut self.progress {
            progress.on_event(event);
        }
        if self.write_error.is_none() {
            self.write_error = event_json::json_event(event)
                .and_then(|(reason, fields)| self.output.print_event(reason, fields).err());
        }
    }

    /// Removes the progress from the screen.
    ///
    /// # Errors
    /// If an event could not be written.
    pub fn finish(self) -> Result<(), CliError> {
        if let Some(progress) = self.progress {
            progress.clear();
        }
        self.write_error.map_or(Ok(()), Err)
    }
}
