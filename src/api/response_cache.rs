//! The answers of one model on disk, one file per question, and the name under which it answers.
//!
//! A rename puts each file into place, so worker processes may share the folder, and a kill leaves
//! whole files only.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::Key;

use super::ApiError;
use super::chat::ApiAnswer;

/// The name under which the server answers.
const SERVED_MODEL_FILE: &str = "served.txt";

/// A request with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CachedAnswer {
    /// The request that was answered; it holds no key.
    pub request: Value,
    /// The answer.
    pub answer: ApiAnswer,
}

/// The folder of one model's answers.
#[derive(Debug)]
pub struct ResponseCache {
    folder: PathBuf,
}

impl ResponseCache {
    /// The answers of `model` at `place` below a folder that holds those of all models.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(root: &Path, place: &str, model: &str) -> Result<Self, ApiError> {
        let name: String = model
            .chars()
            .map(|letter| match letter {
                '-' | '.' | '_' => letter,
                _ if letter.is_ascii_alphanumeric() => letter,
                _ => '_',
            })
            .take(60)
            .collect();
        let folder = root.join(format!(
            "{name}-{}",
            Key::from_value(&(place, model)).short()
        ));
        fs::create_dir_all(&folder).map_err(ApiError::io_error("make the folder", &folder))?;
        Ok(Self { folder })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder
            .join(&key.as_str()[..2])
            .join(format!("{key}.json"))
    }

    /// The cached answer to a question; none if its file is damaged.
    pub fn get(&self, key: &Key) -> Option<ApiAnswer> {
        let entry: CachedAnswer = serde_json::from_slice(&fs::read(self.path(key)).ok()?).ok()?;
        Some(entry.answer)
    }

    /// Keeps an answer.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn put(&self, key: &Key, entry: &CachedAnswer) -> Result<(), ApiError> {
        let path = self.path(key);
        let parent = path.parent().expect("an answer lies in a folder");
        fs::create_dir_all(parent).map_err(ApiError::io_error("make the folder", parent))?;
        let text = serde_json::to_vec_pretty(entry).expect("an answer is plain data");
        let temporary = temporary_path(&path);
        write_synced(&temporary, &text).map_err(ApiError::io_error("write", &temporary))?;
        fs::rename(&temporary, &path).map_err(ApiError::io_error("write", &path))
    }

    /// The name under which the server answered first; `name`, if nobody answered before.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn record_served_model(&self, name: &str) -> Result<String, ApiError> {
        let path = self.folder.join(SERVED_MODEL_FILE);
        let temporary = temporary_path(&path);
        write_synced(&temporary, name.as_bytes())
            .map_err(ApiError::io_error("write", &temporary))?;
        // Of several processes the first one's link is made, and the others' are refused.
        let linked = fs::hard_link(&temporary, &path);
        let removed = fs::remove_file(&temporary);
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(ApiError::io_error("write", &path)(error))
            }
            _ => {
                removed.map_err(ApiError::io_error("remove", &temporary))?;
                fs::read_to_string(&path).map_err(ApiError::io_error("read", &path))
            }
        }
    }

    /// The name under which the server answers, if it did so before.
    pub fn served_model(&self) -> Option<String> {
        fs::read_to_string(self.folder.join(SERVED_MODEL_FILE)).ok()
    }
}

/// A name that no other thread or process writes to.
pub fn temporary_path(path: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    path.with_extension(format!(
        "{}-{}.tmp",
        process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    ))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(text: &str) -> CachedAnswer {
        let answer = ApiAnswer {
            text: text.to_owned(),
            finished: true,
            filtered: false,
            prompt_tokens: Some(1),
            completion_tokens: None,
            model: None,
            fingerprint: None,
        };
        CachedAnswer {
            request: json!({ "model": "m" }),
            answer,
        }
    }

    #[test]
    fn answers_are_kept_by_model_and_place() {
        let root = tempfile::tempdir().unwrap();
        let open = |place, model| ResponseCache::open(root.path(), place, model).unwrap();
        let key = Key::from_value("question");
        open("local", "a/b").put(&key, &entry("2")).unwrap();
        assert_eq!(open("local", "a/b").get(&key), Some(entry("2").answer));
        assert_eq!(open("host", "a/b").get(&key), None);
        assert_eq!(open("local", "a_b").get(&key), None);
    }

    #[test]
    fn a_damaged_file_is_no_answer() {
        let root = tempfile::tempdir().unwrap();
        let answers = ResponseCache::open(root.path(), "local", "m").unwrap();
        let key = Key::from_value("question");
        answers.put(&key, &entry("2")).unwrap();
        let whole = fs::read(answers.path(&key)).unwrap();
        fs::write(answers.path(&key), &whole[..whole.len() / 2]).unwrap();
        assert_eq!(answers.get(&key), None);
        answers.put(&key, &entry("3")).unwrap();
        assert_eq!(answers.get(&key), Some(entry("3").answer));
    }

    #[test]
    fn the_first_name_stands_and_nothing_is_left_over() {
        let root = tempfile::tempdir().unwrap();
        let answers = ResponseCache::open(root.path(), "local", "m").unwrap();
        let served = |name| answers.record_served_model(name).unwrap();
        let names: Vec<String> = std::thread::scope(|scope| {
            let all = ["a", "b", "c", "d"].map(|name| scope.spawn(move || served(name)));
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
        assert_eq!(fs::read_dir(answers.folder()).unwrap().count(), 1);
    }
}
