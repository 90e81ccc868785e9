//! Hands a sweep's news on: drawn for people, as JSON lines for machines.

use crate::sweep::News;

use super::exit::Fault;
use super::news;
use super::output::Output;
use super::progress::Progress;

/// Listens to a sweep.
pub struct Watcher {
    output: Output,
    progress: Option<Progress>,
    /// The first line that could not be written.
    unheard: Option<Fault>,
}

impl Watcher {
    /// A watcher that tells `output`.
    pub const fn new(output: Output) -> Self {
        Self {
            output,
            progress: None,
            unheard: None,
        }
    }

    /// Hands on some news.
    pub fn hear(&mut self, told: &News<'_>) {
        if let News::Begun { stages, open, jobs } = told {
            self.progress = Some(Progress::new(self.output, stages, (*open).clone(), *jobs));
        }
        if let Some(progress) = &mut self.progress {
            progress.show(told);
        }
        if self.unheard.is_none() {
            self.unheard =
                news::line(told).and_then(|(reason, about)| self.output.event(reason, about).err());
        }
    }

    /// Clears the screen of what was drawn.
    ///
    /// # Errors
    /// If news could not be written.
    pub fn end(self) -> Result<(), Fault> {
        if let Some(progress) = self.progress {
            progress.clear();
        }
        self.unheard.map_or(Ok(()), Err)
    }
}
