//! Where stages keep their files: one folder per finished stage, published in one step.
//!
//! A stage works in `partial/<key>/`, which survives a kill. When its manifest is complete, one
//! rename makes it `stages/<key>/`, so a folder under `stages/` is always whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::Key;

const MANIFEST_FILE: &str = "manifest.json";

/// The folder of all stages of a store.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

/// One file of a finished stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageArtifact {
    /// File name within the stage's folder.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: Key,
    /// Its length.
    pub bytes: u64,
}

/// The files, cost and counts of a finished stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageManifest {
    /// The stage.
    pub key: Key,
    /// Its files, by name.
    pub artifacts: Vec<StageArtifact>,
    /// Wall-clock seconds of the work, over all attempts that contributed.
    pub seconds: f64,
    /// Largest resident set of the process in the attempt that finished, in bytes, where it was
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Counts of the work (tokens sampled, tokens trained, examples, ...).
    pub counts: Value,
    /// Its origin: `backend`, `instruction_set`, `program`, `shipped`.
    pub origin: Value,
}

/// Why a stage's files could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line of a finished stage's file cannot be read.
    #[error("cannot read {}, line {line}: {reason}; delete the stage's folder and run the same command again", path.display())]
    CorruptLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The parser's reason.
        reason: String,
    },
    /// A file of a finished stage does not match its manifest.
    #[error("{} is damaged: its SHA-256 or length is not the one in its manifest; delete the folder {} and run the same command again", path.display(), folder.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The stage's folder.
        folder: PathBuf,
    },
}

impl Workspace {
    /// The workspace of the store folder `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The store folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of a finished stage.
    #[must_use]
    pub fn stage_folder(&self, key: &Key) -> PathBuf {
        self.root.join("stages").join(key.as_str())
    }

    /// A file of a finished stage.
    #[must_use]
    pub fn stage_file(&self, key: &Key, name: &str) -> PathBuf {
        self.stage_folder(key).join(name)
    }

    /// Working folder of an unfinished stage; made if missing, kept across kills.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn working_folder(&self, key: &Key) -> Result<PathBuf, WorkspaceError> {
        let folder = self.root.join("partial").join(key.as_str());
        fs::create_dir_all(&folder).map_err(io_error("make the folder", &folder))?;
        Ok(folder)
    }

    /// The manifest of a stage, if it is finished.
    ///
    /// # Errors
    /// If the manifest is there and cannot be read.
    pub fn find_manifest(&self, key: &Key) -> Result<Option<StageManifest>, WorkspaceError> {
        let path = self.stage_file(key, MANIFEST_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // A file may lie in the place of the store's folder: nothing is finished there, and the
            // first write reports it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(source) => {
                return Err(WorkspaceError::Io {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|_| WorkspaceError::Damaged {
                path,
                folder: self.stage_folder(key),
            })
    }

    /// Publishes the working folder of `key` as finished: writes the manifest over the files named
    /// in `files`, makes everything durable, and renames the folder into place.
    ///
    /// # Errors
    /// If a file cannot be read, or the disk refuses.
    pub fn publish(
        &self,
        key: &Key,
        files: &[&str],
        (seconds, peak_bytes): (f64, Option<u64>),
        counts: Value,
        origin: Value,
    ) -> Result<StageManifest, WorkspaceError> {
        let partial = self.working_folder(key)?;
        let artifacts = files
            .iter()
            .map(|name| describe_artifact(&partial, name))
            .collect::<Result<_, _>>()?;
        let manifest = StageManifest {
            key: key.clone(),
            artifacts,
            seconds,
            peak_bytes,
            counts,
            origin,
        };
        let text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data");
        write_atomically(&partial.join(MANIFEST_FILE), text.as_bytes())?;
        let target = self.stage_folder(key);
        let parent = self.root.join("stages");
        fs::create_dir_all(&parent).map_err(io_error("make the folder", &parent))?;
        fs::rename(&partial, &target).map_err(io_error("publish", &target))?;
        sync_folder(&parent)?;
        Ok(manifest)
    }

    /// Checks every file of a finished stage against its manifest.
    ///
    /// # Errors
    /// If a file is missing or its bytes have changed.
    pub fn verify(&self, manifest: &StageManifest) -> Result<(), WorkspaceError> {
        let folder = self.stage_folder(&manifest.key);
        for expected in &manifest.artifacts {
            if describe_artifact(&folder, &expected.name).ok().as_ref() != Some(expected) {
                return Err(WorkspaceError::Damaged {
                    path: folder.join(&expected.name),
                    folder,
                });
            }
        }
        Ok(())
    }
}

/// Writes a file by way of a temporary one, so that a crash leaves the old or the new bytes.
///
/// # Errors
/// If the disk refuses.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WorkspaceError> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(io_error("write", &temporary))?;
    file.write_all(bytes)
        .map_err(io_error("write", &temporary))?;
    file.sync_all().map_err(io_error("write", &temporary))?;
    fs::rename(&temporary, path).map_err(io_error("write", path))
}

fn describe_artifact(folder: &Path, name: &str) -> Result<StageArtifact, WorkspaceError> {
    let path = folder.join(name);
    let bytes = fs::read(&path).map_err(io_error("read", &path))?;
    File::open(&path)
        .and_then(|file| file.sync_all())
        .map_err(io_error("read", &path))?;
    Ok(StageArtifact {
        name: name.to_owned(),
        sha256: Key::from_bytes(&bytes),
        bytes: bytes.len() as u64,
    })
}

fn sync_folder(folder: &Path) -> Result<(), WorkspaceError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(io_error("write", folder))
}

/// An error builder for `map_err`.
pub fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorkspaceError {
    let path = path.to_owned();
    move |source| WorkspaceError::Io {
        action,
        path,
        source,
    }
}
