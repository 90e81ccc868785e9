//! Grades and scores of finished stages under further graders.
//!
//! A grader that reads no answer in any text of a stage has one row there instead of one per text.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::{Episode, EvalShape, Grade, GradeVerdict, Key, Problem};

use super::database::{Store, StoreReader};
use super::episodes::{ProblemIds, grader_id};
use super::error::{DatabaseError, StoreError};
use super::rows::{GraderCoverage, InsertedCounts, RegradeResults, ScoreRow, Status};
use super::scores::{ScoreConflict, insert_scores};
use super::stages::{ancestor_ids, results_error, stage_id, two_counts};

impl RegradeResults {
    /// Whether no answer could be read in any text.
    #[must_use]
    pub fn reads_nothing(&self) -> bool {
        self.grades
            .iter()
            .all(|grade| grade.answer.is_none() && grade.verdict == GradeVerdict::Unreadable)
    }
}

/// One row for a grader that read nothing; whether it is new.
pub(super) fn insert_unread(
    connection: &Connection,
    stage: i64,
    grader: i64,
    attempts: usize,
) -> rusqlite::Result<bool> {
    let sql =
        "INSERT INTO unread (stage, grader, attempts) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let attempts = i64::try_from(attempts).unwrap_or(i64::MAX);
    Ok(connection
        .prepare_cached(sql)?
        .execute(params![stage, grader, attempts])?
        > 0)
}

impl Store {
    /// Adds what a grader makes of a finished stage's texts beside what is there; rows that are
    /// there already stay as they are.
    ///
    /// `episodes` are the stage's own, in any order, and say which text each grade is of.
    ///
    /// # Errors
    /// If the stage is unknown or not finished, has no such texts, or the database fails.
    pub fn add_regrade(
        &mut self,
        stage: &Key,
        episodes: &[Episode],
        under: &RegradeResults,
    ) -> Result<InsertedCounts, StoreError> {
        self.write_transaction("adding grades", |transaction| {
            let id = finished_stage_id(transaction, stage)?;
            let grader = grader_id(transaction, &under.grader.0, under.grader.1)?;
            let mut added = InsertedCounts::default();
            if under.reads_nothing() {
                // Without grades there are only scores to be added.
                let texts = under.grades.len();
                added.reads_nothing = texts > 0 && insert_unread(transaction, id, grader, texts)?;
            } else {
                let grades = insert_grades(transaction, id, grader, episodes, &under.grades);
                added.grades = grades.map_err(|fault| results_error(stage, fault))?;
            }
            let mut names = ProblemIds::new(transaction);
            added.scores = insert_scores(
                transaction,
                id,
                grader,
                &mut names,
                &under.scores,
                ScoreConflict::KeepExisting,
            )?;
            Ok(added)
        })
    }
}

fn finished_stage_id(connection: &Connection, key: &Key) -> Result<i64, DatabaseError> {
    let id = stage_id(connection, key)?;
    let mut find = connection.prepare_cached("SELECT status FROM stages WHERE id = ?1")?;
    match find.query_row([id], |row| row.get(0))? {
        Status::Done => Ok(id),
        _ => Err(bad_results_error(key, "it is not finished")),
    }
}

fn bad_results_error(key: &Key, what: &str) -> DatabaseError {
    DatabaseError::Store(StoreError::BadResults {
        key: key.clone(),
        what: what.to_owned(),
    })
}

