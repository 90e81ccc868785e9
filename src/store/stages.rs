//! Stages: what was done, once, for every run that needs it.
//!
//! Responsible for the life of a stage (queued, running, then done, failed or interrupted) and for
//! storing all its results in one transaction. Must not know what a kind of stage means, nor where
//! its files are.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use crate::domain::{Episode, Key, MetricPoint, Problem, Split};

use super::column_types::JsonColumn;
use super::database::{Store, StoreReader};
use super::episodes::{ProblemIds, grader_id, insert_episodes, insert_problems};
use super::error::{DatabaseError, StoreError};
use super::graders::insert_unread;
use super::rows::{ArtifactRow, RegradeResults, ScoreRow, StageRow, StageSharing, Status};
use super::runs::run_id;
use super::scores::{ScoreConflict, insert_points, insert_scores};

/// The columns of a stage `s`, in the order of [`stage_row`].
pub(super) const COLUMNS: &str = "s.key, s.kind, s.label, s.status, s.seconds, s.counts, s.origin, s.error, s.attempts, s.peak_bytes";

/// The longest chain of inputs that is followed, so that a damaged database cannot hold us for ever.
const MAX_ANCESTRY_DEPTH: u32 = 256;

/// The present time as a stage row holds it.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

/// Everything that a finished stage leaves in the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageResults {
    /// Wall-clock seconds of the execution.
    pub seconds: f64,
    /// Largest resident set of the process meanwhile, in bytes, where it was measured.
    pub peak_bytes: Option<u64>,
    /// What was counted on the way, as a JSON object of numbers.
    pub counts: Value,
    /// Where it was made, as a JSON object.
    pub origin: Value,
    /// The files in its folder.
    pub artifacts: Vec<ArtifactRow>,
    /// Problems that it prepared, in their order.
    pub problems: Vec<(Split, Problem)>,
    /// Episodes that it collected.
    pub episodes: Vec<Episode>,
    /// Name and version of the grader behind `episodes` and `scores`; needed when there are any.
    pub grader: Option<(String, u32)>,
    /// Training curves; of two points at one step the later counts, as after a resumed training.
    pub points: Vec<MetricPoint>,
    /// Scores, problem by problem, of metrics recorded before.
    pub scores: Vec<ScoreRow>,
    /// What further graders make of `episodes`.
    pub regrades: Vec<RegradeResults>,
}

impl Store {
    /// Records that a stage is being worked on, once more.
    ///
    /// # Errors
    /// If the stage is unknown or done, or the database fails.
    pub fn record_stage_start(&mut self, key: &Key) -> Result<(), StoreError> {
        self.write_transaction("recording the start of a stage", |transaction| {
            let sql = format!(
                "UPDATE stages SET status = 'running', attempts = attempts + 1, error = NULL,
                 started = {NOW}, ended = NULL WHERE id = ?1"
            );
            transaction
                .prepare_cached(&sql)?
                .execute([unfinished_stage_id(transaction, key)?])?;
            Ok(())
        })
    }

    /// Records that a stage ended with an error.
    ///
    /// # Errors
    /// If the stage is unknown or done, or the database fails.
    pub fn record_stage_failure(&mut self, key: &Key, error: &str) -> Result<(), StoreError> {
        self.record_stage_stop(key, Status::Failed, Some(error))
    }

    /// Records that a stage was left unfinished on request.
    ///
    /// # Errors
    /// If the stage is unknown or done, or the database fails.
    pub fn record_stage_interruption(&mut self, key: &Key) -> Result<(), StoreError> {
        self.record_stage_stop(key, Status::Interrupted, None)
    }

    fn record_stage_stop(
        &mut self,
        key: &Key,
        status: Status,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        self.write_transaction("recording the end of a stage", |transaction| {
            let sql =
                format!("UPDATE stages SET status = ?2, error = ?3, ended = {NOW} WHERE id = ?1");
            let id = unfinished_stage_id(transaction, key)?;
            transaction
                .prepare_cached(&sql)?
                .execute(params![id, status, error])?;
            Ok(())
        })
    }

    /// Records that a stage is finished, with all its results: all of them are stored, or nothing.
    ///
    /// # Errors
    /// If the stage is unknown or was done before, if the results contradict themselves or name a
    /// metric that was not recorded, or if the database fails.
    pub fn record_stage_results(
        &mut self,
        key: &Key,
        results: &StageResults,
    ) -> Result<(), StoreError> {
        self.write_transaction("storing the results of a stage", |transaction| {
            let stage = unfinished_stage_id(transaction, key)?;
            insert_results(transaction, stage, results).map_err(|fault| results_error(key, fault))
        })
    }
}

/// A broken rule of the schema is a fault of the results: say so, and of which stage.
pub(super) fn results_error(key: &Key, fault: DatabaseError) -> DatabaseError {
    let what = match fault {
        DatabaseError::Sqlite(source)
            if source.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            source.to_string()
        }
        DatabaseError::InvalidResults(what) => what,
        other => return other,
    };
    DatabaseError::Store(StoreError::BadResults {
        key: key.clone(),
        what,
    })
}

