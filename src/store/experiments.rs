//! What was asked for: experiments with their planned runs and stages.
//!
//! Responsible for making the database agree with an experiment file that may have changed since
//! it last ran; knows nothing about how a file becomes a plan.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use crate::domain::{Key, nearest_name};

use super::column_types::JsonColumn;
use super::database::{Store, StoreReader};
use super::error::{DatabaseError, StoreError};
use super::rows::{CheckpointRow, ExperimentRow};
use super::stages::stage_id;

/// One run of an experiment, as planned.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRunRow {
    /// Its identity.
    pub key: Key,
    /// Readable name made from the axes.
    pub label: String,
    /// Position in the expansion, from 0.
    pub position: u32,
    /// The run's seed.
    pub seed: u64,
    /// (axis path, value label) in the order of the experiment file.
    pub axes: Vec<(String, String)>,
    /// The whole run specification.
    pub spec: Value,
    /// The stages that it needs, in order; planned with it or known already.
    pub stages: Vec<Key>,
    /// What is evaluated, in order; each with `run` equal to `key`.
    pub checkpoints: Vec<CheckpointRow>,
}

/// One stage, as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStageRow {
    /// Its identity.
    pub key: Key,
    /// `prepare`, `tokenize`, `base`, `collect`, `improve`, `weigh`, `train`, `prefer`, `reinforce`, `evaluate`.
    pub kind: String,
    /// Readable name.
    pub label: String,
    /// The stages that it reads.
    pub inputs: Vec<Key>,
}

impl Store {
    /// Records an experiment as its file says now.
    ///
    /// Runs that the file no longer has are forgotten, the stages they used are kept. What is known
    /// about runs and stages that stay (status, results) stays too; a run that was done and needs a
    /// stage that is not is queued again.
    ///
    /// # Errors
    /// If a run names a stage that was neither planned nor known, or the database fails.
    pub fn record_experiment(
        &mut self,
        row: &ExperimentRow,
        runs: &[PlannedRunRow],
        stages: &[PlannedStageRow],
    ) -> Result<(), StoreError> {
        self.write_transaction("recording an experiment", |transaction| {
            upsert_experiment(transaction, row)?;
            stages
                .iter()
                .try_for_each(|stage| insert_stage(transaction, stage))?;
            delete_dropped_runs(transaction, &row.name, runs)?;
            for run in runs {
                let id = upsert_run(transaction, &row.name, run)?;
                link_stages(transaction, id, run)?;
                link_checkpoints(transaction, id, run)?;
            }
            requeue_unfinished_runs(transaction, &row.name)?;
            Ok(())
        })
    }
}

fn upsert_experiment(connection: &Connection, row: &ExperimentRow) -> rusqlite::Result<()> {
    let sql = "INSERT INTO experiments (name, question, toml, report) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (name) DO UPDATE
               SET question = excluded.question, toml = excluded.toml, report = excluded.report";
    connection.execute(
        sql,
        params![row.name, row.question, row.toml, row.report.to_string()],
    )?;
    Ok(())
}

/// A stage that is known keeps its row: its key stands for what it does.
fn insert_stage(connection: &Connection, stage: &PlannedStageRow) -> Result<(), DatabaseError> {
    let sql =
        "INSERT INTO stages (key, kind, label, inputs, status) VALUES (?1, ?2, ?3, ?4, 'queued')
               ON CONFLICT (key) DO NOTHING";
    let inputs = Value::from(stage.inputs.iter().map(Key::as_str).collect::<Vec<_>>());
    connection.prepare_cached(sql)?.execute(params![
        stage.key,
        stage.kind,
        stage.label,
        inputs.to_string()
    ])?;
    Ok(())
}

