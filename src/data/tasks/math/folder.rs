//! The folder `MATH`: which files it holds, in an order that no file system decides.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::DataError;
use crate::data::fingerprint::file_sha256;
use crate::domain::Key;

use super::settings::MathSubject;

/// The meaning of `path`, for errors.
pub(super) const EXPECTED: &str = "the folder MATH, which holds `train` and `test`";

/// The two halves as MATH ships them, and the names of their folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MathHalf {
    Test,
    Train,
}

impl MathHalf {
    pub(super) const ALL: [Self; 2] = [Self::Test, Self::Train];

    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Train => "train",
        }
    }
}

/// One problem's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MathEntry {
    pub(super) half: MathHalf,
    pub(super) subject: MathSubject,
    number: u32,
}

impl MathEntry {
    /// `test/algebra/7.json`.
    pub(super) fn name(self) -> String {
        format!(
            "{}/{}/{}.json",
            self.half.folder(),
            self.subject.folder(),
            self.number
        )
    }
}

/// The files of these subjects, by half, subject and number.
#[derive(Clone, Debug, Default)]
pub(super) struct MathListing {
    /// Every problem's file.
    pub(super) entries: Vec<MathEntry>,
    /// Names of files that are passed over, since they are not called by a number.
    pub(super) others: Vec<String>,
}

/// Lists the files that are there.
pub(super) fn list_files(root: &Path, subjects: &[MathSubject]) -> Result<MathListing, DataError> {
    check_layout(root)?;
    let mut listing = MathListing::default();
    for half in MathHalf::ALL {
        for &subject in subjects {
            list_subject(root, half, subject, &mut listing)?;
        }
    }
    listing.entries.sort_unstable();
    listing.others.sort_unstable();
    Ok(listing)
}

fn list_subject(
    root: &Path,
    half: MathHalf,
    subject: MathSubject,
    listing: &mut MathListing,
) -> Result<(), DataError> {
    let part = format!("{}/{}", half.folder(), subject.folder());
    let folder = root.join(&part);
    let unreadable = |source| DataError::Read {
        path: folder.clone(),
        expected: EXPECTED,
        source,
    };
    if !folder.is_dir() {
        return Err(DataError::Layout {
            path: root.to_owned(),
            fault: format!(
                "the folder {part} is missing; fetch MATH again, or name the subjects that are there in `subjects`"
            ),
        });
    }
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let name = entry
            .map_err(unreadable)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        match problem_number(&name) {
            Some(number) => listing.entries.push(MathEntry {
                half,
                subject,
                number,
            }),
            None => listing.others.push(format!("{part}/{name}")),
        }
    }
    Ok(())
}

/// The number in the name of a problem's file; `07.json` is not the file of problem 7.
fn problem_number(name: &str) -> Option<u32> {
    let stem = name.strip_suffix(".json")?;
    let number: u32 = stem.parse().ok()?;
    (number.to_string() == stem).then_some(number)
}

/// Refuses a folder that is not `MATH`, and looks for the one that was meant.
fn check_layout(root: &Path) -> Result<(), DataError> {
    if is_math_folder(root) {
        return Ok(());
    }
    fs::read_dir(root).map_err(|source| DataError::Read {
        path: root.to_owned(),
        expected: EXPECTED,
        source,
    })?;
    let missing: Vec<&str> = MathHalf::ALL
        .into_iter()
        .map(MathHalf::folder)
        .filter(|name| !root.join(name).is_dir())
        .collect();
    let above = root.ancestors().skip(1).take(2).map(Path::to_owned);
    let meant: Option<PathBuf> = std::iter::once(root.join("MATH"))
        .chain(above)
        .find(|folder| is_math_folder(folder));
    let advice = match meant {
        Some(folder) if folder.as_os_str().is_empty() => {
            "did you mean the folder above it?".to_owned()
        }
        Some(folder) => format!("did you mean {}?", folder.display()),
        None => format!("`path` must be {EXPECTED}"),
    };
    let fault = format!(
        "there is no folder `{}` in it; {advice}",
        missing.join("` and no folder `")
    );
    Err(DataError::Layout {
        path: root.to_owned(),
        fault,
    })
}

/// Whether a folder has both halves, and neither lies on its own among other things called so.
fn is_math_folder(root: &Path) -> bool {
    MathHalf::ALL
        .into_iter()
        .all(|half| root.join(half.folder()).is_dir())
}

/// The SHA-256 of the lines that `sha256sum` prints for all files, in order of their names: the
/// file's SHA-256, two spaces and its name.
pub(super) fn digest(root: &Path, listing: &MathListing) -> Result<Key, DataError> {
    let mut names: Vec<String> = listing.entries.iter().map(|entry| entry.name()).collect();
    names.sort_unstable();
    let mut text = String::with_capacity(names.len() * 100);
    for name in names {
        let key = file_sha256(&root.join(&name), EXPECTED)?;
        text.extend([key.as_str(), "  ", &name, "\n"]);
    }
    Ok(Key::from_bytes(text.as_bytes()))
}
