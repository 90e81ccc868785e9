//! Runs: where they stand, how they are found, what they evaluate.
//!
//! Responsible for reading runs back and for their status; knows nothing about how a run is made
//! of stages beyond the order of its checkpoints.

use crate::domain::{Key, nearest_name};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column_types::{AxesColumn, JsonColumn};
use super::database::{Store, StoreReader};
use super::error::{DatabaseError, StoreError};
use super::rows::{CheckpointRow, RunListRow, RunRow, Status};

/// The columns of a run, in the order of [`run_row`].
const COLUMNS: &str = "experiment, key, position, label, seed, axes, spec, status, error";

/// The fewest digits of a key that are taken for a key.
const MIN_KEY_PREFIX: usize = 4;

/// The most candidates that are shown for an ambiguous name.
const MAX_CANDIDATES: usize = 5;

impl Store {
    /// Records where a run of an experiment stands, and why it failed where it did.
    ///
    /// # Errors
    /// If the experiment has no such run, or the database fails.
    pub fn set_run_status(
        &mut self,
        experiment: &str,
        run: &Key,
        status: Status,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        self.set_run_statuses(experiment, [(run, status, error)])
    }

    /// The same for any number of runs at once, all of them or none: a stage that is shared by
    /// thousands of runs moves them in one transaction.
    ///
    /// # Errors
    /// If the experiment lacks one of the runs, or the database fails.
    pub fn set_run_statuses<'a>(
        &mut self,
        experiment: &str,
        changes: impl IntoIterator<Item = (&'a Key, Status, Option<&'a str>)>,
    ) -> Result<(), StoreError> {
        self.write_transaction("recording the status of a run", |transaction| {
            let sql = "UPDATE runs SET status = ?3, error = ?4 WHERE experiment = ?1 AND key = ?2";
            let mut change = transaction.prepare_cached(sql)?;
            for (run, status, error) in changes {
                if change.execute(params![experiment, run, status, error])? == 0 {
                    return Err(StoreError::UnknownRun {
                        given: run.to_string(),
                        nearest: None,
                    }
                    .into());
                }
            }
            Ok(())
        })
    }
}

