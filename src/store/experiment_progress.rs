//! How far experiments are: counts of runs and stages by status.
//!
//! Counts where they lie instead of handing out rows to be counted, which matters for a store of
//! thousands of runs; knows nothing about what a status means to whoever asks.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::database::StoreReader;
use super::error::StoreError;
use super::rows::{ExperimentProgress, StageRow, Status};
use super::stages::{COLUMNS, stage_row};

/// Counts by status, by experiment.
type StatusCounts = BTreeMap<String, Vec<(Status, u64)>>;

impl StoreReader {
    /// How far every experiment is, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub fn experiment_progress(&self) -> Result<Vec<ExperimentProgress>, StoreError> {
        self.read_transaction("counting runs and stages", |connection| {
            let runs = "SELECT experiment, status, count(*) FROM runs GROUP BY experiment, status";
            let stages = "SELECT r.experiment, s.status, count(DISTINCT s.id)
                          FROM runs r
                          JOIN run_stages u ON u.run = r.id
                          JOIN stages s ON s.id = u.stage
                          GROUP BY r.experiment, s.status";
            let (mut runs, mut stages) = (
                count_by_status(connection, runs)?,
                count_by_status(connection, stages)?,
            );
            let mut noteworthy = active_or_failed_stages(connection)?;
            let mut names =
                connection.prepare_cached("SELECT name FROM experiments ORDER BY name")?;
            let mut standing = |experiment: String| ExperimentProgress {
                runs: runs.remove(&experiment).unwrap_or_default(),
                stages: stages.remove(&experiment).unwrap_or_default(),
                active_or_failed: noteworthy.remove(&experiment).unwrap_or_default(),
                experiment,
            };
            let names = names.query_map([], |row| row.get(0))?;
            Ok(names
                .map(|name| name.map(&mut standing))
                .collect::<rusqlite::Result<_>>()?)
        })
    }
}

fn count_by_status(connection: &Connection, sql: &str) -> rusqlite::Result<StatusCounts> {
    let mut counts = StatusCounts::new();
    let mut counted = connection.prepare_cached(sql)?;
    let mut rows = counted.query([])?;
    while let Some(row) = rows.next()? {
        let count = row.get::<_, i64>(2)? as u64;
        counts
            .entry(row.get(0)?)
            .or_default()
            .push((row.get(1)?, count));
    }
    Ok(counts)
}

/// Stages that are running or failed, by experiment, in the order in which its runs first need them.
fn active_or_failed_stages(
    connection: &Connection,
) -> rusqlite::Result<BTreeMap<String, Vec<StageRow>>> {
    // The cross join keeps the engine from beginning with the runs: such stages are few.
    let sql = format!(
        "SELECT {COLUMNS}, r.experiment
         FROM stages s CROSS JOIN run_stages u ON u.stage = s.id CROSS JOIN runs r ON r.id = u.run
         WHERE s.status IN ('running', 'failed')
         GROUP BY r.experiment, s.id
         ORDER BY r.experiment, min(r.position * 4294967296 + u.position), s.key"
    );
    let mut found = connection.prepare_cached(&sql)?;
    let mut rows = found.query([])?;
    let mut noteworthy: BTreeMap<String, Vec<StageRow>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        noteworthy
            .entry(row.get("experiment")?)
            .or_default()
            .push(stage_row(row)?);
    }
    Ok(noteworthy)
}