fn insert_results(
    connection: &Connection,
    stage: i64,
    results: &StageResults,
) -> Result<(), DatabaseError> {
    let grader = match &results.grader {
        Some((name, version)) => Some(grader_id(connection, name, *version)?),
        None if results.episodes.is_empty() && results.scores.is_empty() => None,
        None => {
            return Err(DatabaseError::InvalidResults(
                "there are episodes or scores, but no grader".to_owned(),
            ));
        }
    };
    let mut names = ProblemIds::new(connection);
    insert_artifacts(connection, stage, &results.artifacts)?;
    insert_problems(connection, stage, &mut names, &results.problems)?;
    insert_points(connection, stage, &results.points)?;
    if let Some(grader) = grader {
        let mut beside = Vec::new();
        for under in &results.regrades {
            let id = grader_id(connection, &under.grader.0, under.grader.1)?;
            if under.reads_nothing() {
                insert_unread(connection, stage, id, under.grades.len())?;
            } else {
                beside.push((id, under));
            }
        }
        let grades: Vec<_> = beside
            .iter()
            .map(|(id, under)| (*id, under.grades.as_slice()))
            .collect();
        insert_episodes(
            connection,
            stage,
            grader,
            &mut names,
            &results.episodes,
            &grades,
        )?;
        insert_scores(
            connection,
            stage,
            grader,
            &mut names,
            &results.scores,
            ScoreConflict::Fail,
        )?;
        for (id, under) in beside {
            insert_scores(
                connection,
                stage,
                id,
                &mut names,
                &under.scores,
                ScoreConflict::Fail,
            )?;
        }
    }
    // Last, because nothing of a stage may change once it is done.
    let sql = format!(
        "UPDATE stages SET status = 'done', error = NULL, ended = {NOW},
         seconds = ?2, counts = ?3, origin = ?4, grader = ?5, peak_bytes = ?6 WHERE id = ?1"
    );
    let (counts, origin) = (
        json_object_text(&results.counts),
        json_object_text(&results.origin),
    );
    // No process has more memory than fits.
    let peak = results
        .peak_bytes
        .and_then(|bytes| i64::try_from(bytes).ok());
    let values = params![stage, results.seconds, counts, origin, grader, peak];
    connection.prepare_cached(&sql)?.execute(values)?;
    Ok(())
}

/// A JSON object as text; nothing is an empty one.
fn json_object_text(value: &Value) -> String {
    if value.is_null() {
        "{}".to_owned()
    } else {
        value.to_string()
    }
}

fn insert_artifacts(
    connection: &Connection,
    stage: i64,
    artifacts: &[ArtifactRow],
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO artifacts (stage, name, sha256, bytes) VALUES (?1, ?2, ?3, ?4)";
    let mut add = connection.prepare_cached(sql)?;
    for artifact in artifacts {
        let bytes = i64::try_from(artifact.bytes).map_err(|_| {
            DatabaseError::InvalidResults(format!("file `{}` is too large", artifact.name))
        })?;
        add.execute(params![stage, artifact.name, artifact.sha256, bytes])?;
    }
    Ok(())
}

/// The row number of a stage.
pub(super) fn stage_id(connection: &Connection, key: &Key) -> Result<i64, DatabaseError> {
    let mut find = connection.prepare_cached("SELECT id FROM stages WHERE key = ?1")?;
    let found = find.query_row([key], |row| row.get(0)).optional()?;
    found.ok_or_else(|| StoreError::UnknownStage { key: key.clone() }.into())
}

/// The row number of a stage that may still change.
fn unfinished_stage_id(connection: &Connection, key: &Key) -> Result<i64, DatabaseError> {
    let id = stage_id(connection, key)?;
    let mut find = connection.prepare_cached("SELECT status FROM stages WHERE id = ?1")?;
    match find.query_row([id], |row| row.get(0))? {
        Status::Done => Err(StoreError::StageAlreadyDone { key: key.clone() }.into()),
        Status::Queued | Status::Running | Status::Failed | Status::Interrupted => Ok(id),
    }
}

