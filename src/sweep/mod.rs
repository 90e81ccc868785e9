//! From an experiment to executed stages: which runs it stands for, what they share, who does
//! what when.
//!
//! How data flows: [`expand`] turns an experiment into cells; [`SweepPlan`] turns cells into one
//! graph of stages and knows what is finished; [`perform`] lets worker processes execute the rest
//! and writes down what happens. The same steps, repeated after any kill, end in the same database.
//!
//! The coordinator alone opens the database; [`serve`] is the other end, a worker's life. [`Drivers`]
//! asks device drivers, in processes that may die of it. Must not know what a stage computes, nor how progress is shown.

mod axis;
mod cores;
mod drivers;
mod error;
mod expand;
mod ledger;
mod news;
mod perform;
mod plan;
mod pool;
mod protocol;
mod queue;
mod rescore;
mod runs;
#[cfg(test)]
mod samples;
mod schedule;
mod stop;
mod worker;

pub use drivers::Drivers;
pub use error::SweepError;
pub use expand::{Cell, expand};
pub use news::News;
pub use perform::{Performed, Session, build, perform};
pub use plan::{PlannedCell, SweepPlan};
pub use pool::WorkerCommand;
pub use queue::forecast;
pub use rescore::{Lack, Rescoring, Sum};
pub use schedule::Outcome;
pub use stop::Stop;
pub use worker::serve;
