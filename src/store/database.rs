//! Opening the database: who may write, who may read, and what holds for both.
//!
//! # Contract
//!
//! - A store is a folder. `rise-lab.db` in it is ours; the folders of stages beside it are not.
//! - One process writes at a time. [`Store::open`] takes an advisory lock on `acquire_lock` in the folder
//!   and keeps it for as long as the [`Store`] lives; a second one gets [`StoreError::Busy`]. The
//!   system releases the lock when the process ends, however it ends.
//! - Any number of [`StoreReader`]s may read meanwhile. They never wait for the writer nor hold it up.
//! - Every change is one immediate transaction: it happened, or it did not.
//! - What is left `running` by a dead process becomes `interrupted` when the store is opened next.
//! - `queued`, `running`, `failed` and `interrupted` stages may change; a `done` stage, its texts,
//!   grades, scores, curves and files may not, and triggers in the schema keep it so. Grades and
//!   scores of further graders, and of newer versions, are added beside the old ones.
//! - A run's status sums up its stages and follows them. Forgetting a run forgets nothing of the
//!   stages that it shares.
//! - A database of a newer version, or of another program, is refused and not touched.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::{DatabaseError, StoreError};
use super::migrate;

/// File name of the database inside the store folder.
const DATABASE_FILE: &str = "rise-lab.db";

/// File name of the lock inside the store folder.
const LOCK_FILE: &str = "lock";

/// How long a statement waits for another program's lock on the database file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The one writer of a store; reads through [`Deref`] to [`StoreReader`].
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    reader: StoreReader,
    /// Holds the advisory lock; the file itself stays, so that no two processes can lock two
    /// different files of the same name.
    _lock: File,
}

/// A read-only view of a store, also while another process writes to it.
#[derive(Debug)]
pub struct StoreReader {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the store in `folder` for writing; creates or brings up to date what is there.
    ///
    /// # Errors
    /// If another process writes to the store, if the folder cannot be written, or if the database
    /// is damaged, newer than this program, or not ours.
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

    /// Does some work in one immediate transaction, so that all of it is stored or nothing.
    pub(super) fn write_transaction<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, DatabaseError>,
    ) -> Result<T, StoreError> {
        let connection = &mut self.connection;
        let attempt = || {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        attempt().map_err(|fault: DatabaseError| fault.with_context(&self.reader.path, doing))
    }

    /// Marks what a dead process left behind; the lock says that nobody is working on it.
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
        let (found, known) = (
            migrate::schema_version(&connection, &path)?,
            migrate::SCHEMA_VERSION,
        );
        match found {
            0 => Err(StoreError::Missing { path }),
            _ if found < known => Err(StoreError::OlderSchema { found, known, path }),
            _ => Ok(Self { connection, path }),
        }
    }

    /// Whether a process has the store open for writing; where none has, nothing is running,
    /// whatever a process that died has left written.
    #[must_use]
    pub fn is_being_written(&self) -> bool {
        let lock = self.path.with_file_name(LOCK_FILE);
        File::open(lock)
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Where the database lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does some reading in one transaction, so that all of it sees the same state.
    pub(super) fn read_transaction<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseError>,
    ) -> Result<T, StoreError> {
        let attempt = || {
            let transaction = self.connection.unchecked_transaction()?;
            work(&transaction)
        };
        attempt().map_err(|fault: DatabaseError| fault.with_context(&self.path, doing))
    }
}

fn cannot_write_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::CannotWrite {
        path: path.to_owned(),
        source: source.into(),
    }
}

/// Takes the store's lock and leaves our process id in it for whoever comes second.
fn acquire_lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK_FILE);
    let refused = |source| cannot_write_error(&path, source);
    // Not truncated: until the lock is ours the content is another process's.
    let options = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut file = options.map_err(refused)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::Busy {
                path: folder.to_owned(),
                pid: lock_owner(&mut file),
            });
        }
        Err(TryLockError::Error(source)) => return Err(refused(source)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .map_err(refused)?;
    write!(file, "{}", std::process::id()).map_err(refused)?;
    Ok(file)
}

/// The process id written in a lock file, where it can be read.
fn lock_owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let at = |source| StoreError::from_sqlite(path, "opening the database", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(at)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(at)?;
    migrate::migrate_to_latest(&mut connection, path)?;
    let mode = configure_writer(&connection).map_err(at)?;
    if mode == "wal" {
        Ok(connection)
    } else {
        Err(StoreError::NoWriteAheadLog {
            path: path.to_owned(),
            mode,
        })
    }
}

/// Sets what holds for the writing connection; returns the journal mode that it got.
fn configure_writer(connection: &Connection) -> rusqlite::Result<String> {
    // Readers go on while a stage's results are written, and a killed writer leaves a whole database.
    let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    // With a write-ahead log this survives any death of the process. A loss of power may take the
    // last transactions; the stages' files are on disk by then and are taken in again.
    connection.pragma_update(None, "synchronous", "normal")?;
    // A big stage grows the log once; it need not stay that big.
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
    // Says so a second time, for whatever is attached or opened beside the main file.
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}
