//! A checkpoint that stays where it is: its folder, and how it is used.
//!
//! A base model of many gigabytes is not copied into the store. What stands there instead names the
//! folder, with the length and time of each file, so that a change is noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::model::Precision;

use super::files::checkpoint_files;
use super::{CheckpointError, file_error, write_file};

/// Where a link stands.
pub const LINK_FILE: &str = "link.json";

/// A checkpoint somewhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointLink {
    /// Its folder.
    pub folder: PathBuf,
    /// The numbers that products are computed in, and frozen matrices are kept in.
    pub precision: Precision,
    /// What writes dialogues, in place of the template in the folder.
    pub chat_template: Option<PathBuf>,
    /// Longest sequence in tokens, where it is less than the checkpoint allows.
    pub positions: Option<usize>,
    /// What each file was.
    #[serde(default)]
    files: BTreeMap<String, FileStamp>,
}

impl CheckpointLink {
    /// A link to a folder as it is now.
    ///
    /// # Errors
    /// If a file that a checkpoint needs is missing.
    pub fn new(
        folder: &Path,
        precision: Precision,
        chat_template: Option<PathBuf>,
        positions: Option<usize>,
    ) -> Result<Self, CheckpointError> {
        let files = file_stamps(folder)?;
        Ok(Self {
            precision,
            chat_template,
            positions,
            files,
            ..Self::to_folder(folder)
        })
    }

    /// A link to a folder used as it is, whatever is in it.
    #[must_use]
    pub fn to_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            precision: Precision::default(),
            chat_template: None,
            positions: None,
            files: BTreeMap::new(),
        }
    }

    /// Writes it into `folder`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), CheckpointError> {
        let text = serde_json::to_string_pretty(self).expect("a link is plain data");
        write_file(&folder.join(LINK_FILE), text.as_bytes())
    }

    /// The link in `folder`, if there is one, checked against the files that it stands for.
    ///
    /// # Errors
    /// If it cannot be read, or a file has changed since it was written.
    pub fn read(folder: &Path) -> Result<Option<Self>, CheckpointError> {
        let path = folder.join(LINK_FILE);
        let Ok(text) = fs::read_to_string(&path) else {
            return Ok(None);
        };
        let link: Self =
            serde_json::from_str(&text).map_err(|error| file_error("read", &path, &error))?;
        let now = file_stamps(&link.folder)?;
        if let Some((name, _)) = link
            .files
            .iter()
            .find(|&(name, stamp)| now.get(name) != Some(stamp))
        {
            let reason = "it has changed since the run began with it; run the same command again to begin anew with what it is now";
            return Err(file_error("use", &link.folder.join(name), &reason));
        }
        Ok(Some(link))
    }
}

/// Length and time of every file of a checkpoint.
fn file_stamps(folder: &Path) -> Result<BTreeMap<String, FileStamp>, CheckpointError> {
    let mut stamps = BTreeMap::new();
    for member in checkpoint_files(folder) {
        let path = folder.join(&member.name);
        let stamp =
            FileStamp::from_file(&path).map_err(|error| file_error("read", &path, &error))?;
        stamps.insert(member.name, stamp);
    }
    Ok(stamps)
}

/// What a file is known by without being read: its length in bytes, and when it was changed, in
/// nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp(u64, u64);

impl FileStamp {
    /// That of a file as it is now.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let data = fs::metadata(path)?;
        let since = data
            .modified()?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self(data.len(), since.as_nanos() as u64))
    }
}
