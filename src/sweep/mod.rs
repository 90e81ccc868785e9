//! From an experiment to executed stages: its runs, the stages that they share, and their workers.
//!
//! How data flows: [`expand_experiment`] turns an experiment into cells; [`SweepPlan`] turns cells
//! into one graph of stages and finds the finished ones; [`run_sweep()`] has worker processes execute
//! the rest and records what happens. The same steps, repeated after any kill, end in the same
//! database.
//!
//! Only the coordinator opens the database; [`serve`] is the loop of a worker process.
//! [`DeviceProbe`] probes device drivers in processes that may crash. Must not know the
//! work of a stage, nor how progress is shown.

mod device_probe;
mod error;
mod event;
mod expand;
#[cfg(test)]
pub(crate) mod fixtures;
mod plan;
mod pool;
mod protocol;
mod queue;
mod recorder;
mod rescore;
mod run_sweep;
mod schedule;
mod worker;

pub use device_probe::DeviceProbe;
pub use error::SweepError;
pub use event::SweepEvent;
pub use expand::{SweepCell, expand_experiment};
pub use plan::{SweepPlan, SweepRun};
pub use pool::WorkerCommand;
pub use queue::forecast_seconds;
pub use rescore::{MissingScores, RescorePlan, RescoreTotals};
pub use run_sweep::{SweepOutcome, SweepSession, execute_graph, run_sweep};
pub use schedule::{ScheduleOutcome, StopSignal};
pub use worker::serve;
