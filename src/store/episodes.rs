//! Problems and episodes: their rows, and their values from rows.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::domain::{AttemptReview, Candidate, Episode, Grade, Key, Problem, Split, Turn};

use super::database::StoreReader;
use super::error::{DatabaseError, StoreError};
use super::stages::ancestor_ids;

/// Row numbers of problem ids, which many rows refer to.
pub(super) struct ProblemIds<'a> {
    connection: &'a Connection,
    ids: HashMap<String, i64>,
}

impl<'a> ProblemIds<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            ids: HashMap::new(),
        }
    }

    /// The row number of a problem id, which is new or known.
    pub(super) fn get_or_insert(&mut self, name: &str) -> rusqlite::Result<i64> {
        if let Some(&id) = self.ids.get(name) {
            return Ok(id);
        }
        let add = "INSERT INTO problem_names (name) VALUES (?1) ON CONFLICT (name) DO NOTHING";
        self.connection.prepare_cached(add)?.execute([name])?;
        let find = "SELECT id FROM problem_names WHERE name = ?1";
        let id = self
            .connection
            .prepare_cached(find)?
            .query_row([name], |row| row.get(0))?;
        self.ids.insert(name.to_owned(), id);
        Ok(id)
    }
}

/// The row number of a grader's version, which is new or known.
pub(super) fn grader_id(
    connection: &Connection,
    name: &str,
    version: u32,
) -> rusqlite::Result<i64> {
    let add = "INSERT INTO graders (name, version) VALUES (?1, ?2) ON CONFLICT (name, version) DO NOTHING";
    connection
        .prepare_cached(add)?
        .execute(params![name, version])?;
    let find = "SELECT id FROM graders WHERE name = ?1 AND version = ?2";
    connection
        .prepare_cached(find)?
        .query_row(params![name, version], |row| row.get(0))
}

pub(super) fn insert_problems(
    connection: &Connection,
    stage: i64,
    names: &mut ProblemIds<'_>,
    problems: &[(Split, Problem)],
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO problems (stage, position, problem, split, question, answer, solution)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut add = connection.prepare_cached(sql)?;
    for (position, (split, problem)) in (0_u32..).zip(problems) {
        let id = names.get_or_insert(&problem.id)?;
        add.execute(params![
            stage,
            position,
            id,
            split,
            problem.question,
            problem.answer,
            problem.solution
        ])?;
    }
    Ok(())
}

pub(super) fn insert_episodes(
    connection: &Connection,
    stage: i64,
    grader: i64,
    names: &mut ProblemIds<'_>,
    episodes: &[Episode],
    further: &[(i64, &[Grade])],
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO episodes (stage, problem, sample, turns) VALUES (?1, ?2, ?3, ?4)";
    let mut add = connection.prepare_cached(sql)?;
    let mut candidates = CandidateInserter::prepare(connection, grader, further)?;
    for episode in episodes {
        check_chosen_candidates(episode)?;
        let problem = names.get_or_insert(&episode.problem)?;
        let id = add.insert(params![
            stage,
            problem,
            episode.sample,
            episode.turns.len() as u32
        ])?;
        for (number, turn) in (0_u32..).zip(&episode.turns) {
            candidates.insert_turn(id, number, turn)?;
        }
    }
    Ok(())
}

/// A turn without a chosen candidate could not be read back.
fn check_chosen_candidates(episode: &Episode) -> Result<(), DatabaseError> {
    let broken = episode
        .turns
        .iter()
        .position(|turn| turn.chosen >= turn.candidates.len());
    broken.map_or(Ok(()), |turn| {
        let (problem, sample) = (&episode.problem, episode.sample);
        Err(DatabaseError::InvalidResults(format!(
            "turn {turn} of sample {sample} on `{problem}` has no chosen candidate"
        )))
    })
}

/// The statements that store candidates; prepared once, used up to a million times.
struct CandidateInserter<'a> {
    text: CachedStatement<'a>,
    grade: CachedStatement<'a>,
    review: CachedStatement<'a>,
    grader: i64,
    /// Further graders, and their grades of the remaining texts.
    further_grades: Vec<(i64, std::slice::Iter<'a, Grade>)>,
}

impl<'a> CandidateInserter<'a> {
    fn prepare(
        connection: &'a Connection,
        grader: i64,
        further: &[(i64, &'a [Grade])],
    ) -> rusqlite::Result<Self> {
        let text = "INSERT INTO candidates
                        (episode, turn, candidate, author, text, tokens, prompt, finished, chosen)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let grade =
            "INSERT INTO grades (candidate, grader, answer, verdict) VALUES (?1, ?2, ?3, ?4)";
        let review = "INSERT INTO reviews (episode, turn, text, tokens, prompt, approves)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        Ok(Self {
            text: connection.prepare_cached(text)?,
            grade: connection.prepare_cached(grade)?,
            review: connection.prepare_cached(review)?,
            grader,
            further_grades: further
                .iter()
                .map(|(grader, grades)| (*grader, grades.iter()))
                .collect(),
        })
    }

