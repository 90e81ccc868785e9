//! Experiments with their planned runs and stages, and their progress.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use crate::domain::{Key, nearest_name};

use super::column_types::JsonColumn;
use super::database::{Store, StoreReader};
use super::error::{DatabaseError, StoreError};
use super::rows::{CheckpointRow, ExperimentProgress, ExperimentRow, StageRow, Status};
use super::stages::{COLUMNS, stage_id, stage_row};

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
    /// The stages that it needs, in order, planned with it or known already.
    pub stages: Vec<Key>,
    /// Its evaluated checkpoints, in order; each has `run` equal to `key`.
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
    /// Records an experiment as its file is now.
    ///
    /// Deletes the runs that the file no longer has and keeps their stages. Other runs and stages
    /// keep their statuses and results. A done run that needs an unfinished stage is queued again.
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

/// A known stage keeps its row, since the key determines its content.
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

/// Counts by status, by experiment.
type StatusCounts = BTreeMap<String, Vec<(Status, u64)>>;

impl StoreReader {
    /// The progress of every experiment, by name.
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
            let mut runs = count_by_status(connection, runs)?;
            let mut stages = count_by_status(connection, stages)?;
            let mut active_or_failed = active_or_failed_stages(connection)?;
            let mut names =
                connection.prepare_cached("SELECT name FROM experiments ORDER BY name")?;
            let rows = names.query_map([], |row| {
                let experiment: String = row.get(0)?;
                Ok(ExperimentProgress {
                    runs: runs.remove(&experiment).unwrap_or_default(),
                    stages: stages.remove(&experiment).unwrap_or_default(),
                    active_or_failed: active_or_failed.remove(&experiment).unwrap_or_default(),
                    experiment,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

fn count_by_status(connection: &Connection, sql: &str) -> rusqlite::Result<StatusCounts> {
    let mut counts = StatusCounts::new();
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let count = row.get::<_, i64>(2)? as u64;
        counts
            .entry(row.get(0)?)
            .or_default()
            .push((row.get(1)?, count));
    }
    Ok(counts)
}

/// Running and failed stages by experiment, in the order in which its runs first need them.
fn active_or_failed_stages(
    connection: &Connection,
) -> rusqlite::Result<BTreeMap<String, Vec<StageRow>>> {
    // The cross join makes the engine begin with the stages, since few of them fit.
    let sql = format!(
        "SELECT {COLUMNS}, r.experiment
         FROM stages s CROSS JOIN run_stages u ON u.stage = s.id CROSS JOIN runs r ON r.id = u.run
         WHERE s.status IN ('running', 'failed')
         GROUP BY r.experiment, s.id
         ORDER BY r.experiment, min(r.position * 4294967296 + u.position), s.key"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut by_experiment: BTreeMap<String, Vec<StageRow>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        by_experiment
            .entry(row.get("experiment")?)
            .or_default()
            .push(stage_row(row)?);
    }
    Ok(by_experiment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures::*;
    use crate::store::{RunRow, StageResults, StageSharing};

    #[test]
    fn a_plan_comes_back() {
        let (_folder, store) = fresh_store();
        assert_eq!(store.experiments().unwrap(), [experiment("one")]);
        let found = store.runs("one").unwrap();
        assert_eq!(found[1], store.run_by_key("one", &key("strong")).unwrap());
        let lines = store.list_runs(None).unwrap();
        assert_eq!(lines, store.list_runs(Some("one")).unwrap());
        let of = |run: &RunRow| {
            (
                run.key.clone(),
                run.label.clone(),
                run.seed,
                run.axes.clone(),
                run.status,
            )
        };
        let listed: Vec<_> = lines
            .into_iter()
            .map(|line| (line.key, line.label, line.seed, line.axes, line.status))
            .collect();
        assert_eq!(listed, found.iter().map(of).collect::<Vec<_>>());
        assert!(store.list_runs(Some("two")).unwrap().is_empty());
        assert_eq!(
            (found[0].key.clone(), found[0].status),
            (key("weak"), Status::Queued)
        );
        assert_eq!(
            (found[1].seed, &found[1].axes, &found[1].spec),
            (3, &runs()[1].axes, &runs()[1].spec)
        );
        let checkpoints = store.checkpoints("one").unwrap();
        assert_eq!(
            checkpoints,
            [
                runs()[0].checkpoints[0].clone(),
                runs()[1].checkpoints[0].clone()
            ]
        );
        let kinds = |rows: Vec<StageRow>| rows.into_iter().map(|row| row.kind).collect::<Vec<_>>();
        assert_eq!(
            kinds(store.experiment_stages("one").unwrap()),
            ["prepare", "base", "evaluate", "evaluate greedily"]
        );
        assert_eq!(
            kinds(store.run_stages("one", &key("strong")).unwrap()),
            ["prepare", "base", "evaluate greedily"]
        );
        assert_eq!(
            store.stage_sharing("one").unwrap(),
            StageSharing {
                requested: 6,
                distinct: 4
            }
        );
        assert_eq!(
            store.stage_inputs(&key("evaluate")).unwrap(),
            [key("base"), key("prepare")]
        );
    }

    #[test]
    fn planning_again_keeps_results_and_forgets_only_runs() {
        let (_folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        store
            .set_run_status("one", &key("strong"), Status::Failed, Some("no memory"))
            .unwrap();
        let changed = ExperimentRow {
            question: "Still?".to_owned(),
            ..experiment("one")
        };
        let moved = PlannedRunRow {
            position: 0,
            label: "base=strong".to_owned(),
            ..run("strong", 0, "evaluate greedily")
        };
        store
            .record_experiment(&changed, &[moved], &stages())
            .unwrap();
        let left = store.runs("one").unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(
            (left[0].label.as_str(), left[0].error.as_deref()),
            ("base=strong", Some("no memory"))
        );
        assert_eq!(store.find_experiment("one").unwrap(), changed);
        assert_eq!(stage_status(&store, "evaluate"), Status::Done);
        assert_eq!(store.episodes(&key("evaluate")).unwrap().len(), 3);
        assert_eq!(store.checkpoints("one").unwrap().len(), 1);
    }

    #[test]
    fn a_done_run_that_needs_more_is_queued_again() {
        let (_folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        store
            .record_stage_results(&key("base"), &StageResults::default())
            .unwrap();
        for name in ["weak", "strong"] {
            store
                .set_run_status("one", &key(name), Status::Done, None)
                .unwrap();
        }
        store
            .record_experiment(&experiment("one"), &runs(), &stages())
            .unwrap();
        let statuses: Vec<_> = store
            .runs("one")
            .unwrap()
            .into_iter()
            .map(|row| row.status)
            .collect();
        assert_eq!(statuses, [Status::Done, Status::Queued]);
    }

    #[test]
    fn one_run_may_be_part_of_two_experiments() {
        let (_folder, mut store) = fresh_store();
        store
            .record_experiment(&experiment("two"), &runs()[..1], &stages())
            .unwrap();
        store
            .set_run_status("two", &key("weak"), Status::Done, None)
            .unwrap();
        assert_eq!(store.runs("one").unwrap()[0].status, Status::Queued);
        assert_eq!(
            store.find_run("base=weak seed=3").unwrap().experiment,
            "one"
        );
    }

    #[test]
    fn a_plan_that_does_not_fit_is_refused_whole() {
        let (_folder, mut store) = fresh_store();
        let lost = PlannedRunRow {
            stages: vec![key("nowhere")],
            ..run("lost", 0, "evaluate")
        };
        let refused = store.record_experiment(&experiment("two"), &[lost], &[stage("new", &[])]);
        assert!(
            matches!(refused, Err(StoreError::UnknownStage { .. })),
            "{refused:?}"
        );
        let huge = PlannedRunRow {
            seed: u64::MAX,
            ..run("huge", 0, "evaluate")
        };
        assert!(matches!(
            store.record_experiment(&experiment("two"), &[huge], &[]),
            Err(StoreError::BadRun { .. })
        ));
        let stray = PlannedRunRow {
            key: key("other"),
            ..run("stray", 0, "evaluate")
        };
        assert!(matches!(
            store.record_experiment(&experiment("two"), &[stray], &[]),
            Err(StoreError::BadRun { .. })
        ));
        assert_eq!(store.experiments().unwrap().len(), 1);
        assert_eq!(store.stage(&key("new")).unwrap(), None);
    }

    #[test]
    fn a_run_is_found_by_key_prefix_and_label() {
        let (_folder, store) = fresh_store();
        let weak = key("weak");
        for given in [
            weak.as_str(),
            weak.short(),
            &weak.as_str()[..4].to_uppercase(),
            "base=weak seed=3",
        ] {
            assert_eq!(store.find_run(given).unwrap().key, weak, "{given}");
        }
        insta::assert_snapshot!(store.find_run("base=weka seed=3").unwrap_err(), @"no run has the key or label `base=weka seed=3` (did you mean `base=weak seed=3`?); `rise-lab runs` lists them");
        insta::assert_snapshot!(store.find_experiment("ome").unwrap_err(), @"no experiment is called `ome` (did you mean `one`?); `rise-lab runs` lists what there is");
        assert!(matches!(
            store.find_run("0000"),
            Err(StoreError::UnknownRun { nearest: None, .. })
        ));
    }

    #[test]
    fn a_label_of_two_different_runs_is_ambiguous() {
        let (_folder, mut store) = fresh_store();
        let twin = PlannedRunRow {
            label: "base=weak seed=3".to_owned(),
            ..run("twin", 0, "evaluate")
        };
        store
            .record_experiment(&experiment("two"), &[twin], &[])
            .unwrap();
        let found = store.find_run("base=weak seed=3");
        assert!(
            matches!(found, Err(StoreError::AmbiguousRun { ref candidates, .. }) if candidates.len() == 2)
        );
    }

    #[test]
    fn standings_count_shared_stages_once_and_name_what_is_running_or_failed() {
        let (_folder, mut store) = fresh_store();
        store
            .record_experiment(&experiment("two"), &runs()[..1], &stages())
            .unwrap();
        store
            .record_experiment(&experiment("empty"), &[], &[])
            .unwrap();
        record_evaluation(&mut store);
        store
            .record_stage_failure(&key("base"), "no memory")
            .unwrap();
        store.record_stage_start(&key("evaluate greedily")).unwrap();
        let changes = [
            (&key("weak"), Status::Done, None),
            (&key("strong"), Status::Failed, Some("no memory")),
        ];
        store.set_run_statuses("one", changes).unwrap();
        let standings = store.experiment_progress().unwrap();
        let names: Vec<&str> = standings
            .iter()
            .map(|standing| standing.experiment.as_str())
            .collect();
        assert_eq!(names, ["empty", "one", "two"]);
        assert!(standings[0].runs.is_empty() && standings[0].stages.is_empty());
        let (done, failed, running) = (Status::Done, Status::Failed, Status::Running);
        assert_eq!(standings[1].runs, [(done, 1), (failed, 1)]);
        assert_eq!(standings[1].stages, [(done, 2), (failed, 1), (running, 1)]);
        assert_eq!(standings[2].runs, [(Status::Queued, 1)]);
        assert_eq!(standings[2].stages, [(done, 2), (failed, 1)]);
        let noteworthy: Vec<Vec<&str>> = standings
            .iter()
            .map(|standing| {
                standing
                    .active_or_failed
                    .iter()
                    .map(|stage| stage.kind.as_str())
                    .collect()
            })
            .collect();
        assert_eq!(
            noteworthy,
            [vec![], vec!["base", "evaluate greedily"], vec!["base"]]
        );
        assert_eq!(
            standings[1].active_or_failed[0].error.as_deref(),
            Some("no memory")
        );
        assert_eq!(
            store.count_done_stages("one", &key("weak")).unwrap(),
            (2, 3)
        );
    }
}