/// Adds one grade per text, in the order of the episodes; returns how many are new.
fn insert_grades(
    connection: &Connection,
    stage: i64,
    grader: i64,
    episodes: &[Episode],
    grades: &[Grade],
) -> Result<u64, DatabaseError> {
    let texts = "SELECT c.id FROM problem_names n
                 JOIN episodes e ON e.stage = ?1 AND e.problem = n.id AND e.sample = ?3
                 JOIN candidates c ON c.episode = e.id
                 WHERE n.name = ?2 ORDER BY c.turn, c.candidate";
    let mut texts = connection.prepare_cached(texts)?;
    let add = "INSERT INTO grades (candidate, grader, answer, verdict) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO NOTHING";
    let mut add = connection.prepare_cached(add)?;
    let (mut rest, mut added) = (grades.iter(), 0);
    for episode in episodes {
        let ids = texts.query_map(params![stage, episode.problem, episode.sample], |row| {
            row.get(0)
        })?;
        let ids: Vec<i64> = ids.collect::<rusqlite::Result<_>>()?;
        let expected: usize = episode.turns.iter().map(|turn| turn.candidates.len()).sum();
        if ids.len() != expected {
            return Err(DatabaseError::InvalidResults(format!(
                "`{}` has {} texts, not {expected}",
                episode.problem,
                ids.len()
            )));
        }
        for (id, grade) in ids.into_iter().zip(&mut rest) {
            added += add.execute(params![id, grader, grade.answer, grade.verdict])? as u64;
        }
    }
    Ok(added)
}

