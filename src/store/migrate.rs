//! From any earlier schema to the present one.
//!
//! Responsible for recognising our own files and for applying what is missing, each step whole or
//! not at all. Steps are plain SQL files and use no type of the program, so that a later change of
//! a type cannot rewrite history. Must not know what the tables are for.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::{DatabaseError, StoreError};

/// `RISE` in ASCII, in the header of every database of ours.
const APPLICATION: i32 = 0x5249_5345;

/// The steps in order; the schema version is the number of steps applied. Only ever appended to.
const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001_init.sql"),
    include_str!("migrations/0002_growth.sql"),
    include_str!("migrations/0003_graders.sql"),
    include_str!("migrations/0004_reviews.sql"),
];

/// The schema version of this program.
pub(super) const SCHEMA_VERSION: i32 = MIGRATIONS.len() as i32;

/// The schema version of a database; 0 for an empty one.
///
/// # Errors
/// If it is damaged, not ours, or newer than [`SCHEMA_VERSION`].
pub(super) fn schema_version(connection: &Connection, path: &Path) -> Result<i32, StoreError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let doing = "reading the schema version";
    let at = |source| StoreError::from_sqlite(path, doing, source);
    let (application, found) = (
        number("application_id").map_err(at)?,
        number("user_version").map_err(at)?,
    );
    if application != APPLICATION {
        let objects: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(at)?;
        let empty = application == 0 && found == 0 && objects == 0;
        let foreign = StoreError::NotOurDatabase {
            path: path.to_owned(),
            what: "it is a database of another program",
        };
        return if empty { Ok(0) } else { Err(foreign) };
    }
    if found > SCHEMA_VERSION {
        return Err(StoreError::NewerSchema {
            found,
            known: SCHEMA_VERSION,
            path: path.to_owned(),
        });
    }
    Ok(found)
}

/// Applies the steps that a database lacks.
///
/// # Errors
/// If [`schema_version`] refuses the database, or a step fails, in which case that step left no trace.
pub(super) fn migrate_to_latest(
    connection: &mut Connection,
    path: &Path,
) -> Result<(), StoreError> {
    let found = schema_version(connection, path)?;
    // A step may rebuild a table that others refer to. The setting is ignored inside a transaction.
    connection
        .pragma_update(None, "foreign_keys", false)
        .map_err(|source| StoreError::from_sqlite(path, "preparing a schema change", source))?;
    for (number, step) in (1..=SCHEMA_VERSION).zip(MIGRATIONS).skip(found as usize) {
        apply_migration(connection, number, step)
            .map_err(|fault| fault.with_context(path, "changing the schema"))?;
    }
    Ok(())
}

fn apply_migration(
    connection: &mut Connection,
    number: i32,
    step: &str,
) -> Result<(), DatabaseError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", number)?;
    check_foreign_keys(&transaction)?;
    transaction.commit()?;
    Ok(())
}

