//! The run database: what was asked for, what was done, what was said, what it came to.
//!
//! Responsible for one `SQLite` file in a store folder and for the rules about who may change what
//! in it (see `database.rs`). Hides SQL altogether: the rest of the program sees plain rows. Must
//! not know how a stage is executed, what its artifact files hold, or how anything is shown.

mod column_types;
mod database;
mod episodes;
mod error;
mod experiment_progress;
mod experiments;
mod graders;
mod migrate;
mod query;
mod rows;
mod runs;
mod scores;
mod stages;

#[cfg(test)]
mod contract;

pub use database::{Store, StoreReader};
pub use error::StoreError;
pub use experiments::{PlannedRunRow, PlannedStageRow};
pub use query::QueryResult;
pub use rows::{
    ArtifactRow, CheckpointRow, EvalShapeRow, ExperimentProgress, ExperimentRow, GraderCoverage,
    InsertedCounts, MetricRow, RegradeResults, RunListRow, RunRow, ScoreRow, StageRow,
    StageSharing, Status,
};
pub use stages::StageResults;
