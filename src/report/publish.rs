//! Writes a report to another folder first, and then swaps it in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ReportError, ReportFile};

/// The file by which rise-lab recognises an experiment's report.
pub const SENTINEL: &str = "context.json";

/// The folder of a report, `out/<experiment>/`, with an earlier one or nothing in it.
///
/// # Errors
/// If the name is no folder name, or the folder holds something else.
pub fn report_folder(experiment: &str, out: &Path) -> Result<PathBuf, ReportError> {
    checked_folder(experiment, out, SENTINEL)
}

/// The same for a report with another sentinel file.
fn checked_folder(experiment: &str, out: &Path, mark: &str) -> Result<PathBuf, ReportError> {
    let plain = !experiment.is_empty()
        && !experiment.starts_with('.')
        && !experiment.contains(['/', '\\', '\0']);
    if !plain {
        return Err(ReportError::InvalidName(experiment.to_owned()));
    }
    let place = out.join(experiment);
    check_vacant(&place, mark)?;
    Ok(place)
}

/// Refuses a folder that holds something else than a report with the file `mark`.
fn check_vacant(place: &Path, mark: &str) -> Result<(), ReportError> {
    if place.exists() && !place.join(mark).exists() && !is_empty(place) {
        return Err(ReportError::FolderOccupied {
            place: place.to_owned(),
            mark: mark.to_owned(),
        });
    }
    Ok(())
}

/// Writes the files into a folder that is empty, new, or holds a report already.
///
/// # Errors
/// If the folder holds something else, or a file cannot be written.
pub fn write_files(files: &[ReportFile], folder: &Path) -> Result<(), ReportError> {
    check_vacant(folder, SENTINEL)?;
    create_files(files, folder)
}

fn create_files(files: &[ReportFile], folder: &Path) -> Result<(), ReportError> {
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        with_path(fs::create_dir_all(parent), parent)?;
        with_path(fs::write(&path, &file.bytes), &path)?;
    }
    Ok(())
}

/// Writes the files into `out/<experiment>/` instead of an earlier report. The file `mark`, one of
/// `files`, tells a report from other folders.
///
/// # Errors
/// If there is no [`report_folder`] for it, or a file cannot be written.
pub fn publish(
    files: &[ReportFile],
    experiment: &str,
    out: &Path,
    mark: &str,
) -> Result<PathBuf, ReportError> {
    let place = checked_folder(experiment, out, mark)?;
    let (fresh, old) = (
        out.join(format!(".{experiment}.new")),
        out.join(format!(".{experiment}.old")),
    );
    if !place.exists() && old.join(mark).exists() {
        // A crash between the two renames below left the earlier report in `old`.
        with_path(fs::rename(&old, &place), &place)?;
    }
    remove_folder(&fresh)?;
    create_files(files, &fresh)?;
    remove_folder(&old)?;
    if place.exists() {
        with_path(fs::rename(&place, &old), &old)?;
    }
    with_path(fs::rename(&fresh, &place), &place)?;
    remove_folder(&old)?;
    Ok(place)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn remove_folder(folder: &Path) -> Result<(), ReportError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => with_path(Err(error), folder),
        _ => Ok(()),
    }
}

fn with_path<T>(result: io::Result<T>, path: &Path) -> Result<T, ReportError> {
    result.map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> ReportFile {
        ReportFile {
            path: path.to_owned(),
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_new_report_replaces_the_whole_old_one() {
        let out = tempfile::tempdir().unwrap();
        let first = [file(SENTINEL, "1"), file("tables/old.csv", "x")];
        publish(&first, "quickstart", out.path(), SENTINEL).unwrap();
        let place = publish(&[file(SENTINEL, "2")], "quickstart", out.path(), SENTINEL).unwrap();
        assert_eq!(fs::read_to_string(place.join(SENTINEL)).unwrap(), "2");
        assert!(!place.join("tables").exists());
        let left: Vec<_> = fs::read_dir(out.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["quickstart"]);
    }

    #[test]
    fn a_crash_between_the_renames_is_mended() {
        let out = tempfile::tempdir().unwrap();
        let old = out.path().join(".x.old");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join(SENTINEL), "1").unwrap();
        fs::create_dir_all(out.path().join(".x.new/half")).unwrap();
        let place = publish(&[file(SENTINEL, "2")], "x", out.path(), SENTINEL).unwrap();
        assert_eq!(fs::read_to_string(place.join(SENTINEL)).unwrap(), "2");
        assert!(!old.exists() && !place.join("half").exists());
    }

    #[test]
    fn other_peoples_folders_are_left_alone() {
        let out = tempfile::tempdir().unwrap();
        fs::create_dir_all(out.path().join("x")).unwrap();
        fs::write(out.path().join("x/thesis.tex"), "precious").unwrap();
        let error = publish(&[file(SENTINEL, "1")], "x", out.path(), SENTINEL).unwrap_err();
        assert!(
            matches!(error, ReportError::FolderOccupied { .. }),
            "{error}"
        );
        assert!(matches!(
            publish(&[], "../x", out.path(), SENTINEL),
            Err(ReportError::InvalidName(_))
        ));
    }
}
