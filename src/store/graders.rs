//! Several graders' grades and scores of the same texts, beside each other.
//!
//! Responsible for adding rows to finished stages, which is all that may happen to them, and for
//! saying what is there under which grader. A grader that read no answer at all in a stage has one
//! row there instead of one per text. Knows nothing of how a text is graded.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::{Episode, Grade, GradeVerdict, Key, Problem};

use super::database::{Store, StoreReader};
use super::episodes::{ProblemIds, grader_id};
use super::error::{DatabaseError, StoreError};
use super::rows::{EvalShapeRow, GraderCoverage, InsertedCounts, RegradeResults, ScoreRow, Status};
use super::scores::{ScoreConflict, insert_scores};
use super::stages::{ancestor_ids, results_error, stage_id};

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
    /// What is stored of a finished stage's texts, by grader: its own first, then by name and version.
    ///
    /// # Errors
    /// If the stage is unknown, or the database fails.
    pub fn grader_coverage(&self, stage: &Key) -> Result<Vec<GraderCoverage>, StoreError> {
        self.read_transaction("reading graders", |connection| {
            let id = stage_id(connection, stage)?;
            let attempts = "SELECT count(*) FROM episodes e JOIN candidates c ON c.episode = e.id
                            WHERE e.stage = ?1";
            let attempts: u64 = connection
                .prepare_cached(attempts)?
                .query_row([id], |row| row.get::<_, i64>(0))?
                as u64;
            let sql = "SELECT g.id, g.name, g.version, coalesce(g.id = s.grader, 0),
                        (SELECT count(*) FROM episodes e
                         JOIN candidates c ON c.episode = e.id
                         JOIN grades v ON v.candidate = c.id AND v.grader = g.id
                         WHERE e.stage = s.id),
                        EXISTS (SELECT 1 FROM unread u WHERE u.stage = s.id AND u.grader = g.id)
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
                    attempts,
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

    /// How far the evaluation of a stage went; none if it holds no sequential log.
    ///
    /// # Errors
    /// If the database fails.
    pub fn eval_shape(&self, stage: &Key) -> Result<Option<EvalShapeRow>, StoreError> {
        self.read_transaction("reading an evaluation", |connection| {
            let sql = "SELECT count(*), max(turns), min(samples), min(turns), EXISTS (
                          SELECT 1 FROM stages s
                          JOIN episodes e ON e.stage = s.id
                          JOIN reviews r ON r.episode = e.id
                          -- A last attempt is verified, but never criticised.
                          WHERE s.key = ?1 AND r.turn = e.turns - 1)
                       FROM (
                        SELECT coalesce(max(turns) FILTER (WHERE sample = 0), 0) AS turns, count(*) AS samples
                        FROM stages s JOIN episodes e ON e.stage = s.id
                        WHERE s.key = ?1 GROUP BY e.problem)";
            let extent = connection.prepare_cached(sql)?.query_row([stage], |row| {
                let (turns, samples): (Option<u32>, Option<u32>) = (row.get(1)?, row.get(2)?);
                let problems = row.get::<_, i64>(0)? as u64;
                let (shortest, verifies): (Option<u32>, bool) = (row.get(3)?, row.get(4)?);
                Ok(turns.zip(samples).map(|(turns, samples)| EvalShapeRow {
                    problems,
                    turns,
                    samples,
                    may_stop_early: verifies || shortest < Some(turns),
                    self_verifies: verifies,
                }))
            })?;
            Ok(extent.filter(|extent| extent.turns > 0))
        })
    }

    /// The scores of a stage under one of the graders stored, as [`Reader::scores`] gives those of
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
            let counts = params![stage, grader.0, grader.1];
            let counts = connection.prepare_cached(sql)?.query_row(counts, |row| {
                Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
            })?;
            Ok(counts)
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
