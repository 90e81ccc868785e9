//! Stages: their statuses, and their results in one transaction.

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

/// The longest chain of inputs that a query follows, since a damaged database may hold a circle.
const MAX_ANCESTRY_DEPTH: u32 = 256;

/// The present time as a stage row holds it.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

/// The results of a finished stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageResults {
    /// Wall-clock seconds of the execution.
    pub seconds: f64,
    /// Largest resident set of the process meanwhile, in bytes, where it was measured.
    pub peak_bytes: Option<u64>,
    /// Counts by name, as a JSON object of numbers.
    pub counts: Value,
    /// Backend, instruction set and program version, as a JSON object.
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
    /// Grades and scores of `episodes` under further graders.
    pub regrades: Vec<RegradeResults>,
}

impl Store {
    /// Records the start of a stage.
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

    /// Records that a stage stopped on request.
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

    /// Records that a stage is finished, with all its results or none.
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

/// Turns a broken rule of the schema into an error about the results of the stage.
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
    let mut names = ProblemIds::new(connection);
    insert_artifacts(connection, stage, &results.artifacts)?;
    insert_problems(connection, stage, &mut names, &results.problems)?;
    insert_points(connection, stage, &results.points)?;
    let grader = match &results.grader {
        Some((name, version)) => Some(grader_id(connection, name, *version)?),
        None if results.episodes.is_empty() && results.scores.is_empty() => None,
        None => {
            return Err(DatabaseError::InvalidResults(
                "there are episodes or scores, but no grader".to_owned(),
            ));
        }
    };
    if let Some(grader) = grader {
        insert_graded_results(connection, stage, grader, &mut names, results)?;
    }
    // Last, because nothing of a stage may change once it is done.
    let sql = format!(
        "UPDATE stages SET status = 'done', error = NULL, ended = {NOW},
         seconds = ?2, counts = ?3, origin = ?4, grader = ?5, peak_bytes = ?6 WHERE id = ?1"
    );
    let counts = json_object_text(&results.counts);
    let origin = json_object_text(&results.origin);
    // No process has more memory than fits.
    let peak = results
        .peak_bytes
        .and_then(|bytes| i64::try_from(bytes).ok());
    let values = params![stage, results.seconds, counts, origin, grader, peak];
    connection.prepare_cached(&sql)?.execute(values)?;
    Ok(())
}