impl StoreReader {
    /// The runs of an experiment, in the order of its expansion; none if it is unknown.
    ///
    /// # Errors
    /// If the database fails.
    pub fn runs(&self, experiment: &str) -> Result<Vec<RunRow>, StoreError> {
        self.read_transaction("reading runs", |connection| {
            let sql =
                format!("SELECT {COLUMNS} FROM runs WHERE experiment = ?1 ORDER BY position, key");
            let mut runs = connection.prepare_cached(&sql)?;
            let rows = runs.query_map([experiment], run_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The runs of one experiment, or of all, as lines of a list: by the experiment's name and then
    /// in the order of its expansion.
    ///
    /// # Errors
    /// If the database fails.
    pub fn list_runs(&self, experiment: Option<&str>) -> Result<Vec<RunListRow>, StoreError> {
        self.read_transaction("listing runs", |connection| {
            // One condition for both would keep the engine from its index on experiments.
            let wanted = if experiment.is_some() {
                "experiment = ?1"
            } else {
                "?1 IS NULL"
            };
            let sql = format!(
                "SELECT experiment, key, label, seed, axes, status, error FROM runs
                 WHERE {wanted} ORDER BY experiment, position, key"
            );
            let mut runs = connection.prepare_cached(&sql)?;
            let rows = runs.query_map([experiment], run_list_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// One run of an experiment by its whole key.
    ///
    /// # Errors
    /// If the experiment has no such run, or the database fails.
    pub fn run_by_key(&self, experiment: &str, run: &Key) -> Result<RunRow, StoreError> {
        self.read_transaction("reading a run", |connection| {
            let sql = format!("SELECT {COLUMNS} FROM runs WHERE id = ?1");
            let id = run_id(connection, experiment, run)?;
            Ok(connection.prepare_cached(&sql)?.query_row([id], run_row)?)
        })
    }

    /// The run that a person means by a key, the first digits of one (four or more), or a label.
    ///
    /// A run that several experiments have is the same run; the first experiment's row is given.
    ///
    /// # Errors
    /// If no run fits, or several different ones do, or the database fails.
    pub fn find_run(&self, given: &str) -> Result<RunRow, StoreError> {
        self.read_transaction("looking up a run", |connection| {
            let mut keys = matching_keys(connection, given)?;
            match keys.len() {
                0 => Err(unknown_run_error(connection, given)?),
                1 => Ok(first_run_with_key(connection, &keys[0])?),
                _ => {
                    keys.truncate(MAX_CANDIDATES);
                    let candidates = keys.iter().map(|key| key.short().to_owned()).collect();
                    Err(StoreError::AmbiguousRun {
                        given: given.to_owned(),
                        candidates,
                    }
                    .into())
                }
            }
        })
    }

    /// The evaluated checkpoints of every run of an experiment, run by run, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub fn checkpoints(&self, experiment: &str) -> Result<Vec<CheckpointRow>, StoreError> {
        self.read_transaction("reading checkpoints", |connection| {
            let sql = "SELECT r.key, c.position, c.name, w.key, e.key
                       FROM runs r
                       JOIN checkpoints c ON c.run = r.id
                       JOIN stages w ON w.id = c.weights
                       JOIN stages e ON e.id = c.evaluation
                       WHERE r.experiment = ?1
                       ORDER BY r.position, r.key, c.position";
            let mut checkpoints = connection.prepare_cached(sql)?;
            let rows = checkpoints.query_map([experiment], checkpoint_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// Different keys that `given` may stand for; a full key or label counts before a prefix.
fn matching_keys(connection: &Connection, given: &str) -> rusqlite::Result<Vec<Key>> {
    let exact = "SELECT DISTINCT key FROM runs WHERE key = ?1 OR label = ?1 ORDER BY key";
    let found = query_keys(connection, exact, given)?;
    let digits =
        given.len() >= MIN_KEY_PREFIX && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !found.is_empty() || !digits {
        return Ok(found);
    }
    let prefix =
        "SELECT DISTINCT key FROM runs WHERE substr(key, 1, length(?1)) = lower(?1) ORDER BY key";
    query_keys(connection, prefix, given)
}

fn query_keys(connection: &Connection, sql: &str, given: &str) -> rusqlite::Result<Vec<Key>> {
    let mut found = connection.prepare_cached(sql)?;
    let found = found.query_map([given], |row| row.get(0))?;
    found.collect()
}

fn first_run_with_key(connection: &Connection, key: &Key) -> rusqlite::Result<RunRow> {
    let sql = format!("SELECT {COLUMNS} FROM runs WHERE key = ?1 ORDER BY experiment LIMIT 1");
    connection.prepare_cached(&sql)?.query_row([key], run_row)
}

fn unknown_run_error(
    connection: &Connection,
    given: &str,
) -> Result<DatabaseError, rusqlite::Error> {
    let mut labels = connection.prepare("SELECT DISTINCT label FROM runs")?;
    let labels: Vec<String> = labels
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let nearest = nearest_name(given, labels.iter().map(String::as_str)).map(str::to_owned);
    Ok(StoreError::UnknownRun {
        given: given.to_owned(),
        nearest,
    }
    .into())
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let AxesColumn(axes) = row.get(5)?;
    let JsonColumn(spec) = row.get(6)?;
    Ok(RunRow {
        experiment: row.get(0)?,
        key: row.get(1)?,
        position: row.get(2)?,
        label: row.get(3)?,
        seed: row.get::<_, i64>(4)? as u64,
        axes,
        spec,
        status: row.get(7)?,
        error: row.get(8)?,
    })
}

fn run_list_row(row: &Row<'_>) -> rusqlite::Result<RunListRow> {
    let AxesColumn(axes) = row.get(4)?;
    Ok(RunListRow {
        experiment: row.get(0)?,
        key: row.get(1)?,
        label: row.get(2)?,
        seed: row.get::<_, i64>(3)? as u64,
        axes,
        status: row.get(5)?,
        error: row.get(6)?,
    })
}

fn checkpoint_row(row: &Row<'_>) -> rusqlite::Result<CheckpointRow> {
    Ok(CheckpointRow {
        run: row.get(0)?,
        position: row.get(1)?,
        name: row.get(2)?,
        weights: row.get(3)?,
        evaluation: row.get(4)?,
    })
}

/// The row number of an experiment's run.
pub(super) fn run_id(
    connection: &Connection,
    experiment: &str,
    run: &Key,
) -> Result<i64, DatabaseError> {
    let sql = "SELECT id FROM runs WHERE experiment = ?1 AND key = ?2";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![experiment, run], |row| row.get(0))
        .optional()?;
    found.ok_or_else(|| {
        StoreError::UnknownRun {
            given: run.to_string(),
            nearest: None,
        }
        .into()
    })
}
