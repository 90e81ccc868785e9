//! Metrics by version, scores by problem, and training curves.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::{Key, MetricPoint};

use super::database::{Store, StoreReader};
use super::episodes::ProblemIds;
use super::error::{DatabaseError, StoreError};
use super::rows::{MetricRow, ScoreRow};

impl Store {
    /// Records metrics. The meaning may get a better wording later; unit and direction may not change.
    ///
    /// # Errors
    /// If a metric is known under the same version with another unit or direction, or the database
    /// fails.
    pub fn record_metrics(&mut self, rows: &[MetricRow]) -> Result<(), StoreError> {
        self.write_transaction("recording metrics", |transaction| {
            rows.iter()
                .try_for_each(|row| upsert_metric(transaction, row))
        })
    }
}

fn upsert_metric(connection: &Connection, row: &MetricRow) -> Result<(), DatabaseError> {
    let sql =
        "INSERT INTO metrics (name, version, unit, higher_is_better, meaning) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (name, version) DO UPDATE SET meaning = excluded.meaning
               WHERE unit = excluded.unit AND higher_is_better IS excluded.higher_is_better";
    let values = params![
        row.name,
        row.version,
        row.unit,
        row.higher_is_better,
        row.meaning
    ];
    match connection.prepare_cached(sql)?.execute(values)? {
        0 => Err(StoreError::MetricChanged {
            name: row.name.clone(),
            version: row.version,
        }
        .into()),
        _ => Ok(()),
    }
}

pub(super) fn insert_points(
    connection: &Connection,
    stage: i64,
    points: &[MetricPoint],
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO points (stage, series, step, value) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (stage, series, step) DO UPDATE SET value = excluded.value";
    let mut add = connection.prepare_cached(sql)?;
    for point in points {
        let step = i64::try_from(point.step).map_err(|_| {
            DatabaseError::InvalidResults(format!(
                "step {} of `{}` is too large",
                point.step, point.series
            ))
        })?;
        add.execute(params![stage, point.series, step, point.value])?;
    }
    Ok(())
}

/// What to do with a score that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScoreConflict {
    /// Refuse the results.
    Fail,
    /// Keep it.
    KeepExisting,
}

/// Adds scores; returns how many are new.
pub(super) fn insert_scores(
    connection: &Connection,
    stage: i64,
    grader: i64,
    names: &mut ProblemIds<'_>,
    scores: &[ScoreRow],
    known: ScoreConflict,
) -> Result<u64, DatabaseError> {
    let sql = match known {
        ScoreConflict::Fail => {
            "INSERT INTO scores (stage, metric, grader, problem, value) VALUES (?1, ?2, ?3, ?4, ?5)"
        }
        ScoreConflict::KeepExisting => {
            "INSERT INTO scores (stage, metric, grader, problem, value) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING"
        }
    };
    let mut add = connection.prepare_cached(sql)?;
    let mut added = 0;
    // Every metric is named once per problem; one look-up each is enough.
    let mut metrics: BTreeMap<&str, i64> = BTreeMap::new();
    for ScoreRow {
        metric,
        problem,
        value,
    } in scores
    {
        if value.is_nan() {
            return Err(DatabaseError::InvalidResults(format!(
                "the score `{metric}` of `{problem}` is not a number"
            )));
        }
        let metric = match metrics.get(metric.as_str()) {
            Some(&id) => id,
            None => *metrics
                .entry(metric)
                .or_insert(latest_metric_id(connection, metric)?),
        };
        let problem = names.get_or_insert(problem)?;
        added += add.execute(params![stage, metric, grader, problem, value])? as u64;
    }
    Ok(added)
}

/// The row number of a metric's newest version.
fn latest_metric_id(connection: &Connection, name: &str) -> Result<i64, DatabaseError> {
    let sql = "SELECT id FROM metrics WHERE name = ?1 ORDER BY version DESC LIMIT 1";
    let found = connection
        .prepare_cached(sql)?
        .query_row([name], |row| row.get(0))
        .optional()?;
    found.ok_or_else(|| {
        StoreError::UnknownMetric {
            name: name.to_owned(),
        }
        .into()
    })
}

