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
use crate::model::checkpoint::Stamp;

const FILE: &str = "hashes.json";

/// What a file was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    stamp: Stamp,
    sha256: Key,
}

/// SHA-256 of files by their paths.
#[derive(Debug, Default)]
pub struct Hashes {
    kept: Option<PathBuf>,
    entries: RefCell<BTreeMap<PathBuf, Entry>>,
}

impl Hashes {
    /// Those that the store at `root` remembers; what is added is kept there if the store exists.
    pub fn kept_in(root: &Path) -> Self {
        let kept = root.join(FILE);
        let text = fs::read_to_string(&kept).unwrap_or_default();
        let entries = serde_json::from_str(&text).unwrap_or_default();
        Self {
            kept: Some(kept),
            entries: RefCell::new(entries),
        }
    }

    /// The SHA-256 of a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(&self, path: &Path) -> io::Result<Key> {
        let path = fs::canonicalize(path)?;
        let stamp = Stamp::of(&path)?;
        let known = self.entries.borrow().get(&path).cloned();
        if let Some(entry) = known.filter(|entry| entry.stamp == stamp) {
            return Ok(entry.sha256);
        }
        let sha256 = Key::of_reader(File::open(&path)?)?;
        let entry = Entry {
            stamp,
            sha256: sha256.clone(),
        };
        self.entries.borrow_mut().insert(path, entry);
        self.keep();
        Ok(sha256)
    }

    fn keep(&self) {
        let Some(kept) = &self.kept else { return };
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
        let one = Hashes::kept_in(store.path()).of(&path).unwrap();
        assert_eq!(one, Key::of_bytes(b"one"));
        // What was kept is believed: a wrong entry with the right stamp comes back.
        let kept = store.path().join(FILE);
        let other = Key::of_bytes(b"other");
        let text = fs::read_to_string(&kept)
            .unwrap()
            .replace(one.as_str(), other.as_str());
        fs::write(&kept, text).unwrap();
        assert_eq!(Hashes::kept_in(store.path()).of(&path).unwrap(), other);
        fs::write(&path, "three").unwrap();
        assert_eq!(
            Hashes::kept_in(store.path()).of(&path).unwrap(),
            Key::of_bytes(b"three")
        );
    }

    #[test]
    fn nothing_is_written_where_there_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, "one").unwrap();
        let store = folder.path().join("store");
        assert_eq!(
            Hashes::kept_in(&store).of(&path).unwrap(),
            Key::of_bytes(b"one")
        );
        assert!(!store.exists());
    }
}
