//! The schema of the database: its creation, and the check that a file has it.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::{DatabaseError, StoreError};

/// `RISE` in ASCII, in the header of every database of ours.
const APPLICATION_ID: i32 = 0x5249_5345;

const SCHEMA: &str = include_str!("schema.sql");

/// The version of [`SCHEMA`]; raise it with every change of a table.
const SCHEMA_VERSION: i32 = 4;

/// Whether a database has the schema; false for an empty one.
///
/// # Errors
/// If it is damaged, not ours, or of another version.
pub(super) fn has_schema(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let (application, found, objects) = read_header(connection)
        .map_err(|source| StoreError::from_sqlite(path, "reading the schema version", source))?;
    let path = path.to_owned();
    match (application, found) {
        (0, 0) if objects == 0 => Ok(false),
        (APPLICATION_ID, SCHEMA_VERSION) => Ok(true),
        (APPLICATION_ID, found) => Err(StoreError::OtherSchema {
            found,
            known: SCHEMA_VERSION,
            path,
        }),
        _ => Err(StoreError::NotOurDatabase {
            path,
            what: "it is a database of another program",
        }),
    }
}

/// Application id, schema version and number of objects.
fn read_header(connection: &Connection) -> rusqlite::Result<(i32, i32, i64)> {
    let sql = "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
               FROM pragma_application_id, pragma_user_version";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}

/// Creates the schema in an empty database; leaves one that has it alone.
///
/// # Errors
/// If [`has_schema`] refuses the database, or the engine fails, in which case nothing is created.
pub(super) fn create_if_empty(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    if has_schema(connection, path)? {
        return Ok(());
    }
    create(connection)
        .map_err(|error| DatabaseError::from(error).with_context(path, "creating the tables"))
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use crate::store::{Store, StoreReader};

    use super::*;
    use crate::store::fixtures::*;

    fn database(folder: &TempDir) -> std::path::PathBuf {
        folder.path().join("rise-lab.db")
    }

    /// A new database in memory.
    fn memory() -> Connection {
        let mut memory = Connection::open_in_memory().unwrap();
        create_if_empty(&mut memory, Path::new("memory")).unwrap();
        memory
    }

    /// A database made by `sql`, as another program or version would have left it.
    fn database_of(sql: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        Connection::open(database(&folder))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        folder
    }

    #[test]
    fn an_empty_database_gets_sound_strict_tables_once() {
        let mut memory = memory();
        create_if_empty(&mut memory, Path::new("memory")).unwrap();
        let sound: String = memory
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
        let sql = "SELECT count(*), sum(strict) FROM pragma_table_list
                   WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'";
        let (all, strict): (i64, i64) = memory
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(all, strict);
    }

    #[test]
    fn a_creation_that_fails_leaves_no_trace() {
        let mut memory = Connection::open_in_memory().unwrap();
        memory.execute_batch("CREATE TABLE scores (x)").unwrap();
        assert!(create(&mut memory).is_err());
        assert_eq!(read_header(&memory).unwrap(), (0, 0, 1));
    }

    #[test]
    fn a_database_of_another_version_is_refused_and_left_alone() {
        for version in [1, SCHEMA_VERSION - 1, SCHEMA_VERSION + 1] {
            let folder = database_of(&format!(
                "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};
                 CREATE TABLE runs (id);"
            ));
            let before = fs::read(database(&folder)).unwrap();
            for refused in [
                Store::open(folder.path()).map(drop),
                StoreReader::open(folder.path()).map(drop),
            ] {
                assert!(
                    matches!(refused, Err(StoreError::OtherSchema { found, .. }) if found == version),
                    "{refused:?}"
                );
            }
            assert_eq!(fs::read(database(&folder)).unwrap(), before, "{version}");
        }
    }

    #[test]
    fn tables_and_views_with_their_columns() {
        let memory = memory();
        let sql =
            "SELECT s.type || ' ' || s.name || ': ' || group_concat(c.name, ' ' ORDER BY c.cid)
                   FROM sqlite_schema s JOIN pragma_table_info(s.name) c
                   WHERE s.type IN ('table', 'view') GROUP BY s.name ORDER BY s.type, s.name";
        let mut lines = memory.prepare(sql).unwrap();
        let lines: Vec<String> = lines
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        table artifacts: stage name sha256 bytes
        table candidates: id episode turn candidate author text tokens finished chosen prompt
        table checkpoints: run position name weights evaluation
        table episodes: id stage problem sample turns
        table experiments: name question toml report
        table graders: id name version
        table grades: candidate grader answer verdict
        table metrics: id name version unit higher_is_better meaning
        table points: stage series step value
        table problem_names: id name
        table problems: stage position problem split question answer solution
        table reviews: episode turn text tokens prompt approves
        table run_stages: run position stage
        table runs: id experiment key position label seed axes spec status error
        table scores: stage metric grader problem value
        table stages: id key kind label status inputs seconds counts origin grader error attempts started ended peak_bytes
        table unread: stage grader attempts
        view attempt_grades: stage kind label problem sample turn candidate grader grader_version answer verdict
        view attempts: stage kind label problem sample turn candidate author text tokens prompt finished chosen grader grader_version answer verdict review approves
        view curves: stage kind label series step value
        view files: stage kind label name sha256 bytes
        view grader_scores: experiment run label seed position checkpoint metric metric_version grader grader_version own problems mean
        view problem_scores: experiment run label seed position checkpoint metric metric_version grader grader_version problem value
        view problem_texts: stage position problem split question answer solution
        view run_axes: experiment run label seed status axis value
        view run_checkpoints: experiment run label seed position checkpoint weights evaluation status
        view run_scores: experiment run label seed position checkpoint metric metric_version grader grader_version problems mean
        view stage_costs: stage kind label status seconds executions runs started ended peak_bytes
        view stage_counts: stage kind label name value
        view stage_scores: stage kind label metric metric_version grader grader_version problems mean
        "#);
    }

    #[test]
    fn a_database_of_another_program_is_refused_and_left_alone() {
        for sql in [
            "CREATE TABLE notes (text)",
            "PRAGMA application_id = 7",
            "PRAGMA user_version = 3",
        ] {
            let folder = database_of(sql);
            let before = fs::read(database(&folder)).unwrap();
            assert!(
                matches!(
                    Store::open(folder.path()),
                    Err(StoreError::NotOurDatabase { .. })
                ),
                "{sql}"
            );
            assert!(
                matches!(
                    StoreReader::open(folder.path()),
                    Err(StoreError::NotOurDatabase { .. })
                ),
                "{sql}"
            );
            assert_eq!(fs::read(database(&folder)).unwrap(), before, "{sql}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let text = "name = \"quickstart\"\n".repeat(100);
        fs::write(database(&folder), &text).unwrap();
        assert!(matches!(
            Store::open(folder.path()),
            Err(StoreError::NotOurDatabase { .. })
        ));
        assert!(matches!(
            StoreReader::open(folder.path()),
            Err(StoreError::NotOurDatabase { .. })
        ));
        assert_eq!(fs::read_to_string(database(&folder)).unwrap(), text);
    }

    #[test]
    fn a_database_that_was_only_just_created_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(database(&folder), []).unwrap();
        assert!(matches!(
            StoreReader::open(folder.path()),
            Err(StoreError::Missing { .. })
        ));
        Store::open(folder.path()).unwrap();
        StoreReader::open(folder.path()).unwrap();
    }

    #[test]
    fn every_view_speaks_in_names() {
        let (_folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        let first = |sql: &str| {
            let table = store.query(sql, 1).unwrap();
            table
                .rows
                .first()
                .map(|row| serde_json::to_string(row).unwrap())
                .unwrap_or_default()
        };
        let shown = [
            first("SELECT label, axis, value FROM run_axes WHERE axis = 'rounds'"),
            first("SELECT label, checkpoint, status FROM run_checkpoints"),
            first(
                "SELECT label, checkpoint, metric, metric_version, grader, problems, mean FROM run_scores",
            ),
            first("SELECT label, metric, problem, value FROM problem_scores ORDER BY problem"),
            first(
                "SELECT label, problem, sample, turn, tokens, grader, answer, verdict FROM attempts ORDER BY problem, sample, turn, candidate",
            ),
            first("SELECT position, problem, split, answer FROM problem_texts ORDER BY position"),
            first("SELECT label, status, executions, runs FROM stage_costs WHERE kind = 'prepare'"),
            first("SELECT label, name, value FROM stage_counts"),
            first("SELECT label, series, step, value FROM curves WHERE step = 2"),
            first("SELECT label, name, bytes FROM files"),
        ];
        insta::assert_snapshot!(shown.join("\n"), @r#"
        ["base=weak seed=3","rounds","2"]
        ["base=weak seed=3","base","done"]
        ["base=weak seed=3","base","m1@t1",1,"numeric",2,0.5]
        ["base=weak seed=3","m1@t1","p/10",0.0]
        ["the evaluate","p/10",0,0,3,"numeric",null,"unreadable"]
        [0,"p/9","test","4"]
        ["the prepare","done",0,2]
        ["the evaluate","sampled",40]
        ["the evaluate","loss",2,0.25]
        ["the evaluate","episodes.jsonl",12]
        "#);
    }
}