fn delete_dropped_runs(
    connection: &Connection,
    experiment: &str,
    kept: &[PlannedRunRow],
) -> rusqlite::Result<()> {
    let kept: HashSet<&str> = kept.iter().map(|run| run.key.as_str()).collect();
    let mut known = connection.prepare("SELECT id, key FROM runs WHERE experiment = ?1")?;
    let known = known.query_map([experiment], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    for run in known.collect::<rusqlite::Result<Vec<_>>>()? {
        if !kept.contains(run.1.as_str()) {
            connection
                .prepare_cached("DELETE FROM runs WHERE id = ?1")?
                .execute([run.0])?;
        }
    }
    Ok(())
}

fn upsert_run(
    connection: &Connection,
    experiment: &str,
    run: &PlannedRunRow,
) -> Result<i64, DatabaseError> {
    let seed = i64::try_from(run.seed).map_err(|_| {
        bad_run_error(
            run,
            format!(
                "its seed {} is above {}, the largest that fits the database",
                run.seed,
                i64::MAX
            ),
        )
    })?;
    let axes = run
        .axes
        .iter()
        .map(|(path, label)| Value::from(vec![path.as_str(), label.as_str()]));
    let axes = Value::Array(axes.collect());
    let sql = "INSERT INTO runs (experiment, key, position, label, seed, axes, spec, status)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued')
               ON CONFLICT (experiment, key) DO UPDATE
               SET position = excluded.position, label = excluded.label, axes = excluded.axes, spec = excluded.spec
               RETURNING id";
    let values = params![
        experiment,
        run.key,
        run.position,
        run.label,
        seed,
        axes.to_string(),
        run.spec.to_string()
    ];
    Ok(connection
        .prepare_cached(sql)?
        .query_row(values, |row| row.get(0))?)
}

fn bad_run_error(run: &PlannedRunRow, what: String) -> DatabaseError {
    DatabaseError::Store(StoreError::BadRun {
        label: run.label.clone(),
        what,
    })
}

fn link_stages(connection: &Connection, id: i64, run: &PlannedRunRow) -> Result<(), DatabaseError> {
    connection
        .prepare_cached("DELETE FROM run_stages WHERE run = ?1")?
        .execute([id])?;
    let mut link = connection
        .prepare_cached("INSERT INTO run_stages (run, position, stage) VALUES (?1, ?2, ?3)")?;
    for (position, stage) in (0_u32..).zip(&run.stages) {
        link.execute(params![id, position, stage_id(connection, stage)?])?;
    }
    Ok(())
}

fn link_checkpoints(
    connection: &Connection,
    id: i64,
    run: &PlannedRunRow,
) -> Result<(), DatabaseError> {
    connection
        .prepare_cached("DELETE FROM checkpoints WHERE run = ?1")?
        .execute([id])?;
    let sql = "INSERT INTO checkpoints (run, position, name, weights, evaluation) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut link = connection.prepare_cached(sql)?;
    for row in &run.checkpoints {
        if row.run != run.key {
            return Err(bad_run_error(
                run,
                format!(
                    "its checkpoint `{}` belongs to run {}",
                    row.name,
                    row.run.short()
                ),
            ));
        }
        let (weights, evaluation) = (
            stage_id(connection, &row.weights)?,
            stage_id(connection, &row.evaluation)?,
        );
        link.execute(params![id, row.position, row.name, weights, evaluation])?;
    }
    Ok(())
}

fn requeue_unfinished_runs(connection: &Connection, experiment: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE runs SET status = 'queued'
               WHERE experiment = ?1 AND status = 'done' AND EXISTS (
                   SELECT 1 FROM run_stages u JOIN stages s ON s.id = u.stage
                   WHERE u.run = runs.id AND s.status <> 'done')";
    connection.execute(sql, [experiment])?;
    Ok(())
}

impl StoreReader {
    /// Every experiment, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub fn experiments(&self) -> Result<Vec<ExperimentRow>, StoreError> {
        self.read_transaction("reading the experiments", |connection| {
            let mut all = connection.prepare_cached(
                "SELECT name, question, toml, report FROM experiments ORDER BY name",
            )?;
            let rows = all.query_map([], experiment_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// One experiment.
    ///
    /// # Errors
    /// If there is none of this name, or the database fails.
    pub fn find_experiment(&self, name: &str) -> Result<ExperimentRow, StoreError> {
        self.read_transaction("reading an experiment", |connection| {
            let sql = "SELECT name, question, toml, report FROM experiments WHERE name = ?1";
            let found = connection
                .prepare_cached(sql)?
                .query_row([name], experiment_row)
                .optional()?;
            match found {
                Some(row) => Ok(row),
                None => Err(unknown_experiment_error(connection, name)?.into()),
            }
        })
    }
}

fn unknown_experiment_error(connection: &Connection, given: &str) -> rusqlite::Result<StoreError> {
    let mut names = connection.prepare("SELECT name FROM experiments")?;
    let names: Vec<String> = names
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let nearest = nearest_name(given, names.iter().map(String::as_str)).map(str::to_owned);
    Ok(StoreError::UnknownExperiment {
        given: given.to_owned(),
        nearest,
    })
}

fn experiment_row(row: &Row<'_>) -> rusqlite::Result<ExperimentRow> {
    let JsonColumn(report) = row.get(3)?;
    Ok(ExperimentRow {
        name: row.get(0)?,
        question: row.get(1)?,
        toml: row.get(2)?,
        report,
    })
}
