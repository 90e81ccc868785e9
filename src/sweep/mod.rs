//! From an experiment to executed stages: which runs it stands for, what they share, who does
//! what when.
//!
//! How data flows: [`expand`] turns an experiment into cells; [`SweepPlan`] turns cells into one
//! graph of stages and knows what is finished; [`perform`] lets worker processes execute the rest
//! and writes down what happens. The same steps, repeated after any kill, end in the same database.
//!
//! The coordinator alone opens the database; [`serve`] is the other end, a worker's life. [`DeviceProbe`]
//! asks device drivers, in processes that may die of it. Must not know what a stage computes, nor how progress is shown.

mod axis;
mod device_probe;
mod error;
mod event;
mod expand;
#[cfg(test)]
mod fixtures;
mod plan;
mod pool;
mod protocol;
mod queue;
mod recorder;
mod rescore;
mod run_statuses;
mod run_sweep;
mod schedule;
mod stop_signal;
mod thread_allocation;
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
pub use schedule::ScheduleOutcome;
pub use stop_signal::StopSignal;
pub use worker::serve;
