//! Opens the database for one writer and any number of readers.
//!
//! # Contract
//!
//! - A store is a folder. `rise-lab.db` in it is ours; the folders of stages are not.
//! - One process writes at a time. [`Store::open`] takes an advisory lock on the file `lock` and
//!   keeps it while the [`Store`] lives; a second one gets [`StoreError::Busy`]. The system
//!   releases the lock when the process ends.
//! - Any number of [`StoreReader`]s may read meanwhile. They never wait for the writer or block it.
//! - Every change is one immediate transaction.
//! - Opening a store turns the stages and runs that a dead process left `running` into
//!   `interrupted`.
//! - `queued`, `running`, `failed` and `interrupted` stages may change. Triggers in the schema keep
//!   a `done` stage, its texts, grades, scores, curves and files from changing. Further graders and
//!   newer versions add rows.
//! - A run's status follows its stages. Deleting a run keeps its stages.
//! - A database of another version or another program is refused and left alone.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::{DatabaseError, StoreError};
use super::schema;

/// File name of the database inside the store folder.
const DATABASE_FILE: &str = "rise-lab.db";

/// File name of the lock inside the store folder.
const LOCK_FILE: &str = "lock";

/// The time that a statement waits for another program's lock on the database file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The one writer of a store; reads through [`Deref`] to [`StoreReader`].
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    reader: StoreReader,
    /// Holds the advisory lock. The file itself stays, or two processes could lock two different
    /// files of the same name.
    _lock: File,
}

/// A read-only view of a store, also while another process writes to it.
#[derive(Debug)]
pub struct StoreReader {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the store in `folder` for writing; creates the database if there is none.
    ///
    /// # Errors
    /// If another process writes to the store, if the folder cannot be written, or if the database
    /// is damaged, of another version, or not ours.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|source| cannot_write_error(folder, source))?;
        let lock = acquire_lock(folder)?;
        let path = folder.join(DATABASE_FILE);
        let connection = open_writer(&path)?;
        let reader = StoreReader::open(folder)?;
        let mut store = Self {
            connection,
            reader,
            _lock: lock,
        };
        store.mark_interrupted()?;
        Ok(store)
    }

    /// The read-only side of the same store.
    #[must_use]
    pub const fn reader(&self) -> &StoreReader {
        &self.reader
    }

    /// Does some work in one immediate transaction: stores all of it or nothing.
    pub(super) fn write_transaction<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, DatabaseError>,
    ) -> Result<T, StoreError> {
        write_transaction(&mut self.connection, work)
            .map_err(|error| error.with_context(&self.reader.path, doing))
    }

    /// Marks the work of a dead process; the lock proves that no other process works on it.
    fn mark_interrupted(&mut self) -> Result<(), StoreError> {
        self.write_transaction("marking interrupted work", |transaction| {
            transaction.execute(
                "UPDATE stages SET status = 'interrupted' WHERE status = 'running'",
                [],
            )?;
            transaction.execute(
                "UPDATE runs SET status = 'interrupted' WHERE status = 'running'",
                [],
            )?;
            Ok(())
        })
    }
}

impl Deref for Store {
    type Target = StoreReader;

    fn deref(&self) -> &StoreReader {
        &self.reader
    }
}

impl StoreReader {
    /// Opens the database of the store in `folder` for reading; changes nothing.
    ///
    /// # Errors
    /// If there is none, or it is damaged, of another version, or not ours.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(DATABASE_FILE);
        if !path.exists() {
            return Err(StoreError::Missing { path });
        }
        let connection = open_reader(&path)
            .map_err(|fault| fault.with_context(&path, "opening the database"))?;
        if schema::has_schema(&connection, &path)? {
            Ok(Self { connection, path })
        } else {
            Err(StoreError::Missing { path })
        }
    }

    /// Whether a process has the store open for writing. If none has, nothing is running, even if
    /// a dead process left a `running` status.
    #[must_use]
    pub fn is_being_written(&self) -> bool {
        let lock = self.path.with_file_name(LOCK_FILE);
        File::open(lock)
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads in one transaction, so all of it sees the same state.
    pub(super) fn read_transaction<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseError>,
    ) -> Result<T, StoreError> {
        self.connection
            .unchecked_transaction()
            .map_err(DatabaseError::from)
            .and_then(|transaction| work(&transaction))
            .map_err(|error| error.with_context(&self.path, doing))
    }
}

fn write_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn cannot_write_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::CannotWrite {
        path: path.to_owned(),
        source: source.into(),
    }
}

/// Takes the store's lock and writes our process id into it, for the error of a second process.
fn acquire_lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK_FILE);
    match lock_file(&path) {
        Ok(file) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy {
            path: folder.to_owned(),
            pid: lock_owner(&path),
        }),
        Err(TryLockError::Error(source)) => Err(cannot_write_error(&path, source)),
    }
}

fn lock_file(path: &Path) -> Result<File, TryLockError> {
    // Not truncated: until the lock is ours the content is another process's.
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(TryLockError::Error)?;
    file.try_lock()?;
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(TryLockError::Error)?;
    Ok(file)
}

/// The process id written in a lock file, where it can be read.
fn lock_owner(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let doing = "opening the database";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)
        .and_then(|connection| connection.busy_timeout(BUSY_TIMEOUT).map(|()| connection))
        .map_err(|source| StoreError::from_sqlite(path, doing, source))?;
    schema::create_if_empty(&mut connection, path)?;
    match configure_writer(&connection) {
        Ok(mode) if mode == "wal" => Ok(connection),
        Ok(mode) => Err(StoreError::NoWriteAheadLog {
            path: path.to_owned(),
            mode,
        }),
        Err(source) => Err(StoreError::from_sqlite(path, doing, source)),
    }
}

