//! The run database: plans, statuses, sampled texts, grades and scores.
//!
//! Responsible for one `SQLite` file in a store folder and for the rules of its changes (see
//! `database.rs`). Hides SQL: the rest of the program sees plain rows. Must not know how a stage is
//! executed, what its artifact files hold, or how anything is displayed.

mod column_types;
mod database;
mod episodes;
mod error;
mod experiments;
mod graders;
mod query;
mod rows;
mod runs;
mod schema;
mod scores;
mod stages;

#[cfg(test)]
mod fixtures;

pub use database::{Store, StoreReader};
pub use error::StoreError;
pub use experiments::{PlannedRunRow, PlannedStageRow};
pub use query::QueryResult;
pub use rows::{
    ArtifactRow, CheckpointRow, ExperimentProgress, ExperimentRow, GraderCoverage, InsertedCounts,
    MetricRow, RegradeResults, RunRow, ScoreRow, StageRow, StageSharing, Status,
};
pub use stages::StageResults;
