//! Hashes of files too large to be read each time.
//!
//! A file whose length and time of change are those that its hash was made at is taken for the same
//! file. Kept in the store, where there is one; nothing but time is lost without it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::Key;
use crate::model::checkpoint::FileStamp;

const HASHES_FILE: &str = "hashes.json";

/// What a file was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HashEntry {
    stamp: FileStamp,
    sha256: Key,
}

/// SHA-256 of files by their paths.
#[derive(Debug, Default)]
pub struct FileHashes {
    path: Option<PathBuf>,
    entries: RefCell<BTreeMap<PathBuf, HashEntry>>,
}

impl FileHashes {
    /// Those that the store at `root` remembers; what is added is kept there if the store exists.
    pub fn open(root: &Path) -> Self {
        let kept = root.join(HASHES_FILE);
        let text = fs::read_to_string(&kept).unwrap_or_default();
        let entries = serde_json::from_str(&text).unwrap_or_default();
        Self {
            path: Some(kept),
            entries: RefCell::new(entries),
        }
    }

    /// The SHA-256 of a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn hash_file(&self, path: &Path) -> io::Result<Key> {
        let path = fs::canonicalize(path)?;
        let stamp = FileStamp::from_file(&path)?;
        let known = self.entries.borrow().get(&path).cloned();
        if let Some(entry) = known.filter(|entry| entry.stamp == stamp) {
            return Ok(entry.sha256);
        }
        let sha256 = Key::from_reader(File::open(&path)?)?;
        let entry = HashEntry {
            stamp,
            sha256: sha256.clone(),
        };
        self.entries.borrow_mut().insert(path, entry);
        self.save();
        Ok(sha256)
    }

    fn save(&self) {
        let Some(kept) = &self.path else { return };
        let text = serde_json::to_string(&*self.entries.borrow()).expect("hashes are plain data");
        // Only time is lost where it cannot be written: a plan must not need a store.
        let temporary = kept.with_extension(format!("{}.tmp", std::process::id()));
        let _ = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, kept));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_remembered_until_its_file_changes() {
        let store = tempfile::tempdir().unwrap();
        let path = store.path().join("weights");
        fs::write(&path, "one").unwrap();
        let one = FileHashes::open(store.path()).hash_file(&path).unwrap();
        assert_eq!(one, Key::from_bytes(b"one"));
        // What was kept is believed: a wrong entry with the right stamp comes back.
        let kept = store.path().join(HASHES_FILE);
        let other = Key::from_bytes(b"other");
        let text = fs::read_to_string(&kept)
            .unwrap()
            .replace(one.as_str(), other.as_str());
        fs::write(&kept, text).unwrap();
        assert_eq!(
            FileHashes::open(store.path()).hash_file(&path).unwrap(),
            other
        );
        fs::write(&path, "three").unwrap();
        assert_eq!(
            FileHashes::open(store.path()).hash_file(&path).unwrap(),
            Key::from_bytes(b"three")
        );
    }

    #[test]
    fn nothing_is_written_where_there_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, "one").unwrap();
        let store = folder.path().join("store");
        assert_eq!(
            FileHashes::open(&store).hash_file(&path).unwrap(),
            Key::from_bytes(b"one")
        );
        assert!(!store.exists());
    }
}