impl StoreReader {
    /// The stored grades of a finished stage by grader: its own first, then by name and version.
    ///
    /// # Errors
    /// If the stage is unknown, or the database fails.
    pub fn grader_coverage(&self, stage: &Key) -> Result<Vec<GraderCoverage>, StoreError> {
        self.read_transaction("reading graders", |connection| {
            let id = stage_id(connection, stage)?;
            let sql = "SELECT g.id, g.name, g.version, coalesce(g.id = s.grader, 0),
                        (SELECT count(*) FROM episodes e
                         JOIN candidates c ON c.episode = e.id
                         JOIN grades v ON v.candidate = c.id AND v.grader = g.id
                         WHERE e.stage = s.id),
                        EXISTS (SELECT 1 FROM unread u WHERE u.stage = s.id AND u.grader = g.id),
                        (SELECT count(*) FROM episodes e JOIN candidates c ON c.episode = e.id
                         WHERE e.stage = s.id)
                       FROM stages s, graders g WHERE s.id = ?1
                       ORDER BY 4 DESC, g.name, g.version";
            let mut graders = connection.prepare_cached(sql)?;
            let mut rows = graders.query([id])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let scores = count_scored_problems(connection, id, row.get(0)?)?;
                let graded = row.get::<_, i64>(4)? as u64;
                let rows = GraderCoverage {
                    grader: (row.get(1)?, row.get(2)?),
                    is_stage_grader: row.get(3)?,
                    reads_nothing: row.get(5)?,
                    attempts: row.get::<_, i64>(6)? as u64,
                    graded,
                    scores,
                };
                if rows.is_stage_grader
                    || rows.reads_nothing
                    || graded > 0
                    || !rows.scores.is_empty()
                {
                    found.push(rows);
                }
            }
            Ok(found)
        })
    }

    /// The shape of a stage's evaluation, as every problem of it has, and the number of problems;
    /// none without a sequential log.
    ///
    /// # Errors
    /// If the database fails.
    pub fn eval_shape(&self, stage: &Key) -> Result<Option<(EvalShape, u64)>, StoreError> {
        self.read_transaction("reading an evaluation", |connection| {
            let sql = "SELECT max(turns), min(samples), min(turns), EXISTS (
                          SELECT 1 FROM stages s
                          JOIN episodes e ON e.stage = s.id
                          JOIN reviews r ON r.episode = e.id
                          -- A last attempt is verified, but never criticised.
                          WHERE s.key = ?1 AND r.turn = e.turns - 1), count(*)
                       FROM (
                        SELECT coalesce(max(turns) FILTER (WHERE sample = 0), 0) AS turns, count(*) AS samples
                        FROM stages s JOIN episodes e ON e.stage = s.id
                        WHERE s.key = ?1 GROUP BY e.problem)";
            let shape = connection.prepare_cached(sql)?.query_row([stage], |row| {
                let turns: Option<u32> = row.get(0)?;
                let samples: Option<u32> = row.get(1)?;
                let shortest: Option<u32> = row.get(2)?;
                let self_verifies = row.get(3)?;
                let problems = row.get::<_, i64>(4)? as u64;
                let shape = turns.zip(samples).map(|(turns, samples)| EvalShape {
                    turns: turns as usize,
                    samples: samples as usize,
                    may_stop_early: self_verifies || shortest < Some(turns),
                    self_verifies,
                });
                Ok(shape.map(|shape| (shape, problems)))
            })?;
            Ok(shape.filter(|(shape, _)| shape.turns > 0))
        })
    }

    /// The scores of a stage under one of the graders stored, as [`StoreReader::scores`] gives those of
    /// its own; none if there are none.
    ///
    /// # Errors
    /// If the database fails.
    pub fn scores_by_grader(
        &self,
        stage: &Key,
        grader: &(String, u32),
    ) -> Result<Vec<ScoreRow>, StoreError> {
        self.read_transaction("reading scores", |connection| {
            let sql = "SELECT id FROM graders WHERE name = ?1 AND version = ?2";
            let id = connection
                .prepare_cached(sql)?
                .query_row(params![grader.0, grader.1], |row| row.get(0));
            match id.optional()? {
                Some(id) => super::scores::read_scores(connection, stage, Some(id)),
                None => Ok(Vec::new()),
            }
        })
    }

    /// On how many of a stage's texts its own grader and another disagree about what is right, and
    /// how many both have graded.
    ///
    /// # Errors
    /// If the database fails.
    pub fn grader_disagreement(
        &self,
        stage: &Key,
        grader: &(String, u32),
    ) -> Result<(u64, u64), StoreError> {
        self.read_transaction("comparing graders", |connection| {
            let sql =
                "SELECT coalesce(sum((a.verdict = 'right') <> (b.verdict = 'right')), 0), count(*)
                       FROM stages s
                       JOIN graders g ON g.name = ?2 AND g.version = ?3
                       JOIN episodes e ON e.stage = s.id
                       JOIN candidates c ON c.episode = e.id
                       JOIN grades a ON a.candidate = c.id AND a.grader = s.grader
                       JOIN grades b ON b.candidate = c.id AND b.grader = g.id
                       WHERE s.key = ?1";
            let mut counts = connection.prepare_cached(sql)?;
            Ok(counts.query_row(params![stage, grader.0, grader.1], two_counts)?)
        })
    }

    /// Every problem that a stage can know, by id: of two with one id the one that was prepared
    /// nearest to the stage.
    ///
    /// # Errors
    /// If the database fails.
    pub fn ancestor_problems(&self, stage: &Key) -> Result<BTreeMap<String, Problem>, StoreError> {
        self.read_transaction("reading problems", |connection| {
            let sql = "SELECT n.name, q.question, q.answer, q.solution
                       FROM problems q JOIN problem_names n ON n.id = q.problem
                       WHERE q.stage = ?1 ORDER BY q.position";
            let mut problems = connection.prepare_cached(sql)?;
            let mut behind = BTreeMap::new();
            for source in ancestor_ids(connection, stage)? {
                let rows = problems.query_map([source], super::episodes::problem_row)?;
                for problem in rows {
                    let problem: Problem = problem?;
                    behind.entry(problem.id.clone()).or_insert(problem);
                }
            }
            Ok(behind)
        })
    }
}