/// Inserts the episodes with the grades of every grader, and the scores.
fn insert_graded_results(
    connection: &Connection,
    stage: i64,
    grader: i64,
    names: &mut ProblemIds<'_>,
    results: &StageResults,
) -> Result<(), DatabaseError> {
    let mut further = Vec::new();
    for regrade in &results.regrades {
        let id = grader_id(connection, &regrade.grader.0, regrade.grader.1)?;
        if regrade.reads_nothing() {
            insert_unread(connection, stage, id, regrade.grades.len())?;
        } else {
            further.push((id, regrade));
        }
    }
    let grades: Vec<_> = further
        .iter()
        .map(|&(id, regrade)| (id, regrade.grades.as_slice()))
        .collect();
    insert_episodes(connection, stage, grader, names, &results.episodes, &grades)?;
    let on_conflict = ScoreConflict::Fail;
    insert_scores(
        connection,
        stage,
        grader,
        names,
        &results.scores,
        on_conflict,
    )?;
    for (id, regrade) in further {
        insert_scores(connection, stage, id, names, &regrade.scores, on_conflict)?;
    }
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
            let mut counts = connection.prepare_cached(sql)?;
            Ok(counts.query_row(params![experiment, run], two_counts)?)
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
            let mut counts = connection.prepare_cached(sql)?;
            let (requested, distinct) = counts.query_row([experiment], two_counts)?;
            Ok(StageSharing {
                requested,
                distinct,
            })
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

/// Two counts as the columns of a row.
pub(super) fn two_counts(row: &Row<'_>) -> rusqlite::Result<(u64, u64)> {
    Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Turn;
    use crate::store::fixtures::*;

    #[test]
    fn a_stage_lives_through_its_statuses() {
        let (_folder, mut store) = fresh_store();
        let base = key("base");
        store.record_stage_start(&base).unwrap();
        assert_eq!(stage_status(&store, "base"), Status::Running);
        store.record_stage_failure(&base, "it broke").unwrap();
        let row = store.stage(&base).unwrap().unwrap();
        assert_eq!(
            (row.status, row.error.as_deref()),
            (Status::Failed, Some("it broke"))
        );
        store.record_stage_start(&base).unwrap();
        store.record_stage_interruption(&base).unwrap();
        store.record_stage_start(&base).unwrap();
        store
            .record_stage_results(
                &base,
                &StageResults {
                    seconds: 2.0,
                    ..StageResults::default()
                },
            )
            .unwrap();
        let row = store.stage(&base).unwrap().unwrap();
        assert_eq!(
            (row.status, row.error, row.attempts, row.seconds),
            (Status::Done, None, 3, Some(2.0))
        );
        assert_eq!((row.counts, row.origin), (json!({}), json!({})));
    }

    #[test]
    fn an_unknown_stage_or_run_is_refused() {
        let (_folder, mut store) = fresh_store();
        let nowhere = key("nowhere");
        let refused = [
            store.record_stage_start(&nowhere),
            store.record_stage_failure(&nowhere, ""),
            store.record_stage_results(&nowhere, &StageResults::default()),
            store.stage_inputs(&nowhere).map(drop),
        ];
        assert!(
            refused
                .iter()
                .all(|result| matches!(result, Err(StoreError::UnknownStage { .. })))
        );
        let refused = store.set_run_status("one", &nowhere, Status::Done, None);
        assert!(matches!(refused, Err(StoreError::UnknownRun { .. })));
    }

    #[test]
    fn results_come_back_in_order() {
        let (_folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        assert_eq!(
            store.problems(&key("prepare")).unwrap(),
            prepare_results().problems
        );
        let asked = [episode("p/9", 0), episode("p/10", 0), episode("p/10", 1)];
        assert_eq!(store.episodes(&key("evaluate")).unwrap(), asked);
        assert_eq!(
            store.scores(&key("evaluate")).unwrap(),
            [score("p/10", 0.0), score("p/9", 1.0)]
        );
        let points = store.points(&key("evaluate")).unwrap();
        assert!(
            points.len() == 2 && points[0].value.is_nan() && points[1] == point(2, 0.25),
            "{points:?}"
        );
        assert_eq!(
            store.stage_artifacts(&key("evaluate")).unwrap(),
            evaluate_results().artifacts
        );
        let row = store.stage(&key("evaluate")).unwrap().unwrap();
        assert_eq!(
            (row.counts, row.origin),
            (evaluate_results().counts, evaluate_results().origin)
        );
        assert_eq!(row.peak_bytes, Some(3 << 30));
        assert_eq!(
            store.stage(&key("prepare")).unwrap().unwrap().peak_bytes,
            None
        );
    }

    #[test]
    fn statuses_of_several_runs_change_together_or_not_at_all() {
        let (_folder, mut store) = fresh_store();
        let changes = [
            (&key("weak"), Status::Done, None),
            (&key("nowhere"), Status::Done, None),
        ];
        assert!(matches!(
            store.set_run_statuses("one", changes),
            Err(StoreError::UnknownRun { .. })
        ));
        assert_eq!(store.runs("one").unwrap()[0].status, Status::Queued);
    }

    #[test]
    fn a_problem_is_the_one_its_stage_was_made_from() {
        let (_folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        let other = Problem {
            question: "Another question.".to_owned(),
            ..problem("p/9")
        };
        store
            .record_experiment(
                &experiment("two"),
                &[],
                &[stage("other", &[]), stage("late", &["other"])],
            )
            .unwrap();
        let results = StageResults {
            problems: vec![(Split::Test, other.clone())],
            ..StageResults::default()
        };
        store.record_stage_results(&key("other"), &results).unwrap();
        assert_eq!(
            store.find_problem(&key("evaluate"), "p/9").unwrap(),
            Some(problem("p/9"))
        );
        assert_eq!(
            store.find_problem(&key("late"), "p/9").unwrap(),
            Some(other)
        );
        assert_eq!(store.find_problem(&key("late"), "p/10").unwrap(), None);
    }

    #[test]
    fn inputs_that_go_in_a_circle_do_not_hang() {
        let (_folder, mut store) = fresh_store();
        store
            .record_experiment(
                &experiment("two"),
                &[],
                &[stage("a", &["b", "a"]), stage("b", &["a"])],
            )
            .unwrap();
        assert_eq!(store.find_problem(&key("a"), "p/9").unwrap(), None);
    }

    #[test]
    fn what_is_done_cannot_change() {
        let (_folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        let before = store.stage(&key("evaluate")).unwrap();
        let again = [
            store.record_stage_results(&key("evaluate"), &evaluate_results()),
            store.record_stage_results(&key("evaluate"), &StageResults::default()),
            store.record_stage_start(&key("evaluate")),
            store.record_stage_failure(&key("evaluate"), "late"),
            store.record_stage_interruption(&key("evaluate")),
        ];
        assert!(
            again
                .iter()
                .all(|result| matches!(result, Err(StoreError::StageAlreadyDone { .. }))),
            "{again:?}"
        );
        assert_eq!(store.stage(&key("evaluate")).unwrap(), before);
        assert_eq!(store.episodes(&key("evaluate")).unwrap().len(), 3);
    }

    #[test]
    fn not_even_another_program_changes_what_is_done() {
        let (folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        let shell = Connection::open(folder.path().join("rise-lab.db")).unwrap();
        let changes = [
            "UPDATE stages SET seconds = 0 WHERE status = 'done'",
            "UPDATE candidates SET text = 'better'",
            "UPDATE grades SET verdict = 'right'",
            "UPDATE scores SET value = 1",
            "UPDATE points SET value = 0",
            "UPDATE problems SET answer = '5'",
            "UPDATE artifacts SET sha256 = ''",
        ];
        for sql in changes {
            let refused = shell.execute(sql, []).unwrap_err();
            assert!(
                refused.to_string().contains("cannot change"),
                "{sql}: {refused}"
            );
        }
    }

    #[test]
    fn references_must_exist() {
        let (folder, _store) = fresh_store();
        let shell = Connection::open(folder.path().join("rise-lab.db")).unwrap();
        shell.pragma_update(None, "foreign_keys", true).unwrap();
        let orphan = "INSERT INTO artifacts (stage, name, sha256, bytes) VALUES (999, 'x', 'x', 0)";
        assert!(
            shell
                .execute(orphan, [])
                .unwrap_err()
                .to_string()
                .contains("FOREIGN KEY")
        );
        assert!(
            shell.execute("DELETE FROM stages", []).is_err(),
            "a stage that a run uses cannot go"
        );
    }

    #[test]
    fn contradicting_results_leave_no_trace() {
        let (_folder, mut store) = fresh_store();
        store.record_metrics(&[metric(1)]).unwrap();
        let unscored = StageResults {
            scores: vec![ScoreRow {
                metric: "m9".into(),
                ..score("p", 0.0)
            }],
            ..evaluate_results()
        };
        let refused = store.record_stage_results(&key("evaluate"), &unscored);
        assert!(
            matches!(refused, Err(StoreError::UnknownMetric { .. })),
            "{refused:?}"
        );
        let nan = StageResults {
            scores: vec![score("p/9", f64::NAN)],
            ..evaluate_results()
        };
        let twice = StageResults {
            episodes: vec![episode("p/9", 0), episode("p/9", 0)],
            ..evaluate_results()
        };
        let ungraded = StageResults {
            grader: None,
            ..evaluate_results()
        };
        let mut empty = evaluate_results();
        empty.episodes[0].turns[1] = Turn::new(Vec::new(), 0);
        for results in [nan, twice, ungraded, empty] {
            let refused = store.record_stage_results(&key("evaluate"), &results);
            assert!(
                matches!(refused, Err(StoreError::BadResults { .. })),
                "{refused:?}"
            );
        }
        assert_eq!(stage_status(&store, "evaluate"), Status::Queued);
        let left = "SELECT (SELECT count(*) FROM episodes) + (SELECT count(*) FROM points) + (SELECT count(*) FROM artifacts)";
        assert_eq!(store.query(left, 1).unwrap().rows, [[json!(0)]]);
    }
}