/// Configures the writing connection; returns its journal mode.
fn configure_writer(connection: &Connection) -> rusqlite::Result<String> {
    // Readers continue during a write, and a killed writer leaves a whole database.
    let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    // With a write-ahead log this survives a crash of the process. A loss of power may take the
    // last transactions; the sweep then imports the stages' files again.
    connection.pragma_update(None, "synchronous", "normal")?;
    // A big stage grows the log once; the limit shrinks it again.
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    // Off by default in the engine, and a setting of the connection rather than the file.
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(mode)
}

fn open_reader(path: &Path) -> Result<Connection, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Also covers databases that a query attaches.
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Status;
    use crate::store::fixtures::*;

    #[test]
    fn the_second_writer_is_told_who_is_first() {
        let (folder, store) = fresh_store();
        match Store::open(folder.path()) {
            Err(StoreError::Busy { path, pid }) => {
                assert_eq!(
                    (path.as_path(), pid),
                    (folder.path(), Some(std::process::id()))
                );
            }
            other => panic!("{other:?}"),
        }
        drop(store);
        Store::open(folder.path()).unwrap();
    }

    #[test]
    fn readers_read_while_the_writer_writes() {
        let (folder, mut store) = fresh_store();
        let reader = StoreReader::open(folder.path()).unwrap();
        let seen = store.write_transaction("testing", |transaction| {
            transaction.execute("DELETE FROM runs", [])?;
            Ok((
                reader.runs("one")?.len(),
                StoreReader::open(folder.path())?.runs("one")?.len(),
            ))
        });
        assert_eq!(seen.unwrap(), (2, 2), "what is not committed is not seen");
        assert_eq!(reader.runs("one").unwrap().len(), 0);
        record_evaluation(&mut store);
        drop(store);
        assert_eq!(
            reader.episodes(&key("evaluate")).unwrap().len(),
            3,
            "a reader outlives the writer"
        );
    }

    #[test]
    fn a_reader_does_not_create_anything() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            StoreReader::open(folder.path()),
            Err(StoreError::Missing { .. })
        ));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_process_left_running_is_interrupted() {
        let (folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        store.record_stage_start(&key("base")).unwrap();
        store
            .set_run_status("one", &key("weak"), Status::Running, None)
            .unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(stage_status(&store, "base"), Status::Interrupted);
        assert_eq!(stage_status(&store, "evaluate"), Status::Done);
        assert_eq!(stage_status(&store, "evaluate greedily"), Status::Queued);
        let statuses: Vec<_> = store
            .runs("one")
            .unwrap()
            .into_iter()
            .map(|row| row.status)
            .collect();
        assert_eq!(statuses, [Status::Interrupted, Status::Queued]);
    }

    /// A kill leaves the files as they are on disk while the writer works.
    #[test]
    fn files_left_by_a_kill_hold_every_finished_transaction() {
        let (folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        store.record_stage_start(&key("base")).unwrap();
        let left = tempfile::tempdir().unwrap();
        for file in ["rise-lab.db", "rise-lab.db-wal"] {
            fs::copy(folder.path().join(file), left.path().join(file)).unwrap();
        }
        let reader = StoreReader::open(left.path()).unwrap();
        assert_eq!(
            stage_status(&reader, "base"),
            Status::Running,
            "a reader reports what is written"
        );
        let survivor = Store::open(left.path()).unwrap();
        assert_eq!(stage_status(&survivor, "base"), Status::Interrupted);
        assert_eq!(
            survivor.episodes(&key("evaluate")).unwrap(),
            store.episodes(&key("evaluate")).unwrap()
        );
        assert_eq!(
            survivor.query("PRAGMA integrity_check", 1).unwrap().rows,
            [[json!("ok")]]
        );
    }

    #[test]
    fn opening_again_changes_nothing() {
        let (folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        let dump = |reader: &StoreReader| {
            (
                reader.experiment_stages("one").unwrap(),
                reader.runs("one").unwrap(),
                reader.episodes(&key("evaluate")).unwrap(),
            )
        };
        let before = dump(&store);
        drop(store);
        assert_eq!(dump(&planned_store(folder.path())), before);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "in the way").unwrap();
        let refused = Store::open(&file.join("store")).unwrap_err();
        assert!(
            matches!(&refused, StoreError::CannotWrite { path, .. } if path.starts_with(&file)),
            "{refused}"
        );
        let blocked = folder.path().join("blocked");
        fs::create_dir_all(blocked.join("rise-lab.db")).unwrap();
        assert!(matches!(
            Store::open(&blocked),
            Err(StoreError::CannotWrite { .. })
        ));
    }

    #[test]
    fn damage_is_reported_as_damage() {
        let (folder, mut store) = fresh_store();
        record_evaluation(&mut store);
        drop(store);
        let path = folder.path().join("rise-lab.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[4096..].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        let found = StoreReader::open(folder.path()).and_then(|reader| reader.runs("one"));
        assert!(
            matches!(found, Err(StoreError::Damaged { .. })),
            "{found:?}"
        );
    }

    #[test]
    fn words_that_mean_nothing_are_damage() {
        let (folder, store) = fresh_store();
        let shell = Connection::open(folder.path().join("rise-lab.db")).unwrap();
        shell.execute("UPDATE runs SET spec = '{'", []).unwrap();
        assert!(matches!(store.runs("one"), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_reader_knows_whether_somebody_is_writing() {
        let (folder, store) = fresh_store();
        let reader = StoreReader::open(folder.path()).unwrap();
        assert!(reader.is_being_written());
        drop(store);
        assert!(!reader.is_being_written());
        assert!(
            Store::open(folder.path()).is_ok(),
            "looking leaves no lock behind"
        );
    }
}