/// Row numbers of a stage and of everything that it was made from, nearest first.
pub(super) fn ancestor_ids(connection: &Connection, key: &Key) -> Result<Vec<i64>, DatabaseError> {
    let sql = "WITH RECURSIVE made_from (id, depth) AS (
                   SELECT id, 0 FROM stages WHERE key = ?1
                   UNION
                   SELECT i.id, m.depth + 1
                   FROM made_from m JOIN stages s ON s.id = m.id
                   JOIN json_each(s.inputs) input JOIN stages i ON i.key = input.value
                   WHERE m.depth < ?2)
               SELECT m.id FROM made_from m JOIN stages s ON s.id = m.id
               GROUP BY m.id ORDER BY min(m.depth), s.key";
    let mut ancestry = connection.prepare_cached(sql)?;
    let rows = ancestry.query_map(params![key, MAX_ANCESTRY_DEPTH], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

impl StoreReader {
    /// One stage, if it was ever planned.
    ///
    /// # Errors
    /// If the database fails.
    pub fn stage(&self, key: &Key) -> Result<Option<StageRow>, StoreError> {
        self.read_transaction("reading a stage", |connection| {
            let sql = format!("SELECT {COLUMNS} FROM stages s WHERE s.key = ?1");
            Ok(connection
                .prepare_cached(&sql)?
                .query_row([key], stage_row)
                .optional()?)
        })
    }

    /// The stages of one run of an experiment, in the order in which it needs them.
    ///
    /// # Errors
    /// If the experiment has no such run, or the database fails.
    pub fn run_stages(&self, experiment: &str, run: &Key) -> Result<Vec<StageRow>, StoreError> {
        self.read_transaction("reading the stages of a run", |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM run_stages u JOIN stages s ON s.id = u.stage
                 WHERE u.run = ?1 ORDER BY u.position"
            );
            let mut stages = connection.prepare_cached(&sql)?;
            let rows = stages.query_map([run_id(connection, experiment, run)?], stage_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// How many of the different stages of one run are done, and how many there are.
    ///
    /// # Errors
    /// If the database fails.
    pub fn count_done_stages(&self, experiment: &str, run: &Key) -> Result<(u64, u64), StoreError> {
        self.read_transaction("counting the stages of a run", |connection| {
            let sql =
                "SELECT count(DISTINCT u.stage) FILTER (WHERE s.status = 'done'), count(DISTINCT u.stage)
                       FROM runs r
                       JOIN run_stages u ON u.run = r.id
                       JOIN stages s ON s.id = u.stage
                       WHERE r.experiment = ?1 AND r.key = ?2";
            let count = |row: &Row<'_>, column| row.get::<_, i64>(column).map(|count| count as u64);
            let counts = |row: &Row<'_>| Ok((count(row, 0)?, count(row, 1)?));
            Ok(connection.prepare_cached(sql)?.query_row(params![experiment, run], counts)?)
        })
    }

    /// The different stages of an experiment, in the order in which its runs first need them.
    ///
    /// # Errors
    /// If the database fails.
    pub fn experiment_stages(&self, experiment: &str) -> Result<Vec<StageRow>, StoreError> {
        self.read_transaction("reading the stages of an experiment", |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM runs r
                 JOIN run_stages u ON u.run = r.id
                 JOIN stages s ON s.id = u.stage
                 WHERE r.experiment = ?1
                 GROUP BY s.id ORDER BY min(r.position * 4294967296 + u.position), s.key"
            );
            let mut stages = connection.prepare_cached(&sql)?;
            let rows = stages.query_map([experiment], stage_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// How many stages the runs of an experiment ask for, and how many different ones those are.
    ///
    /// # Errors
    /// If the database fails.
    pub fn stage_sharing(&self, experiment: &str) -> Result<StageSharing, StoreError> {
        self.read_transaction("counting the stages of an experiment", |connection| {
            let sql = "SELECT count(*), count(DISTINCT u.stage)
                       FROM runs r JOIN run_stages u ON u.run = r.id WHERE r.experiment = ?1";
            let count = |row: &Row<'_>, column| row.get::<_, i64>(column).map(|count| count as u64);
            let sharing = |row: &Row<'_>| {
                Ok(StageSharing {
                    requested: count(row, 0)?,
                    distinct: count(row, 1)?,
                })
            };
            Ok(connection
                .prepare_cached(sql)?
                .query_row([experiment], sharing)?)
        })
    }

    /// The stages that a stage reads, as planned.
    ///
    /// # Errors
    /// If the stage is unknown, or the database fails.
    pub fn stage_inputs(&self, key: &Key) -> Result<Vec<Key>, StoreError> {
        self.read_transaction("reading the inputs of a stage", |connection| {
            let sql = "SELECT input.value FROM stages s, json_each(s.inputs) input
                       WHERE s.id = ?1 ORDER BY input.id";
            let mut inputs = connection.prepare_cached(sql)?;
            let rows = inputs.query_map([stage_id(connection, key)?], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The files that a stage left in its folder, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub fn stage_artifacts(&self, key: &Key) -> Result<Vec<ArtifactRow>, StoreError> {
        self.read_transaction("reading the files of a stage", |connection| {
            let sql =
                "SELECT a.name, a.sha256, a.bytes FROM stages s JOIN artifacts a ON a.stage = s.id
                       WHERE s.key = ?1 ORDER BY a.name";
            let mut artifacts = connection.prepare_cached(sql)?;
            let rows = artifacts.query_map([key], |row| {
                let bytes = row.get::<_, i64>(2)? as u64;
                Ok(ArtifactRow {
                    name: row.get(0)?,
                    sha256: row.get(1)?,
                    bytes,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

pub(super) fn stage_row(row: &Row<'_>) -> rusqlite::Result<StageRow> {
    let JsonColumn(counts) = row.get(5)?;
    let JsonColumn(origin) = row.get(6)?;
    Ok(StageRow {
        key: row.get(0)?,
        kind: row.get(1)?,
        label: row.get(2)?,
        status: row.get(3)?,
        seconds: row.get(4)?,
        counts,
        origin,
        error: row.get(7)?,
        attempts: row.get(8)?,
        peak_bytes: row.get::<_, Option<i64>>(9)?.map(|bytes| bytes as u64),
    })
}