/// How many problems have a score, by (name, version) of the metric.
fn count_scored_problems(
    connection: &Connection,
    stage: i64,
    grader: i64,
) -> rusqlite::Result<BTreeMap<(String, u32), u64>> {
    let sql = "SELECT m.name, m.version, count(*) FROM scores s JOIN metrics m ON m.id = s.metric
               WHERE s.stage = ?1 AND s.grader = ?2 GROUP BY m.id";
    let mut scores = connection.prepare_cached(sql)?;
    let rows = scores.query_map([stage, grader], |row| {
        Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)? as u64))
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::StageResults;
    use crate::store::fixtures::*;

    /// Results of a further grader for nine texts, three of each episode.
    fn regrade_results(name: &str, verdict: GradeVerdict) -> RegradeResults {
        let answer = (verdict != GradeVerdict::Unreadable).then(|| "4".to_owned());
        RegradeResults {
            grader: (name.to_owned(), 1),
            grades: vec![Grade { answer, verdict }; 9],
            scores: if verdict == GradeVerdict::Unreadable {
                vec![]
            } else {
                vec![score("p/9", 0.5), score("p/10", 0.5)]
            },
        }
    }

    fn coverage_by_grader(store: &Store, name: &str) -> Option<GraderCoverage> {
        let rows = store.grader_coverage(&key("evaluate")).unwrap();
        rows.into_iter().find(|rows| rows.grader.0 == name)
    }

    #[test]
    fn further_graders_stand_beside_the_stages_own() {
        let (_folder, mut store) = fresh_store();
        store.record_metrics(&[metric(1)]).unwrap();
        let beside = vec![
            regrade_results("right", GradeVerdict::Right),
            regrade_results("silent", GradeVerdict::Unreadable),
        ];
        store
            .record_stage_results(&key("prepare"), &prepare_results())
            .unwrap();
        store
            .record_stage_results(
                &key("evaluate"),
                &StageResults {
                    regrades: beside,
                    ..evaluate_results()
                },
            )
            .unwrap();
        let evaluation = key("evaluate");
        assert_eq!(
            store.episodes(&evaluation).unwrap()[0],
            episode("p/9", 0),
            "its own grader answers"
        );
        assert_eq!(
            store.scores(&evaluation).unwrap(),
            [score("p/10", 0.0), score("p/9", 1.0)]
        );
        let right = ("right".to_owned(), 1);
        assert_eq!(
            store.scores_by_grader(&evaluation, &right).unwrap(),
            [score("p/10", 0.5), score("p/9", 0.5)]
        );
        assert_eq!(
            store
                .scores_by_grader(&evaluation, &("nobody".to_owned(), 1))
                .unwrap(),
            []
        );
        // Each episode has an unreadable, a wrong and a right text.
        assert_eq!(
            store.grader_disagreement(&evaluation, &right).unwrap(),
            (6, 9)
        );
        let names: Vec<_> = store
            .grader_coverage(&evaluation)
            .unwrap()
            .into_iter()
            .map(|rows| rows.grader.0)
            .collect();
        assert_eq!(names, ["numeric", "right", "silent"]);
        assert_eq!(
            store.grader_coverage(&key("evaluate greedily")).unwrap(),
            [],
            "nothing of it was graded yet"
        );
        let silent = coverage_by_grader(&store, "silent").unwrap();
        assert_eq!(
            (silent.reads_nothing, silent.graded, silent.attempts),
            (true, 0, 9)
        );
        let counted = |sql: &str| store.query(sql, 9).unwrap().rows;
        assert_eq!(counted("SELECT count(*) FROM attempts"), [[json!(9)]]);
        assert_eq!(
            counted(
                "SELECT grader, count(*), sum(verdict = 'right') FROM attempt_grades GROUP BY grader ORDER BY 1"
            ),
            [
                [json!("numeric"), json!(9), json!(3)],
                [json!("right"), json!(9), json!(9)],
                [json!("silent"), json!(9), json!(0)]
            ]
        );
        assert_eq!(
            counted("SELECT grader, own, problems, mean FROM grader_scores ORDER BY own"),
            [
                [json!("right"), json!(0), json!(2), json!(0.5)],
                [json!("numeric"), json!(1), json!(2), json!(0.5)]
            ]
        );
        assert_eq!(
            counted("SELECT grader FROM run_scores"),
            [[json!("numeric")]]
        );
        assert_eq!(
            counted("SELECT grader FROM stage_scores"),
            [[json!("numeric")]]
        );
        assert_eq!(
            counted("SELECT DISTINCT grader FROM problem_scores"),
            [[json!("numeric")]]
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one store goes through all steps")]
    fn grades_are_added_to_finished_stages_once_and_nothing_else_changes() {
        let (folder, mut store) = fresh_store();
        let evaluation = key("evaluate");
        let early = store.add_regrade(
            &evaluation,
            &[],
            &regrade_results("right", GradeVerdict::Right),
        );
        assert!(
            matches!(early, Err(StoreError::BadResults { .. })),
            "{early:?}"
        );
        assert!(matches!(
            store.add_regrade(&key("no"), &[], &regrade_results("x", GradeVerdict::Right)),
            Err(StoreError::UnknownStage { .. })
        ));
        record_evaluation(&mut store);
        let (stage, episodes) = (
            store.stage(&evaluation).unwrap(),
            store.episodes(&evaluation).unwrap(),
        );
        assert_eq!(
            store.eval_shape(&evaluation).unwrap(),
            Some((
                EvalShape {
                    turns: 2,
                    samples: 1,
                    may_stop_early: false,
                    self_verifies: false
                },
                2
            ))
        );
        assert_eq!(store.eval_shape(&key("prepare")).unwrap(), None);
        let behind = store.ancestor_problems(&evaluation).unwrap();
        assert_eq!(behind.keys().collect::<Vec<_>>(), ["p/1", "p/10", "p/9"]);
        let right = regrade_results("right", GradeVerdict::Right);
        let added = store.add_regrade(&evaluation, &episodes, &right).unwrap();
        assert_eq!(
            added,
            InsertedCounts {
                grades: 9,
                scores: 2,
                reads_nothing: false
            }
        );
        let changed = RegradeResults {
            grades: regrade_results("x", GradeVerdict::Wrong).grades,
            ..right
        };
        assert_eq!(
            store.add_regrade(&evaluation, &episodes, &changed).unwrap(),
            InsertedCounts::default(),
            "what is there stays"
        );
        let silent = regrade_results("silent", GradeVerdict::Unreadable);
        assert!(
            store
                .add_regrade(&evaluation, &episodes, &silent)
                .unwrap()
                .reads_nothing
        );
        assert_eq!(
            store.add_regrade(&evaluation, &episodes, &silent).unwrap(),
            InsertedCounts::default()
        );
        let newer = RegradeResults {
            grader: ("right".to_owned(), 2),
            ..regrade_results("right", GradeVerdict::Wrong)
        };
        assert_eq!(
            store
                .add_regrade(&evaluation, &episodes, &newer)
                .unwrap()
                .grades,
            9,
            "an older version's rows stay"
        );
        let lost = store.add_regrade(
            &evaluation,
            &[episode("p/1", 0)],
            &regrade_results("lost", GradeVerdict::Right),
        );
        assert!(
            matches!(lost, Err(StoreError::BadResults { .. })),
            "{lost:?}"
        );
        assert_eq!(
            coverage_by_grader(&store, "lost"),
            None,
            "nothing of it is stored"
        );
        assert_eq!(
            (
                store.stage(&evaluation).unwrap(),
                store.episodes(&evaluation).unwrap()
            ),
            (stage, episodes)
        );
        assert_eq!(
            store
                .grader_disagreement(&evaluation, &("right".to_owned(), 1))
                .unwrap(),
            (6, 9)
        );
        let shell = Connection::open(folder.path().join("rise-lab.db")).unwrap();
        let refused = shell
            .execute("UPDATE unread SET attempts = 0", [])
            .unwrap_err();
        assert!(refused.to_string().contains("cannot change"), "{refused}");
    }
}