/// What the engine would have checked if foreign keys had been on during the step.
fn check_foreign_keys(connection: &Connection) -> Result<(), DatabaseError> {
    let mut check = connection.prepare("PRAGMA foreign_key_check")?;
    let broken = check
        .query_map([], |row| row.get::<_, String>(0))?
        .next()
        .transpose()?;
    match broken {
        None => Ok(()),
        Some(table) => Err(DatabaseError::Store(StoreError::Damaged {
            path: connection.path().unwrap_or_default().into(),
            what: format!("rows of `{table}` refer to rows that do not exist"),
        })),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use crate::store::{Store, StoreReader};

    use super::*;

    fn database(folder: &TempDir) -> std::path::PathBuf {
        folder.path().join("rise-lab.db")
    }

    /// A database made by `sql`, as another program or version would have left it.
    fn made_by(sql: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        Connection::open(database(&folder))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        folder
    }

    #[test]
    fn all_steps_fit_an_empty_file_and_each_other() {
        let mut memory = Connection::open_in_memory().unwrap();
        migrate_to_latest(&mut memory, Path::new("memory")).unwrap();
        assert_eq!(
            schema_version(&memory, Path::new("memory")).unwrap(),
            SCHEMA_VERSION
        );
        migrate_to_latest(&mut memory, Path::new("memory")).unwrap();
        let sound: String = memory
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
    }

    #[test]
    fn the_final_schema() {
        let mut memory = Connection::open_in_memory().unwrap();
        migrate_to_latest(&mut memory, Path::new("memory")).unwrap();
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
    fn every_table_of_ours_is_strict() {
        let mut memory = Connection::open_in_memory().unwrap();
        migrate_to_latest(&mut memory, Path::new("memory")).unwrap();
        let sql = "SELECT count(*), sum(strict) FROM pragma_table_list
                   WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'";
        let (all, strict): (i64, i64) = memory
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(all, strict);
    }

    #[test]
    fn a_database_of_the_first_version_keeps_its_scores() {
        let mut memory = Connection::open_in_memory().unwrap();
        assert!(apply_migration(&mut memory, 1, MIGRATIONS[0]).is_ok());
        let old = "INSERT INTO graders VALUES (1, 'numeric', 1);
                   INSERT INTO metrics VALUES (1, 'm1@t1', 1, 'fraction', 1, ''), (2, 'tokens', 1, 'tokens', 0, '');
                   INSERT INTO problem_names VALUES (1, 'p/1'), (2, 'p/2');
                   INSERT INTO stages (id, key, kind, label, status, inputs, seconds, grader)
                   VALUES (1, 'e', 'evaluate', 'evaluate', 'done', '[]', 2.5, 1),
                          (2, 'b', 'base', 'base', 'done', '[]', 9.0, NULL);
                   INSERT INTO scores VALUES (1, 1, 1, 1, 1.0), (1, 1, 1, 2, 0.0), (1, 2, 1, 1, 70.0);
                   INSERT INTO experiments VALUES ('x', '', '', 'null');
                   INSERT INTO runs VALUES (1, 'x', 'r', 0, 'run', 0, '[]', '{}', 'done', NULL);
                   INSERT INTO checkpoints VALUES (1, 0, 'base', 2, 1);";
        memory.execute_batch(old).unwrap();
        let shown = |memory: &Connection| {
            let sql =
                "SELECT run || ' ' || checkpoint || ' ' || metric || ' ' || problems || ' ' || mean
                       FROM run_scores ORDER BY 1";
            let mut lines = memory.prepare(sql).unwrap();
            lines
                .query_map([], |row| row.get(0))
                .unwrap()
                .map(Result::unwrap)
                .collect::<Vec<String>>()
        };
        let before = shown(&memory);
        assert_eq!(before, ["r base m1@t1 2 0.5", "r base tokens 1 70.0"]);
        migrate_to_latest(&mut memory, Path::new("memory")).unwrap();
        assert_eq!(shown(&memory), before);
        let kept = "SELECT seconds, peak_bytes FROM stage_costs WHERE stage = 'e'";
        let kept: (f64, Option<i64>) = memory
            .query_row(kept, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(kept, (2.5, None));
    }

    #[test]
    fn a_step_that_fails_leaves_no_trace() {
        let mut memory = Connection::open_in_memory().unwrap();
        assert!(
            apply_migration(&mut memory, 1, "CREATE TABLE a (x); CREATE TABLE a (x);").is_err()
        );
        assert_eq!(schema_version(&memory, Path::new("memory")).unwrap(), 0);
    }

    #[test]
    fn a_step_that_breaks_a_reference_is_refused() {
        let mut memory = Connection::open_in_memory().unwrap();
        memory.pragma_update(None, "foreign_keys", false).unwrap();
        let broken =
            "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a (id));
                      INSERT INTO b VALUES (1);";
        assert!(matches!(
            apply_migration(&mut memory, 1, broken),
            Err(DatabaseError::Store(StoreError::Damaged { .. }))
        ));
    }

    #[test]
    fn a_newer_database_is_refused() {
        let folder = made_by(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 99;"
        ));
        let newer = |result| {
            matches!(
                result,
                Err(StoreError::NewerSchema {
                    found: 99,
                    known: SCHEMA_VERSION,
                    ..
                })
            )
        };
        assert!(newer(Store::open(folder.path()).map(drop)));
        assert!(newer(StoreReader::open(folder.path()).map(drop)));
    }

    #[test]
    fn a_database_of_another_program_is_refused_and_left_alone() {
        for sql in [
            "CREATE TABLE notes (text)",
            "PRAGMA application_id = 7",
            "PRAGMA user_version = 3",
        ] {
            let folder = made_by(sql);
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
}