impl StoreReader {
    /// Every version of every metric, by name and then version.
    ///
    /// # Errors
    /// If the database fails.
    pub fn metrics(&self) -> Result<Vec<MetricRow>, StoreError> {
        self.read_transaction("reading metrics", |connection| {
            let sql =
                "SELECT name, version, unit, higher_is_better, meaning FROM metrics ORDER BY name, version";
            let mut metrics = connection.prepare_cached(sql)?;
            let rows = metrics.query_map([], metric_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Name and version of the grader that a stage was made with; none if nothing was graded.
    ///
    /// # Errors
    /// If the database fails.
    pub fn stage_grader(&self, stage: &Key) -> Result<Option<(String, u32)>, StoreError> {
        self.read_transaction("reading a grader", |connection| {
            let sql =
                "SELECT g.name, g.version FROM stages s JOIN graders g ON g.id = s.grader WHERE s.key = ?1";
            let mut graders = connection.prepare_cached(sql)?;
            Ok(graders.query_row([stage], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
    }

    /// The scores of a stage by metric and then problem id: those of the grader it was made with,
    /// and of each metric the newest version it was scored under.
    ///
    /// # Errors
    /// If the database fails.
    pub fn scores(&self, stage: &Key) -> Result<Vec<ScoreRow>, StoreError> {
        self.read_transaction("reading scores", |connection| {
            read_scores(connection, stage, None)
        })
    }

    /// The curves of a stage, by series and then step; a value that is not a number is NaN.
    ///
    /// # Errors
    /// If the database fails.
    pub fn points(&self, stage: &Key) -> Result<Vec<MetricPoint>, StoreError> {
        self.read_transaction("reading curves", |connection| {
            let sql =
                "SELECT p.series, p.step, p.value FROM stages s JOIN points p ON p.stage = s.id
                       WHERE s.key = ?1 ORDER BY p.series, p.step";
            let mut points = connection.prepare_cached(sql)?;
            let rows = points.query_map([stage], |row| {
                let value = row.get::<_, Option<f64>>(2)?.unwrap_or(f64::NAN);
                Ok(MetricPoint {
                    series: row.get(0)?,
                    step: row.get::<_, i64>(1)? as u64,
                    value,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// The scores of a stage under a grader, which is its own if none is given.
pub(super) fn read_scores(
    connection: &Connection,
    stage: &Key,
    grader: Option<i64>,
) -> Result<Vec<ScoreRow>, DatabaseError> {
    let sql = "WITH
            used AS (
                SELECT DISTINCT s.id AS stage, c.grader, m.id AS metric, m.name, m.version
                FROM stages s
                JOIN scores c ON c.stage = s.id AND c.grader = coalesce(?2, s.grader)
                JOIN metrics m ON m.id = c.metric
                WHERE s.key = ?1),
            newest AS (SELECT stage, grader, metric, name, max(version) FROM used GROUP BY name)
        SELECT n.name, p.name, c.value
        FROM newest n
        JOIN scores c ON c.stage = n.stage AND c.metric = n.metric AND c.grader = n.grader
        JOIN problem_names p ON p.id = c.problem
        ORDER BY n.name, p.name";
    let mut scores = connection.prepare_cached(sql)?;
    let rows = scores.query_map(params![stage, grader], |row| {
        Ok(ScoreRow {
            metric: row.get(0)?,
            problem: row.get(1)?,
            value: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn metric_row(row: &Row<'_>) -> rusqlite::Result<MetricRow> {
    Ok(MetricRow {
        name: row.get(0)?,
        version: row.get(1)?,
        unit: row.get(2)?,
        higher_is_better: row.get(3)?,
        meaning: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::fixtures::*;

    #[test]
    fn metrics_are_versioned() {
        let (_folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        let reworded = MetricRow {
            meaning: "Clearer.".to_owned(),
            ..metric(1)
        };
        store
            .record_metrics(&[reworded.clone(), metric(2)])
            .unwrap();
        assert_eq!(store.reader().metrics().unwrap(), [reworded, metric(2)]);
        let changed = store.record_metrics(&[MetricRow {
            higher_is_better: None,
            ..metric(1)
        }]);
        assert!(matches!(
            changed,
            Err(StoreError::MetricChanged { version: 1, .. })
        ));
        assert_eq!(
            store.scores(&key("evaluate")).unwrap().len(),
            2,
            "scores of the older version still count"
        );
        store
            .record_stage_results(&key("evaluate greedily"), &evaluate_results())
            .unwrap();
        let versions = store
            .query(
                "SELECT DISTINCT run, metric_version FROM problem_scores ORDER BY 2",
                9,
            )
            .unwrap();
        assert_eq!(
            versions.rows,
            [
                [json!(key("weak")), json!(1)],
                [json!(key("strong")), json!(2)]
            ]
        );
    }

    #[test]
    fn newer_grades_and_scores_stand_beside_the_old_ones() {
        let (folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        store.record_metrics(&[metric(2)]).unwrap();
        let shell = Connection::open(folder.path().join("rise-lab.db")).unwrap();
        let added = "INSERT INTO graders (id, name, version) VALUES (70, 'rise-compat', 1);
                     INSERT INTO grades SELECT candidate, 70, 'x', 'wrong' FROM grades;
                     INSERT INTO scores SELECT stage, metric, 70, problem, 0.5 FROM scores;
                     INSERT INTO scores SELECT s.stage, m.id, s.grader, s.problem, 0.75 FROM scores s, metrics m
                     WHERE m.version = 2 AND s.grader <> 70;";
        shell.execute_batch(added).unwrap();
        assert_eq!(
            store.episodes(&key("evaluate")).unwrap()[0],
            episode("p/9", 0)
        );
        assert_eq!(
            store.scores(&key("evaluate")).unwrap(),
            [score("p/10", 0.75), score("p/9", 0.75)]
        );
    }
}
