//! The run database: what was asked for, what was done, what was said, what it came to.
//!
//! Responsible for one `SQLite` file in a store folder and for the rules about who may change what
//! in it (see `database.rs`). Hides SQL altogether: the rest of the program sees plain rows. Must
//! not know how a stage is executed, what its artifact files hold, or how anything is shown.

mod columns;
mod database;
mod episodes;
mod error;
mod experiments;
mod graders;
mod migrate;
mod query;
mod rows;
mod runs;
mod scores;
mod stages;
mod standing;

#[cfg(test)]
mod contract;

pub use database::{Reader, Store};
pub use error::StoreError;
pub use experiments::{PlannedRun, PlannedStage};
pub use query::Table;
pub use rows::{
    Added, ArtifactRow, CheckpointRow, ExperimentRow, Extent, GraderRows, MetricRow, Regraded,
    RunLine, RunRow, ScoreRow, Sharing, StageRow, Standing, Status,
};
pub use stages::StageResults;
