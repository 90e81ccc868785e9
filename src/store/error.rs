//! Everything that can go wrong with the database, in words a user can act on.
//!
//! Responsible for turning the engine's error codes into cases; hides those codes from the rest of
//! the program.

use std::error::Error;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::domain::Key;

/// An error of the engine or the file system below the store.
type BoxedError = Box<dyn Error + Send + Sync>;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no database yet.
    #[error("{}: there is no run database here; run `rise-lab sweep` first, or name another store with `--store`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The database was written by a later version of the program.
    #[error("{}: this database has schema version {found}, and this program knows versions up to {known}; use the newer rise-lab that wrote it, or another store with `--store`", path.display())]
    NewerSchema {
        /// Its schema version.
        found: i32,
        /// The last version known here.
        known: i32,
        /// The database file.
        path: PathBuf,
    },
    /// The database must be brought up to date before it can be read.
    #[error("{}: this database has schema version {found}, and this program reads version {known}; run `rise-lab sweep` on this store once to bring it up to date", path.display())]
    OlderSchema {
        /// Its schema version.
        found: i32,
        /// The version that is read here.
        known: i32,
        /// The database file.
        path: PathBuf,
    },
    /// The file belongs to another program, or is no database at all.
    #[error("{}: this file is not a rise-lab database ({what}); it was left as it is; move it away, or name another store with `--store`", path.display())]
    NotOurDatabase {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// Another process writes to this store.
    #[error("{}: another rise-lab process{} is working on this store; wait for it, stop it, or name another store with `--store`", path.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Busy {
        /// The store folder.
        path: PathBuf,
        /// The other process, where it could be told.
        pid: Option<u32>,
    },
    /// Another program holds the database file itself.
    #[error("{}: the database stayed locked by another program for {seconds} s; close whatever has it open for writing (an `sqlite3` shell?) and run the same command again", path.display())]
    Locked {
        /// The database file.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// The store folder or the database cannot be written.
    #[error("{}: cannot write here ({source}); free space, allow writing, or name another store with `--store`", path.display())]
    CannotWrite {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: BoxedError,
    },
    /// The file system cannot hold this kind of database.
    #[error("{}: this file system does not support the database's write-ahead log (journal mode is `{mode}`); use a local disk with `--store`", path.display())]
    NoWriteAheadLog {
        /// The database file.
        path: PathBuf,
        /// The journal mode that it has instead.
        mode: String,
    },
    /// The database holds something that it cannot hold.
    #[error("{}: this database is damaged ({what}); restore a copy, or start with another store with `--store` (finished stages' files are still in `stages`)", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The engine refused a statement of ours.
    #[error("{}: {doing} failed: {source}", path.display())]
    Sql {
        /// The database file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the engine said.
        source: BoxedError,
    },
    /// A query that is not one read.
    #[error(
        "only one statement that reads is allowed here, such as `SELECT ... FROM run_scores`: {what}"
    )]
    ReadOnlyQuery {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A query that cannot be understood or evaluated.
    #[error(
        "this query cannot be run: {message}; `SELECT name, sql FROM sqlite_schema` lists every table and view"
    )]
    BadQuery {
        /// What the engine said.
        message: String,
    },
    /// A query that took too long.
    #[error("the query was stopped after {seconds} s; add a condition or a LIMIT")]
    SlowQuery {
        /// The limit.
        seconds: f64,
    },
    /// No experiment has this name.
    #[error("no experiment is called `{given}`{}; `rise-lab runs` lists what there is", suggestion(nearest.as_deref()))]
    UnknownExperiment {
        /// The name asked for.
        given: String,
        /// The closest name there is.
        nearest: Option<String>,
    },
    /// No run has this key or label.
    #[error("no run has the key or label `{given}`{}; `rise-lab runs` lists them", suggestion(nearest.as_deref()))]
    UnknownRun {
        /// What was asked for.
        given: String,
        /// The closest label there is.
        nearest: Option<String>,
    },
    /// Several runs fit.
    #[error("`{given}` could be any of these runs: {}; give more digits of the key", candidates.join(", "))]
    AmbiguousRun {
        /// What was asked for.
        given: String,
        /// Keys of the runs that fit, at most five of them.
        candidates: Vec<String>,
    },
    /// A stage that was never planned.
    #[error("stage {key} is not in this store; plan the experiment that uses it first")]
    UnknownStage {
        /// Its key.
        key: Key,
    },
    /// A stage that is finished already and therefore cannot change.
    #[error("stage {} is finished and cannot change any more", key.short())]
    StageAlreadyDone {
        /// Its key.
        key: Key,
    },
    /// A score of a metric that was never described.
    #[error("metric `{name}` is not in this store; record what it means before its scores")]
    UnknownMetric {
        /// Its name.
        name: String,
    },
    /// A metric that means something else under the same version.
    #[error(
        "metric `{name}` version {version} is stored with another unit or direction; raise its version"
    )]
    MetricChanged {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
    },
    /// Results that contradict themselves or do not fit the database.
    #[error("the results of stage {} cannot be stored: {what}", key.short())]
    BadResults {
        /// The stage.
        key: Key,
        /// What is wrong, and where.
        what: String,
    },
    /// A plan that does not fit the database.
    #[error("run `{label}` cannot be stored: {what}")]
    BadRun {
        /// The run's label.
        label: String,
        /// What is wrong with it.
        what: String,
    },
}