    fn insert_turn(&mut self, episode: i64, number: u32, turn: &Turn) -> rusqlite::Result<()> {
        for (index, candidate) in turn.candidates.iter().enumerate() {
            let Grade { answer, verdict } = &candidate.grade;
            let id = self.text.insert(params![
                episode,
                number,
                index as u32,
                candidate.author,
                candidate.text,
                candidate.tokens,
                candidate.prompt_tokens,
                candidate.finished,
                index == turn.chosen
            ])?;
            self.grade
                .execute(params![id, self.grader, answer, verdict])?;
            // Text by text rather than grader by grader: rows are then added in the table's order.
            for (grader, grades) in &mut self.further_grades {
                if let Some(grade) = grades.next() {
                    self.grade
                        .execute(params![id, *grader, grade.answer, grade.verdict])?;
                }
            }
        }
        if let Some(review) = &turn.review {
            self.review.execute(params![
                episode,
                number,
                review.text,
                review.tokens,
                review.prompt_tokens,
                review.approves
            ])?;
        }
        Ok(())
    }
}

impl StoreReader {
    /// The problems that a stage prepared, in their order; none for a stage of another kind.
    ///
    /// # Errors
    /// If the database fails.
    pub fn problems(&self, stage: &Key) -> Result<Vec<(Split, Problem)>, StoreError> {
        self.read_transaction("reading problems", |connection| {
            let sql = "SELECT n.name, q.question, q.answer, q.solution, q.split
                       FROM stages s
                       JOIN problems q ON q.stage = s.id
                       JOIN problem_names n ON n.id = q.problem
                       WHERE s.key = ?1 ORDER BY q.position";
            let mut problems = connection.prepare_cached(sql)?;
            let rows = problems.query_map([stage], |row| Ok((row.get(4)?, problem_row(row)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// A problem as a stage knew it: by the stage itself, or the nearest of those it was made from.
    ///
    /// Two prepare stages may give one id to different questions, hence the stage.
    ///
    /// # Errors
    /// If the database fails.
    pub fn find_problem(&self, stage: &Key, id: &str) -> Result<Option<Problem>, StoreError> {
        self.read_transaction("reading a problem", |connection| {
            let sql = "SELECT n.name, q.question, q.answer, q.solution
                       FROM problem_names n
                       JOIN problems q ON q.problem = n.id
                       WHERE q.stage = ?1 AND n.name = ?2";
            let mut find = connection.prepare_cached(sql)?;
            for source in ancestor_ids(connection, stage)? {
                let found = find
                    .query_row(params![source, id], problem_row)
                    .optional()?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        })
    }

    /// The episodes of a stage with the grades it was made with.
    ///
    /// In the order in which their problems were prepared, then by sample; problems that no stage
    /// behind this one prepared come last, by id.
    ///
    /// # Errors
    /// If the database fails.
    pub fn episodes(&self, stage: &Key) -> Result<Vec<Episode>, StoreError> {
        self.read_transaction("reading episodes", |connection| {
            let mut episodes = Vec::new();
            for (row, problem, episode) in episode_rows(connection, stage)? {
                let episode = Episode {
                    turns: read_turns(connection, row)?,
                    ..episode
                };
                episodes.push((problem, episode));
            }
            let problems = episodes.iter().map(|(problem, _)| *problem);
            let order = preparation_order(connection, stage, problems)?;
            episodes.sort_by_cached_key(|(problem, episode)| {
                let position = order.get(problem).copied().unwrap_or((usize::MAX, 0));
                (position, episode.problem.clone(), episode.sample)
            });
            Ok(episodes.into_iter().map(|(_, episode)| episode).collect())
        })
    }
}

pub(super) fn problem_row(row: &Row<'_>) -> rusqlite::Result<Problem> {
    Ok(Problem {
        id: row.get(0)?,
        question: row.get(1)?,
        answer: row.get(2)?,
        solution: row.get(3)?,
    })
}

/// (row number of the episode, row number of its problem, the episode without its turns).
fn episode_rows(
    connection: &Connection,
    stage: &Key,
) -> rusqlite::Result<Vec<(i64, i64, Episode)>> {
    let sql = "SELECT e.id, e.problem, n.name, e.sample
               FROM stages s
               JOIN episodes e ON e.stage = s.id
               JOIN problem_names n ON n.id = e.problem
               WHERE s.key = ?1";
    let mut episodes = connection.prepare_cached(sql)?;
    let rows = episodes.query_map([stage], |row| {
        let episode = Episode {
            problem: row.get(2)?,
            sample: row.get(3)?,
            turns: Vec::new(),
        };
        Ok((row.get(0)?, row.get(1)?, episode))
    })?;
    rows.collect()
}

/// The turns of one episode, under the grader that its stage was made with.
fn read_turns(connection: &Connection, episode: i64) -> rusqlite::Result<Vec<Turn>> {
    let sql = "SELECT c.turn, c.chosen, c.author, c.text, c.tokens, c.finished, v.answer, v.verdict, c.prompt
               FROM episodes e
               JOIN stages s ON s.id = e.stage
               JOIN candidates c ON c.episode = e.id
               JOIN grades v ON v.candidate = c.id AND v.grader = s.grader
               WHERE e.id = ?1 ORDER BY c.turn, c.candidate";
    let mut candidates = connection.prepare_cached(sql)?;
    let mut rows = candidates.query([episode])?;
    let mut turns: Vec<Turn> = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, u32>(0)? as usize == turns.len() {
            turns.push(Turn::new(Vec::new(), 0));
        }
        if let Some(turn) = turns.last_mut() {
            if row.get(1)? {
                turn.chosen = turn.candidates.len();
            }
            turn.candidates.push(candidate_row(row)?);
        }
    }
    for (number, review) in read_reviews(connection, episode)? {
        if let Some(turn) = turns.get_mut(number as usize) {
            turn.review = Some(review);
        }
    }
    Ok(turns)
}

/// The reviews of one episode, by turn.
fn read_reviews(
    connection: &Connection,
    episode: i64,
) -> rusqlite::Result<Vec<(u32, AttemptReview)>> {
    let sql =
        "SELECT turn, text, tokens, prompt, approves FROM reviews WHERE episode = ?1 ORDER BY turn";
    let mut reviews = connection.prepare_cached(sql)?;
    let rows = reviews.query_map([episode], |row| {
        let (text, tokens) = (row.get(1)?, row.get(2)?);
        Ok((
            row.get(0)?,
            AttemptReview {
                text,
                tokens,
                prompt_tokens: row.get(3)?,
                approves: row.get(4)?,
            },
        ))
    })?;
    rows.collect()
}

fn candidate_row(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    Ok(Candidate {
        author: row.get(2)?,
        text: row.get(3)?,
        tokens: row.get(4)?,
        prompt_tokens: row.get(8)?,
        finished: row.get(5)?,
        grade: Grade {
            answer: row.get(6)?,
            verdict: row.get(7)?,
        },
    })
}

/// Where problems were prepared: (how far behind the stage, position there).
fn preparation_order(
    connection: &Connection,
    stage: &Key,
    problems: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, (usize, u32)>, DatabaseError> {
    let sources = ancestor_ids(connection, stage)?;
    let sql = "SELECT position FROM problems WHERE stage = ?1 AND problem = ?2";
    let mut find = connection.prepare_cached(sql)?;
    let mut places = HashMap::new();
    for problem in problems {
        for (distance, source) in sources.iter().enumerate() {
            let found = find
                .query_row([source, &problem], |row| row.get(0))
                .optional()?;
            if let Some(position) = found {
                places.insert(problem, (distance, position));
                break;
            }
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::GradeVerdict;
    use crate::store::StageResults;
    use crate::store::fixtures::*;

    #[test]
    fn a_hundred_thousand_texts_go_in_with_one_transaction() {
        let (_folder, mut store) = fresh_store();
        let turns = || {
            (0..10)
                .map(|n| Turn::single(candidate(&n.to_string(), GradeVerdict::Wrong)))
                .collect()
        };
        let episodes = (0..10_000).map(|n| Episode {
            problem: format!("p/{n}"),
            sample: 0,
            turns: turns(),
        });
        let results = StageResults {
            episodes: episodes.collect(),
            grader: Some(("numeric".to_owned(), 1)),
            ..StageResults::default()
        };
        store
            .record_stage_results(&key("evaluate"), &results)
            .unwrap();
        let counted = store
            .query("SELECT count(*), count(DISTINCT problem) FROM attempts", 1)
            .unwrap();
        assert_eq!(counted.rows, [[json!(100_000), json!(10_000)]]);
        let back = store.episodes(&key("evaluate")).unwrap();
        assert!(back.len() == 10_000 && back.iter().all(|episode| episode.turns.len() == 10));
    }
}
