//! Conversions between values of the domain and columns: one spelling per value, as queries show it.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use serde_json::Value;

use crate::domain::{CandidateAuthor, GradeVerdict, Key, Split};
use crate::store::rows::Status;

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Key {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        String::column_result(value).map(Self::from)
    }
}

/// Writes a closed set of values by name and reads it back; `$word` names the set in an error.
macro_rules! named_column {
    ($type:ty, $word:literal, $all:expr, $name:expr) => {
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok($name(*self).into())
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let text = value.as_str()?;
                let mut all = $all.into_iter();
                all.find(|&known| $name(known) == text).ok_or_else(|| {
                    FromSqlError::Other(format!(concat!("`{}` is no ", $word), text).into())
                })
            }
        }
    };
}

named_column!(Status, "status", Status::ALL, Status::name);
named_column!(Split, "split", Split::ALL, Split::name);
named_column!(
    GradeVerdict,
    "verdict",
    [
        GradeVerdict::Unreadable,
        GradeVerdict::Wrong,
        GradeVerdict::Right
    ],
    GradeVerdict::name
);
named_column!(
    CandidateAuthor,
    "author",
    [
        CandidateAuthor::Policy,
        CandidateAuthor::Other,
        CandidateAuthor::Teacher
    ],
    author_name
);

const fn author_name(author: CandidateAuthor) -> &'static str {
    match author {
        CandidateAuthor::Policy => "policy",
        CandidateAuthor::Other => "other",
        CandidateAuthor::Teacher => "teacher",
    }
}

/// A JSON value in a text column.
pub(super) struct JsonColumn(pub(super) Value);

impl FromSql for JsonColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// Axes with their value labels, from a JSON array of pairs.
pub(super) struct AxesColumn(pub(super) Vec<(String, String)>);

impl FromSql for AxesColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        // Straight into strings: a list of runs reads every run's.
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn round_trip<T: ToSql + FromSql>(value: T) -> T {
        let memory = Connection::open_in_memory().unwrap();
        memory
            .query_row("SELECT ?1", [value], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn every_value_comes_back() {
        for status in Status::ALL {
            assert_eq!(round_trip(status), status);
        }
        for split in Split::ALL {
            assert_eq!(round_trip(split), split);
        }
        for verdict in [
            GradeVerdict::Unreadable,
            GradeVerdict::Wrong,
            GradeVerdict::Right,
        ] {
            assert_eq!(round_trip(verdict), verdict);
        }
        for author in [
            CandidateAuthor::Policy,
            CandidateAuthor::Other,
            CandidateAuthor::Teacher,
        ] {
            assert_eq!(round_trip(author), author);
        }
        let key = Key::from_bytes(b"x");
        assert_eq!(round_trip(key.clone()), key);
    }

    #[test]
    fn a_word_without_meaning_is_an_error() {
        let memory = Connection::open_in_memory().unwrap();
        let read = memory.query_row("SELECT 'finished'", [], |row| row.get::<_, Status>(0));
        let error = read.unwrap_err().to_string();
        assert!(error.contains("`finished` is no status"), "{error}");
        let read = memory.query_row("SELECT 'good'", [], |row| row.get::<_, GradeVerdict>(0));
        let error = read.unwrap_err().to_string();
        assert!(error.contains("`good` is no verdict"), "{error}");
    }
}