/// ` (did you mean ...?)`, or nothing.
fn suggestion(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default()
}

impl StoreError {
    /// The case that an error of the engine stands for.
    pub(super) fn from_sqlite(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if matches!(
            source,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
        ) {
            return Self::Damaged {
                path,
                what: source.to_string(),
            };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotOurDatabase {
                path,
                what: "it is not an SQLite file",
            },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged {
                path,
                what: source.to_string(),
            },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked {
                path,
                seconds: super::database::BUSY_TIMEOUT.as_secs(),
            },
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure,
            ) => Self::CannotWrite {
                path,
                source: source.into(),
            },
            _ => Self::Sql {
                path,
                doing,
                source: source.into(),
            },
        }
    }
}

/// An error inside a piece of work on the database, before it is known where and at what.
pub(super) enum DatabaseError {
    /// The engine's.
    Sqlite(rusqlite::Error),
    /// Results that cannot be stored, told without the stage.
    InvalidResults(String),
    /// Ours, complete.
    Store(StoreError),
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite(source)
    }
}

impl From<StoreError> for DatabaseError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl DatabaseError {
    /// The error as the caller of the store sees it.
    pub(super) fn with_context(self, path: &Path, doing: &'static str) -> StoreError {
        match self {
            Self::Sqlite(source) => StoreError::from_sqlite(path, doing, source),
            Self::InvalidResults(what) => StoreError::Sql {
                path: path.to_owned(),
                doing,
                source: what.into(),
            },
            Self::Store(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_place_and_the_way_out() {
        let path = PathBuf::from("store");
        let shown = [
            StoreError::Busy {
                path: path.clone(),
                pid: Some(17),
            }
            .to_string(),
            StoreError::Busy {
                path: path.clone(),
                pid: None,
            }
            .to_string(),
            StoreError::NewerSchema {
                found: 9,
                known: 1,
                path: path.clone(),
            }
            .to_string(),
            StoreError::CannotWrite {
                path,
                source: "disk full".into(),
            }
            .to_string(),
            StoreError::UnknownRun {
                given: "weka".into(),
                nearest: Some("weak".into()),
            }
            .to_string(),
            StoreError::UnknownExperiment {
                given: "a".into(),
                nearest: None,
            }
            .to_string(),
        ];
        insta::assert_snapshot!(shown.join("\n"), @r#"
        store: another rise-lab process (process 17) is working on this store; wait for it, stop it, or name another store with `--store`
        store: another rise-lab process is working on this store; wait for it, stop it, or name another store with `--store`
        store: this database has schema version 9, and this program knows versions up to 1; use the newer rise-lab that wrote it, or another store with `--store`
        store: cannot write here (disk full); free space, allow writing, or name another store with `--store`
        no run has the key or label `weka` (did you mean `weak`?); `rise-lab runs` lists them
        no experiment is called `a`; `rise-lab runs` lists what there is
        "#);
    }
}
