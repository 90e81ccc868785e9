//! Queries that users write in SQL: one statement that only reads.
//!
//! The connection cannot write anyway; the check here makes the error name the query instead of the
//! file.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, Row, Statement};
use serde::Serialize;
use serde_json::Value;

use super::database::StoreReader;
use super::error::{DatabaseError, StoreError};

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueryResult {
    /// The columns' names, in order.
    pub columns: Vec<String>,
    /// The rows; bytes are written as hexadecimal digits, numbers that are not finite as null.
    pub rows: Vec<Vec<Value>>,
    /// Whether there were more rows than the limit.
    #[serde(rename = "more")]
    pub truncated: bool,
}

impl StoreReader {
    /// Answers one statement that reads, with at most `limit` rows, however long it takes.
    ///
    /// # Errors
    /// If it is not exactly one statement, if it might write, or if it cannot be evaluated.
    pub fn query(&self, sql: &str, limit: usize) -> Result<QueryResult, StoreError> {
        self.read_transaction("answering a query", |connection| {
            run_query(connection, sql, limit)
        })
    }

    /// The same as [`StoreReader::query`], but stops after `time`.
    ///
    /// # Errors
    /// As for [`StoreReader::query`], and if the time is over.
    pub fn query_with_timeout(
        &self,
        sql: &str,
        limit: usize,
        time: Duration,
    ) -> Result<QueryResult, StoreError> {
        self.read_transaction("answering a query", |connection| {
            with_timeout(connection, time, || run_query(connection, sql, limit)).map_err(|fault| {
                match fault {
                    DatabaseError::Sqlite(source)
                        if source.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
                    {
                        StoreError::SlowQuery {
                            seconds: time.as_secs_f64(),
                        }
                        .into()
                    }
                    other => other,
                }
            })
        })
    }
}

/// Does some work and interrupts the connection when it takes longer than `time`.
fn with_timeout<T>(connection: &Connection, time: Duration, work: impl FnOnce() -> T) -> T {
    let handle = connection.get_interrupt_handle();
    let (finished, watched) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if watched.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let value = work();
        drop(finished);
        value
    })
}

fn run_query(
    connection: &Connection,
    sql: &str,
    limit: usize,
) -> Result<QueryResult, DatabaseError> {
    let mut statement = prepare_read_only(connection, sql)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut answer = statement.query([]).map_err(query_error)?;
    let mut rows = Vec::new();
    while let Some(row) = answer.next().map_err(query_error)? {
        if rows.len() == limit {
            return Ok(QueryResult {
                columns,
                rows,
                truncated: true,
            });
        }
        rows.push(row_values(row, columns.len())?);
    }
    Ok(QueryResult {
        columns,
        rows,
        truncated: false,
    })
}

fn prepare_read_only<'a>(
    connection: &'a Connection,
    sql: &str,
) -> Result<Statement<'a>, DatabaseError> {
    let statement = match connection.prepare(sql) {
        Ok(statement) => statement,
        Err(Error::MultipleStatement) => return Err(read_only_error("there is more than one")),
        Err(error) => return Err(query_error(error)),
    };
    if !statement.readonly() {
        return Err(read_only_error("this one writes"));
    }
    // Begin, attach, vacuum and the like do not count as writing, but give no rows either.
    if statement.column_count() == 0 {
        return Err(read_only_error("this one gives no rows"));
    }
    Ok(statement)
}

fn read_only_error(what: &'static str) -> DatabaseError {
    StoreError::ReadOnlyQuery { what }.into()
}

/// A mistake in the query is the user's to mend; anything else is the engine's.
fn query_error(error: Error) -> DatabaseError {
    match &error {
        Error::SqlInputError { msg, .. } => StoreError::BadQuery {
            message: msg.clone(),
        }
        .into(),
        Error::SqliteFailure(code, Some(message)) if code.code == ErrorCode::Unknown => {
            StoreError::BadQuery {
                message: message.clone(),
            }
            .into()
        }
        Error::InvalidParameterCount(..) => {
            let message = "it has parameters, and there is nothing to fill them with".to_owned();
            StoreError::BadQuery { message }.into()
        }
        _ => error.into(),
    }
}

fn row_values(row: &Row<'_>, columns: usize) -> rusqlite::Result<Vec<Value>> {
    (0..columns)
        .map(|column| row.get_ref(column).map(json_value))
        .collect()
}

fn json_value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(bytes) => hexadecimal(bytes).into(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::store::Store;

    use super::*;

    fn ask(sql: &str, limit: usize) -> Result<QueryResult, StoreError> {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path()).unwrap().query(sql, limit)
    }

    #[test]
    fn every_kind_of_value_is_shown() {
        let table = ask(
            "SELECT 1 AS a, 0.5 AS b, 'x' AS c, NULL AS d, x'0aff' AS e, 9e999 AS f",
            10,
        )
        .unwrap();
        assert_eq!(table.columns, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(
            table.rows,
            [vec![
                json!(1),
                json!(0.5),
                json!("x"),
                json!(null),
                json!("0aff"),
                json!(null)
            ]]
        );
    }

    #[test]
    fn the_limit_is_kept_and_told() {
        let numbers = "SELECT value FROM json_each('[1,2,3]')";
        let cut = ask(numbers, 2).unwrap();
        assert!(cut.truncated && cut.rows == [[json!(1)], [json!(2)]]);
        let whole = ask(numbers, 3).unwrap();
        assert!(!whole.truncated && whole.rows.len() == 3);
    }

    #[test]
    fn what_is_not_one_read_is_refused() {
        let refused = [
            "DELETE FROM runs",
            "DROP TABLE runs",
            "INSERT INTO graders (name, version) VALUES ('x', 1) RETURNING id",
            "PRAGMA user_version = 7",
            "BEGIN",
            "ATTACH '/tmp/elsewhere.db' AS elsewhere",
            "VACUUM INTO '/tmp/elsewhere.db'",
            "SELECT 1; DELETE FROM runs",
            "",
            "-- nothing",
        ];
        for sql in refused {
            assert!(
                matches!(ask(sql, 1), Err(StoreError::ReadOnlyQuery { .. })),
                "{sql}"
            );
        }
    }

    #[test]
    fn a_mistake_is_explained() {
        insta::assert_snapshot!(ask("SELECT mean FROM run_score", 1).unwrap_err(), @"this query cannot be run: no such table: run_score; `SELECT name, sql FROM sqlite_schema` lists every table and view");
        insta::assert_snapshot!(ask("SELECT 1; DELETE FROM runs", 1).unwrap_err(), @"only one statement that reads is allowed here, such as `SELECT ... FROM run_scores`: there is more than one");
        for sql in [
            "SELEC 1",
            "SELECT ?1",
            "SELECT json('{')",
            "SELECT abs(-9223372036854775808)",
        ] {
            assert!(
                matches!(ask(sql, 1), Err(StoreError::BadQuery { .. })),
                "{sql}"
            );
        }
    }

    #[test]
    fn an_endless_query_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let endless =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        let stopped = store.query_with_timeout(endless, 1, Duration::from_millis(20));
        assert!(
            matches!(stopped, Err(StoreError::SlowQuery { .. })),
            "{stopped:?}"
        );
        assert_eq!(
            store
                .query_with_timeout("SELECT 1", 1, Duration::from_mins(1))
                .unwrap()
                .rows,
            [[json!(1)]]
        );
    }
}
